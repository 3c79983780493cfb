/** Makes thousands of tenants as provisioning would leave them, in the time of a coffee's first sip: in batches. */
import { newTenantId } from '../../src/catalog/tenant-id.ts'
import type { AdminDatabase, Queryable } from '../../src/core/database.ts'
import type { Home } from '../../src/core/tenant.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { createTenantSchema, makeTenantRoles } from '../../src/isolation/tenant-roles.ts'
import { TABLES, tableSql } from './tenant-tables.ts'

interface Prepared {
  readonly id: string
  readonly key: string
  readonly home: Home
}

/** Tenants whose schemas are made in one transaction. Larger ones are slower: PostgreSQL keeps what they changed. */
const BATCH = 5
const CONNECTIONS = 2

/**
 * Roles, schemas, tables, rows, and the catalog's record of them.
 * @param superuserUrl membership grants by an admin take 60 ms each at 2,500 tenants, those of a superuser do not.
 */
export async function prepareTenants(
  superuserUrl: string,
  count: number,
  onProgress: (line: string) => void,
): Promise<void> {
  const db = createAdminDatabase(superuserUrl, CONNECTIONS)
  try {
    const tenants = await db.transaction((tx) => makeHomes(tx, count))
    let next = 0
    const work = async (): Promise<void> => {
      while (next < count) {
        const batch = tenants.slice(next, (next += BATCH))
        await db.transaction((tx) => makeSchemas(tx, batch))
        if (next % 500 < BATCH) onProgress(`${Math.min(next, count)} of ${count} tenants made`)
      }
    }
    await Promise.all(Array.from({ length: CONNECTIONS }, work))
    await db.transaction((tx) => record(tx, tenants))
    await makeBareSchema(db)
    await db.query('checkpoint')
  } finally {
    await db.close()
  }
}

async function makeHomes(tx: Queryable, count: number): Promise<Prepared[]> {
  const roles = await makeTenantRoles(tx, count, 'tenantry_app')
  const all = roles.flatMap(({ role, ownerRole }) => [role, ownerRole]).join(', ')
  await tx.query(`grant ${all} to tenantry_admin with admin option, inherit false`)
  return roles.map(({ role, ownerRole }, index) => {
    const key = `t${index}`
    return {
      id: newTenantId(),
      key,
      home: { model: 'schema', tier: 'guarded', schema: `tenant_${key}`, role, ownerRole, epoch: 1 },
    }
  })
}

async function makeSchemas(tx: Queryable, batch: readonly Prepared[]): Promise<void> {
  for (const { key, home } of batch) {
    await createTenantSchema(tx, home)
    const tables = TABLES.map((name) => tableSql(name, key)).join('')
    await tx.query(
      `set local role ${home.ownerRole}; set local search_path = ${home.schema}; ${tables} set local role none`,
    )
  }
}

async function record(tx: Queryable, tenants: readonly Prepared[]): Promise<void> {
  await tx.query(
    `insert into tenantry.tenants (id, status, name, plan, settings, model, tier, schema_name, role_name, owner_role, epoch)
     select id, 'active', key, 'default', '{}', 'schema', 'guarded', schema, role, owner, 1
     from unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[]) t (id, key, schema, role, owner)`,
    [
      tenants.map(({ id }) => id),
      tenants.map(({ key }) => key),
      tenants.map(({ home }) => home.schema),
      tenants.map(({ home }) => home.role),
      tenants.map(({ home }) => home.ownerRole),
    ],
  )
  await tx.query('insert into tenantry.keys (key, tenant_id) select * from unnest($1::text[], $2::text[])', [
    tenants.map(({ key }) => key),
    tenants.map(({ id }) => id),
  ])
}

/** The one schema of a backend that has no tenants. */
async function makeBareSchema(db: AdminDatabase): Promise<void> {
  await db.transaction((tx) =>
    tx.query(`create schema bare; set local search_path = bare; ${tableSql('orders', 'bare')}`),
  )
}
