/** A fleet of schemas with a folder of migrations, for tests of runs. */
import { createAdminDatabase } from '../../../src/gateway/admin-database.ts'
import type { AdminDatabase } from '../../../src/core/database.ts'
import type { TenantHome } from '../../../src/core/homes.ts'
import type { Wave } from '../../../src/core/waves.ts'
import { createMigrations, type Migrations } from '../../../src/migrate/migrations.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { createFolder, type MigrationFolder } from '../migration-folder.ts'
import { homesOf, makeTenants } from '../tenant-schemas.ts'

export interface FleetWorld {
  readonly database: TestDatabase
  readonly admin: AdminDatabase
  readonly tenants: readonly TenantHome[]
  /** Tenant migrations: one makes the table `log (step text)`. */
  readonly folder: MigrationFolder
  readonly shared: MigrationFolder
  migrations(options?: { tenants?: readonly TenantHome[]; waves?: readonly Wave[] }): Migrations
  /** What migrations wrote into the tenant's log, in order. */
  logOf(tenant: TenantHome | undefined): Promise<string>
  drop(): Promise<void>
}

/** @param size how many tenants: `t0`, `t1` … */
export async function createFleetWorld(size: number): Promise<FleetWorld> {
  const database = await createTestDatabase()
  const admin = createAdminDatabase(database.adminUrl)
  const tenants = await makeTenants(
    admin,
    Array.from({ length: size }, (_, index) => `t${index}`),
  )
  const folder = await createFolder({ '1_log.sql': 'create table log (step text)' })
  const shared = await createFolder()
  return {
    database,
    admin,
    tenants,
    folder,
    shared,
    migrations: ({ tenants: some = tenants, waves = [] } = {}) =>
      createMigrations({
        db: admin,
        homes: homesOf(some),
        folders: { tenant: folder.path, shared: shared.path, waves },
      }),
    async logOf(tenant) {
      const rows = await database.sql<{ log: string }>(
        `select coalesce(string_agg(step, ' ' order by step), '') as log from ${tenant?.home.schema}.log`,
      )
      return rows[0]?.log ?? ''
    },
    async drop() {
      await admin.close()
      await database.drop()
      await folder.drop()
      await shared.drop()
    },
  }
}
