/** Migrations of one home, outside of any run over the fleet: what provisioning needs. */
import type { TenantMigrator } from '../core/migrator.ts'
import { applyMigrations } from './apply/apply-migrations.ts'
import { applyRepeatables } from './apply/apply-repeatables.ts'
import { makeFromBaseline } from './baseline/make-from-baseline.ts'
import { targetOf } from './fleet/fleet-members.ts'
import { type MigrationProject, requirePlainStrings } from './migration-project.ts'
import { applyToShared } from './shared-form/apply-shared.ts'
import { repeatOnShared } from './shared-form/repeat-on-shared.ts'

/** The part of the face that fills homes. */
export function homeMigrator({
  lockTimeoutMs,
  homes,
  baselines,
  readTenant,
  readRepeatables,
  digestTenant,
}: MigrationProject): TenantMigrator {
  return {
    digest: digestTenant,

    async migrateHome(database, home, label) {
      const [tenant, repeatables] = [await readTenant(), await readRepeatables('tenant')]
      return database.session(async (session) => {
        await requirePlainStrings(session)
        const target = targetOf(home, label)
        const given = { baselines, home, migrations: tenant, lockTimeoutMs }
        const made = await makeFromBaseline(session, target, given)
        return gather(async (onApplied) => {
          if (made) for (const { name } of tenant) onApplied(name)
          else await applyMigrations(session, target, tenant, { lockTimeoutMs, database, onApplied })
          await applyRepeatables(session, target, repeatables, { lockTimeoutMs, onApplied })
        })
      })
    },

    async migrateShared(database, home) {
      const [tenant, repeatables] = [await readTenant(), await readRepeatables('tenant')]
      const listSharing = homes.listSharing.bind(homes)
      return database.session(async (session) => {
        await requirePlainStrings(session)
        return gather(async (onApplied) => {
          const options = { lockTimeoutMs, listSharing, onApplied }
          await applyToShared(session, home, tenant, options)
          await repeatOnShared(session, home, repeatables, options)
        })
      })
    },
  }
}

async function gather(apply: (onApplied: (name: string) => void) => Promise<void>): Promise<string[]> {
  const applied: string[] = []
  await apply((name) => void applied.push(name))
  return applied
}
