/** `migrate baseline`: takes over, for every tenant, what another tool ran there. */
import { MIGRATION_FORMATS, type MigrationFormat } from '../../core/config.ts'
import { TenantryError } from '../../core/errors.ts'
import { chainOf } from '../ledger/chain.ts'
import { mirrorHead } from '../ledger/heads.ts'
import { SHARED_SET, type Target } from '../ledger/ledger.ts'
import { takeOver, type TakeOverOptions } from '../ledger/take-over.ts'
import type { MigrationProject } from '../migration-project.ts'
import { targetOf } from './fleet-members.ts'
import { asOnlyRunner } from './runner-lock.ts'

export interface BaselineOptions {
  /** The tool that ran them; the one that wrote the folder, where nothing is said. */
  readonly from?: MigrationFormat | undefined
  /**
   * Where its table has another name or place: `migrations`, or `legacy.pgmigrations`. Without a schema it is looked for
   * in each tenant's own.
   */
  readonly table?: string | undefined
  /** Reads no ledger: everything up to this migration, by name, counts as run. For a database whose tables nobody recorded. */
  readonly to?: string | undefined
  /** Which migrations: those of tenants, unless something else is said. */
  readonly set?: 'shared' | 'tenant' | undefined
  /** Keys or ids of the tenants that are meant; all that are active, suspended or moving without it. */
  readonly only?: readonly string[] | undefined
  /** Tells what would be recorded, and changes nothing. */
  readonly dryRun?: boolean | undefined
}

/** What was taken over. */
export interface BaselineReport {
  /** `recorded` is empty where it was recorded already, or nothing ran. */
  readonly targets: readonly { readonly key: string; readonly recorded: readonly string[] }[]
  readonly failed: readonly { readonly key: string; readonly error: TenantryError }[]
}

export interface FleetBaseline {
  /**
   * Records in each tenant's `pgmigrations` what another tool ran there, one transaction a tenant; that tool's own table
   * stays as it is. Tenants that share tables have nothing to take over. It may be repeated.
   * @returns what was recorded; a tenant that cannot be taken over (TNY403, TNY413) does not stop the others.
   * @throws TNY401, TNY404, TNY408 to TNY410 for the files, TNY302 for a key of `only` that nobody has, TNY406 where somebody migrates.
   */
  baseline(options?: BaselineOptions): Promise<BaselineReport>
}

interface Place {
  readonly key: string
  readonly target: Target
  readonly database?: string | undefined
}

export function fleetBaseline(project: MigrationProject): FleetBaseline {
  const { db } = project
  return {
    async baseline({ from, table, to, set = 'tenant', only, dryRun } = {}) {
      const migrations = await (set === 'shared' ? project.readShared() : project.readTenant())
      const format = from ?? (await project.formatOf(set))
      if (!MIGRATION_FORMATS.includes(format)) throw unknownTool(format)
      const chain = chainOf(migrations)
      const places =
        set === 'shared' ? [{ key: SHARED_SET.label, target: SHARED_SET }] : await listPlaces(project, only)
      const options: TakeOverOptions = { from: format, table, to, dryRun }
      const report = await asOnlyRunner(db, { wait: false }, async (session) => {
        const targets: BaselineReport['targets'][number][] = []
        const failed: BaselineReport['failed'][number][] = []
        for (const { key, target, database } of places) {
          const { schema } = target
          try {
            const recorded = await (database === undefined
              ? takeOver(session, target, chain, options)
              : db.inDatabase(database).session(async (there) => {
                  const names = await takeOver(there, target, chain, options)
                  if (dryRun !== true) await mirrorHead(there, session, { schema, database })
                  return names
                }))
            targets.push({ key, recorded })
          } catch (error) {
            if (!(error instanceof TenantryError && /^TNY4(03|13)$/.test(error.code))) throw error
            failed.push({ key, error })
          }
        }
        return { targets, failed }
      })
      return report ?? { targets: [], failed: [] }
    },
  }
}

async function listPlaces(
  { homes }: MigrationProject,
  only: readonly string[] | undefined,
): Promise<Place[]> {
  const places: Place[] = []
  const wanted = new Set(only)
  for await (const { id, key, home } of homes.list()) {
    if (only !== undefined && !wanted.delete(key) && !wanted.delete(id)) continue
    if (home.model === 'shared') continue
    places.push({ key, target: targetOf(home, key, id), database: home.database })
  }
  const [stranger] = wanted
  if (stranger !== undefined) throw new TenantryError('TNY302', { params: { tenant: stranger } })
  return places
}

function unknownTool(format: string): TenantryError {
  const reason = `there is no tool ${JSON.stringify(format)}`
  const advice = `Say one of ${MIGRATION_FORMATS.join(', ')}.`
  return new TenantryError('TNY413', { params: { target: 'any tenant', reason, advice } })
}
