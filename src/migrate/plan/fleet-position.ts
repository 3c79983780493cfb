/** How far each tenant is, and who is therefore asked to run what. */
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import type { TenantHomes } from '../../core/homes.ts'
import type { TenantModel } from '../../core/tenant.ts'
import { ledgerFailure } from '../apply/migration-failure.ts'
import { TenantryError } from '../../core/errors.ts'
import type { Migration } from '../files/migration.ts'
import { chooseMembers } from '../fleet/choose-members.ts'
import { type FleetMember, readFleet, readSharing, readThere } from '../fleet/fleet-members.ts'
import type { WavePlan } from '../fleet/plan-waves.ts'
import { findMissing } from '../ledger/find-missing.ts'
import { NOTHING_RAN, readLedger, SHARED_SET } from '../ledger/ledger.ts'

/** A tenant, or all that share tables, at its place in the list of tenant migrations. */
export interface PlacedMember extends FleetMember {
  /** How many tenant migrations ran. */
  readonly ran: number
  readonly model: TenantModel
  /** How many tenants it stands for. */
  readonly count: number
}

/** Where the fleet is. */
export interface FleetPosition {
  /** How many shared migrations ran. */
  readonly shared: number
  readonly members: readonly PlacedMember[]
  /** Tenants of which it cannot be told: their ledger cannot be read, or does not fit the files. */
  readonly unplaced: readonly { readonly key: string; readonly error: TenantryError }[]
  readonly sharing: 'some' | 'none'
  /** Where tenants that share tables have them. */
  readonly sharedSchema: string | undefined
}

/**
 * Places every tenant that `up` would come to, also in databases of their own.
 * @throws TNY403 where the shared set's order does not fit, TNY420 for a name in `only` that is nobody's.
 */
export async function readPosition(
  db: AdminDatabase,
  session: Queryable,
  homes: TenantHomes,
  sets: { readonly shared: readonly Migration[]; readonly tenant: readonly Migration[] },
  { plan, only }: { readonly plan?: WavePlan; readonly only?: readonly string[] | undefined } = {},
): Promise<FleetPosition> {
  const { applied } = await readLedger(session, SHARED_SET)
  const missing = findMissing(sets.shared, applied, SHARED_SET.label)
  const fleet = await readFleet(session, homes, plan)
  const home = await homes.findShared()
  const together = home === undefined ? [] : [await readSharing(session, home, fleet.sharing, plan)]
  const chosen = chooseMembers([...together, ...fleet.members], only)
  const read = await readThere(
    db,
    chosen.filter(({ database }) => database !== undefined),
  )
  const [members, unplaced]: [PlacedMember[], { key: string; error: TenantryError }[]] = [[], []]
  for (const member of chosen) {
    const its = read.get(member) ?? member.ledger ?? NOTHING_RAN
    const ran = placeIn(sets.tenant, member, its.applied, its.problem)
    if (ran instanceof TenantryError) unplaced.push({ key: member.key, error: ran })
    else members.push({ ...member, ledger: its, ran, model: modelOf(member), count: member.members ?? 1 })
  }
  return {
    shared: sets.shared.length - missing.length,
    members,
    unplaced,
    sharing: fleet.sharing > 0 ? 'some' : 'none',
    sharedSchema: home?.schema,
  }
}

function placeIn(
  migrations: readonly Migration[],
  { target }: FleetMember,
  applied: readonly string[],
  problem: unknown,
): number | TenantryError {
  if (problem !== undefined) return ledgerFailure(problem, target)
  try {
    return migrations.length - findMissing(migrations, applied, target.label).length
  } catch (error) {
    if (error instanceof TenantryError) return error
    throw error
  }
}

function modelOf({ database, members }: FleetMember): TenantModel {
  if (members !== undefined) return 'shared'
  return database === undefined ? 'schema' : 'database'
}
