/** What provisioning needs of migrations, so that the two capabilities do not import each other. */
import type { AdminDatabase } from './database.ts'
import type { SharedHome } from './homes.ts'
import type { Home } from './tenant.ts'

/** Brings one tenant's schema to the newest tenant migration. */
export interface TenantMigrator {
  /**
   * All tenant migrations in one word: another one wherever one of them is new, gone or different. Cheap where their
   * folder is as it was.
   * @throws TNY401, TNY404, TNY408 to TNY410
   */
  digest(): Promise<string>

  /**
   * Runs what is missing, each migration in a transaction of its own together with its ledger row, so that a crash
   * anywhere leaves whole migrations only and a second call goes on from there.
   * @returns the names that ran now.
   * @throws TNY401 to TNY403
   */
  migrateHome(db: AdminDatabase, home: Home, label: string): Promise<string[]>

  /**
   * The same for the tables that tenants share. `home` of `migrateHome` is never one of the shared model.
   * @throws TNY401 to TNY403, TNY407
   */
  migrateShared(db: AdminDatabase, home: SharedHome): Promise<string[]>
}
