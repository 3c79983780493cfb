/** Migrations of one home, outside of any run over the fleet: what provisioning needs. */
import type { Queryable } from '../core/database.ts'
import type { SharedHome } from '../core/homes.ts'
import type { TenantMigrator } from '../core/migrator.ts'
import { applyMigrations } from './apply/apply-migrations.ts'
import { makeFromBaseline } from './baseline/make-from-baseline.ts'
import type { Migration } from './files/migration.ts'
import { targetOf } from './fleet/fleet-members.ts'
import { type MigrationProject, requirePlainStrings } from './migration-project.ts'
import { applyToShared } from './shared-form/apply-shared.ts'

/** The part of the face that fills homes. */
export function homeMigrator({
  lockTimeoutMs,
  homes,
  baselines,
  readTenant,
  digestTenant,
}: MigrationProject): TenantMigrator {
  return {
    digest: digestTenant,

    async migrateHome(database, home, label) {
      const tenant = await readTenant()
      return database.session(async (session) => {
        await requirePlainStrings(session)
        const target = targetOf(home, label)
        const given = { baselines, home, migrations: tenant, lockTimeoutMs }
        if (await makeFromBaseline(session, target, given)) return tenant.map(({ name }) => name)
        return gather((onApplied) =>
          applyMigrations(session, target, tenant, { lockTimeoutMs, database, onApplied }),
        )
      })
    },

    async migrateShared(database, home) {
      const tenant = await readTenant()
      return database.session(async (session) => {
        await requirePlainStrings(session)
        return gather((onApplied) => applyAll(session, home, tenant, onApplied))
      })
    },
  }

  function applyAll(
    session: Queryable,
    home: SharedHome,
    migrations: readonly Migration[],
    onApplied: (name: string) => void,
  ): Promise<void> {
    const listSharing = homes.listSharing.bind(homes)
    return applyToShared(session, home, migrations, { lockTimeoutMs, listSharing, onApplied })
  }
}

async function gather(apply: (onApplied: (name: string) => void) => Promise<void>): Promise<string[]> {
  const applied: string[] = []
  await apply((name) => void applied.push(name))
  return applied
}
