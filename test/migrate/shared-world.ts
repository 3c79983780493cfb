/** Tenants that share tables beside one with a schema of its own, under the same migrations. */
import type { AdminDatabase, Queryable } from '../../src/core/database.ts'
import type { SharedHome, TenantHome, TenantHomes } from '../../src/core/homes.ts'
import { copyPattern } from '../../src/isolation/shared-form/copy-pattern.ts'
import { createSharedSchemas, lockShared } from '../../src/isolation/shared-form/shared-schemas.ts'
import { makeTenantRoles } from '../../src/isolation/tenant-roles.ts'
import { createMigrations, type Migrations } from '../../src/migrate/migrations.ts'
import { createFolder, type MigrationFolder } from './migration-folder.ts'
import { homesOf, makeTenants } from './tenant-schemas.ts'

/** A folder of tenant migrations, and who they are for. */
export interface SharedWorld {
  readonly home: SharedHome
  /** The tenant whose schema says what must come out. */
  readonly twin: TenantHome
  readonly homes: TenantHomes
  readonly folder: MigrationFolder
  readonly migrations: Migrations
  /** Adds a migration and runs what is missing, everywhere. */
  migrate(sql: string): Promise<void>
  /** Makes a tenant that shares tables, with the pattern's rows. */
  add(id: string): Promise<void>
  /** Rows as one tenant sees them, without `tenant_id`: one of the sharing, or the twin. */
  query(tenant: string, sql: string): Promise<unknown[]>
  drop(): Promise<void>
}

let count = 0

export async function createSharedWorld(admin: AdminDatabase): Promise<SharedWorld> {
  const name = `world_${++count}`
  const folder = await createFolder()
  const [twin] = await makeTenants(admin, [`twin-${count}`])
  if (twin === undefined) throw new Error('there is no twin')
  const home = await admin.transaction(async (tx) => {
    const [roles] = await makeTenantRoles(tx, 1, 'tenantry_app')
    const made = {
      schema: name,
      pattern: `${name}_pattern`,
      role: roles?.role ?? '',
      ownerRole: roles?.ownerRole ?? '',
    }
    await createSharedSchemas(tx, made)
    return made
  })
  const ids: string[] = []
  const homes: TenantHomes = {
    ...homesOf([twin]),
    findShared: () => Promise.resolve(home),
    listSharing: () => Promise.resolve(ids),
  }
  const shared = await createFolder()
  const migrations = createMigrations({
    db: admin,
    homes,
    folders: { tenant: folder.path, shared: shared.path },
  })
  let files = 0
  return {
    home,
    twin,
    homes,
    folder,
    migrations,
    async migrate(sql) {
      const file = `${++files}_step.sql`
      await folder.write({ [file]: sql })
      try {
        await migrations.migrateShared(admin, home)
      } catch (error) {
        await folder.remove(file)
        files--
        throw error
      }
      const { failed } = await migrations.up()
      if (failed[0] !== undefined) throw failed[0].error
    },
    async add(id) {
      await admin.query(
        `insert into tenantry.tenants (id, status, name, plan, settings, model, tier, schema_name, role_name, owner_role, epoch)
         values ($1, 'active', $1, 'free', '{}', 'shared', 'guarded', $2, $3, $4, 1)`,
        [id, home.schema, home.role, home.ownerRole],
      )
      await admin.transaction(async (tx) => {
        await lockShared(tx)
        await copyPattern(tx, home, id)
      })
      ids.push(id)
    },
    query: (tenant, sql) =>
      admin.transaction(async (tx) => {
        await enter(tx, tenant === 'twin' ? twin.home : home, tenant)
        const { rows } = await tx.query<{ row: string }>(
          /^\s*(select|values)/i.test(sql)
            ? `select (to_jsonb(q) - 'tenant_id')::text as row from (${sql}) q`
            : sql,
        )
        return rows.map(({ row }) => JSON.parse(row) as unknown)
      }),
    async drop() {
      await folder.drop()
      await shared.drop()
      await admin.transaction(async (tx) => {
        await tx.query(
          `set local role ${home.ownerRole}; drop schema ${home.schema}, ${home.pattern} cascade`,
        )
        await tx.query(`set local role ${twin.home.ownerRole}; drop schema ${twin.home.schema} cascade`)
      })
    },
  }
}

async function enter(
  tx: Queryable,
  { schema, role }: { schema: string; role: string },
  tenant: string,
): Promise<void> {
  await tx.query(
    `select set_config('app.current_tenant', $1, true), set_config('search_path', $2, true),
       set_config('tenantry.proof', tenantry.proof_of($1), true)`,
    [tenant, `${schema}, public, pg_temp`],
  )
  await tx.query(`set local role ${role}`)
}
