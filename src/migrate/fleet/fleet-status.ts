/** What ran where, for people and scripts; changes nothing. */
import { ledgerFailure } from '../apply/migration-failure.ts'
import type { Queryable } from '../../core/database.ts'
import type { Migration, Repeatable } from '../files/migration.ts'
import { NOTHING_RAN, readLedger, SHARED_SET } from '../ledger/ledger.ts'
import { type Chain, chainOf } from '../ledger/chain.ts'
import { findChanged } from '../ledger/find-changed.ts'
import { verifyHeads } from '../ledger/verify-heads.ts'
import type { MigrationProject } from '../migration-project.ts'
import { readFleet, readSharing, readThere } from './fleet-members.ts'
import type { MigrationStatus } from './migration-report.ts'
import { readQuarantine } from './quarantine.ts'
import { cannotStart } from './run-options.ts'

export interface StatusOptions {
  /** Keys or ids of the only tenants; `shared tenants` for all that share tables. */
  readonly only?: readonly string[]
  /** Reads every ledger, mends what the catalog remembers where another tool ran, and tells what it found. */
  readonly verify?: boolean
}

export async function readStatus(
  { db, homes, readShared, readTenant, readRepeatables }: MigrationProject,
  { only, verify }: StatusOptions = {},
): Promise<MigrationStatus> {
  const [shared, tenant] = [await readShared(), await readTenant()]
  const again = { shared: await readRepeatables('shared'), tenant: await readRepeatables('tenant') }
  return db.session(async (session) => {
    const { applied, repeatable: ranLast } = await readLedger(session, SHARED_SET)
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
    const found = verify === true ? await verifyHeads(db, session, members, chainOf(tenant)) : undefined
    const quarantine = await readQuarantine(session)
    const changed = new Map<string | undefined, readonly string[]>()
    for (const member of members) {
      const { repeatable } = read.get(member) ?? member.ledger ?? NOTHING_RAN
      if (!changed.has(repeatable))
        changed.set(repeatable, await changedNames(session, again.tenant, repeatable))
    }
    const inShared = await changedNames(session, again.shared, ranLast)
    return {
      shared: { applied, pending: [...pendingNames(shared, applied), ...inShared] },
      ...(found === undefined ? {} : { found }),
      tenants: members.map((member) => {
        const { id, key, status, target, members: count } = member
        const { applied: names, repeatable, problem } = read.get(member) ?? member.ledger ?? NOTHING_RAN
        const entry = quarantine.get(id)
        return {
          key,
          status,
          applied: names.length,
          pending: [...pendingNames(tenant, names), ...(changed.get(repeatable) ?? [])],
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

async function changedNames(
  session: Queryable,
  chain: Chain<Repeatable>,
  head: string | undefined,
): Promise<readonly string[]> {
  return (await findChanged(session, chain, head)).map(({ name }) => name)
}

function pendingNames(migrations: readonly Migration[], applied: readonly string[]): string[] {
  const ran = new Set(applied)
  return migrations.map(({ name }) => name).filter((name) => !ran.has(name))
}
