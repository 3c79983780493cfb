/** What ran where, for people and scripts; changes nothing. */
import { ledgerFailure } from '../apply/apply-migrations.ts'
import type { Migration } from '../files/migration.ts'
import { readLedgers, SHARED_SET } from '../ledger/ledger.ts'
import type { MigrationProject } from '../migration-project.ts'
import { NOTHING_RAN, readFleet, readSharing, readThere } from './fleet-members.ts'
import type { MigrationStatus } from './migration-report.ts'
import { readQuarantine } from './quarantine.ts'
import { cannotStart } from './run-options.ts'

export interface StatusOptions {
  /** Keys or ids of the only tenants; `shared tenants` for all that share tables. */
  readonly only?: readonly string[]
}

export async function readStatus(
  { db, homes, readShared, readTenant }: MigrationProject,
  { only }: StatusOptions = {},
): Promise<MigrationStatus> {
  const [shared, tenant] = [await readShared(), await readTenant()]
  return db.session(async (session) => {
    const [ledger] = await readLedgers(session, [SHARED_SET])
    const applied = ledger?.applied ?? []
    const fleet = await readFleet(session, homes)
    const home = await homes.findShared()
    const sharing = home === undefined ? [] : [await readSharing(session, home, fleet.sharing)]
    const all = [...sharing, ...fleet.members]
    const members = all.filter(({ id, key }) => only === undefined || only.includes(key) || only.includes(id))
    const missing = only?.filter((name) => !members.some(({ id, key }) => name === id || name === key)) ?? []
    if (missing.length > 0) {
      throw cannotStart(`there is no tenant "${missing.join('", "')}"`, 'See `tenantry tenants list`.')
    }
    const read = await readThere(
      db,
      members.filter(({ database }) => database !== undefined),
    )
    const quarantine = await readQuarantine(session)
    return {
      shared: { applied, pending: pendingNames(shared, applied) },
      tenants: members.map((member) => {
        const { id, key, status, target, members: count } = member
        const { applied: names, problem } = read.get(member) ?? member.ledger ?? NOTHING_RAN
        const entry = quarantine.get(id)
        return {
          key,
          status,
          applied: names.length,
          pending: pendingNames(tenant, names),
          ...(count === undefined ? {} : { members: count }),
          ...(entry === undefined || names.includes(entry.migration)
            ? {}
            : { quarantined: { migration: entry.migration, error: entry.error, since: entry.since } }),
          ...(problem === undefined ? {} : { error: ledgerFailure(problem, target) }),
        }
      }),
    }
  })
}

function pendingNames(migrations: readonly Migration[], applied: readonly string[]): string[] {
  const ran = new Set(applied)
  return migrations.map(({ name }) => name).filter((name) => !ran.has(name))
}
