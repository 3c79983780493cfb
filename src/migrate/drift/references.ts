/** What tenants are compared with: schemas freshly built from the files, one for each number of migrations. */
import type { AdminDatabase } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import type { TenantRoles } from '../../isolation/tenant-roles.ts'
import type { SchemaDescription } from '../../schema/description.ts'
import { readSchema } from '../../schema/read-schema.ts'
import { replayMigrations, TENANT_SCHEMA, withScratch } from '../baseline/scratch.ts'
import type { Migration, Repeatable } from '../files/migration.ts'

/** Built when the first tenant asks for it. */
export interface References {
  /** What the first `count` migrations make; where that is all of them, with the repeatable files. @throws TNY426 where they cannot be replayed. */
  after(count: number): Promise<SchemaDescription>
}

/** @param roles a tenant's: what is made belongs to them until it is rolled back. */
export function createReferences(
  db: AdminDatabase,
  { migrations, repeatables }: { migrations: readonly Migration[]; repeatables: readonly Repeatable[] },
  roles: TenantRoles,
  lockTimeoutMs: number,
): References {
  const built = new Map<number, Promise<SchemaDescription>>()

  async function build(count: number): Promise<SchemaDescription> {
    const { ownerRole } = roles
    try {
      return await db.session((session) =>
        withScratch(session, roles, lockTimeoutMs, async (schema) => {
          const place = { schema, ownerRole, lockTimeoutMs }
          await replayMigrations(session, place, migrations.slice(0, count))
          if (count === migrations.length) await replayMigrations(session, place, repeatables)
          return readSchema(session, schema, TENANT_SCHEMA)
        }),
      )
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      throw new TenantryError('TNY426', { params: { count, reason }, cause })
    }
  }

  return {
    after(count) {
      const known = built.get(count) ?? build(count)
      built.set(count, known)
      return known
    },
  }
}
