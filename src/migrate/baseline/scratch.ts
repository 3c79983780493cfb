/** A schema that nobody else ever sees, in which migrations are replayed to see what they make. */
import { randomBytes } from 'node:crypto'
import type { Queryable } from '../../core/database.ts'
import { TENANTS_GROUP } from '../../isolation/logins.ts'
import { LEDGER } from '../../isolation/shared-form/read-facts.ts'
import { createTenantSchema, type TenantRoles } from '../../isolation/tenant-roles.ts'
import type { ReadOptions } from '../../schema/read/members.ts'
import { quoteIdent } from '../../sql/quote.ts'
import type { Migration, Script } from '../files/migration.ts'

/** How a tenant's schema is read: without the ledger, and without the rights of tenants. */
export const TENANT_SCHEMA: ReadOptions = { without: [LEDGER], rightsNotOf: TENANTS_GROUP }

/**
 * Makes the schema as a tenant's is made, and rolls back everything at the end.
 * @param session one connection, outside a transaction.
 * @param roles a tenant's: what is made belongs to them for the time.
 */
export async function withScratch<T>(
  session: Queryable,
  roles: TenantRoles,
  lockTimeoutMs: number,
  fn: (schema: string) => Promise<T>,
): Promise<T> {
  const schema = `tenantry_scratch_${randomBytes(8).toString('hex')}`
  await session.query(`begin; set local lock_timeout = ${lockTimeoutMs}`)
  try {
    const { role, ownerRole } = roles
    await createTenantSchema(session, { model: 'schema', tier: 'guarded', epoch: 0, schema, role, ownerRole })
    return await fn(schema)
  } finally {
    await session.query('rollback')
  }
}

/** Where a replay takes place. */
export interface ReplayPlace {
  readonly schema: string
  readonly ownerRole: string
  readonly lockTimeoutMs: number
}

/** As each tenant gets them, but that all are one transaction here. */
export async function replayMigrations(
  tx: Queryable,
  { schema, ownerRole, lockTimeoutMs }: ReplayPlace,
  migrations: readonly (Script & Pick<Migration, 'perTenant'>)[],
): Promise<void> {
  for (const { up, perTenant, options } of migrations) {
    const before = `set local role ${quoteIdent(ownerRole)}; set local search_path = ${quoteIdent(schema)};
      set local lock_timeout = ${lockTimeoutMs};`
    const after = 'set constraints all immediate; close all; unlisten *; discard temp; reset all'
    let sql = options.transaction ? up : insideTransaction(up)
    if (perTenant !== undefined) {
      await tx.query(before)
      sql = (await perTenant(tx)).sql
    }
    await tx.query(`${before}\n${sql}\n;\n${after}`)
  }
}

/** What cannot run in a transaction makes the same in one without the word: nobody else is there to be held up. */
function insideTransaction(sql: string): string {
  return sql.replaceAll(/\bconcurrently\b/gi, '')
}
