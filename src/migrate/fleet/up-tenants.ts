/** The tenants' part of `up`: who is behind, wave by wave. */
import type { Queryable } from '../../core/database.ts'
import type { Migration, Repeatable } from '../files/migration.ts'
import type { MigrationProject } from '../migration-project.ts'
import type { Outcome } from '../outcome.ts'
import { type Chain, chainOf } from '../ledger/chain.ts'
import { recordHistory } from '../ledger/heads.ts'
import { chooseMembers, isDone, leaveOut, requireNamed } from './choose-members.ts'
import { type FleetMember, readAtHead, readFleet, readSharing } from './fleet-members.ts'
import { tryTogetherFirst } from './hold-back.ts'
import { countTenants } from './migration-report.ts'
import { passThrough } from './pass-through.ts'
import type { WavePlan } from './plan-waves.ts'
import { readQuarantine, release } from './quarantine.ts'
import { rememberOutcome } from './remember-outcome.ts'
import { DEFAULT_WORKERS, type UpOptions } from './run-options.ts'
import type { Tally } from './tally.ts'
import { upHere, upThere, upTogether, type UpwardRun } from './upward-steps.ts'

/** What is to be done at the tenants. */
export interface TenantsRun {
  readonly project: MigrationProject
  readonly options: UpOptions
  readonly tenant: readonly Migration[]
  readonly repeatables: Chain<Repeatable>
  /** How many of them are to have run in the end. */
  readonly goal: number
  readonly plan: WavePlan
  /** Of the lock. */
  readonly session: Queryable
  readonly tally: Tally
  /** In a dry run: what the shared set lacks. */
  readonly sharedBefore: readonly Migration[]
  /** Once it is known how many targets there are in all. */
  tellShared(): void
}

/** Those that fail do not stop the others; the tally says what became of each. */
export async function upTenants(given: TenantsRun): Promise<void> {
  const { project, options, tenant, repeatables, goal, plan, session, tally } = given
  const { db, homes } = project
  const chain = chainOf(tenant)
  const repeatable = goal === tenant.length ? repeatables.head : undefined
  const atHead =
    options.only === undefined
      ? await readAtHead(session, homes, chain.digests[goal - 1], repeatable)
      : undefined
  const fleet = atHead ?? (await readFleet(session, homes, plan))
  const sharedHome = await homes.findShared()
  const together = sharedHome && (await readSharing(session, sharedHome, fleet.sharing, plan))
  const entries = await readQuarantine(session)
  const all = together === undefined ? fleet.members : [together, ...fleet.members]
  if (atHead === undefined) requireNamed(all, plan.named)
  const able = chooseMembers(all, options.only)
  const chosen = options.retry === true ? { able, out: [] } : leaveOut(able, entries, tenant)
  for (const one of chosen.out) tally.quarantined(one)
  const behind = chosen.able.filter((member) => !isDone(member, chain, goal, repeatable))
  tally.unchanged((fleet.atHead ?? 0) + countTenants(chosen.able) - countTenants(behind))
  tally.expect(behind.length)
  given.tellShared()
  const roster = plan.waves.map((_, place) => behind.filter(({ wave }) => wave === place))

  let until = tenant[goal]?.name
  const holdBack = ({ refused }: Outcome): void => {
    until = refused
    if (refused !== undefined) tally.heldBack(refused)
  }
  // Otherwise each worker would find out at its first tenant.
  if (behind.length > 0 && options.dryRun !== true) {
    await recordHistory(session, chain)
    await recordHistory(session, repeatables)
  }
  const { sharedBefore } = given
  const run: UpwardRun = { project, options, tenant, repeatables, sharedBefore, until: () => until }
  const failed: FleetMember[] = []
  if (sharedHome !== undefined && together !== undefined && fleet.sharing > 0) {
    const refusal = await tryTogetherFirst(run, session, sharedHome, together, roster)
    if (refusal !== undefined) {
      holdBack(refusal)
      tally.failedBefore(together, refusal)
    }
  }
  await passThrough(
    {
      db,
      session,
      plan,
      // Dry runs that try the shared set as well would wait for each other.
      workers: given.sharedBefore.length > 0 ? 1 : (options.workers ?? DEFAULT_WORKERS),
      tally,
      signal: options.signal,
      onEvent: options.onEvent,
      gated: options.dryRun !== true,
      async together(own, member) {
        if (sharedHome === undefined) return { applied: [] }
        const outcome = await upTogether(run, own, sharedHome, member)
        if (outcome.refused === undefined) return outcome
        // Where nobody shares them yet, what they cannot have concerns nobody: the first who will is told so.
        if (fleet.sharing === 0) return { applied: outcome.applied }
        holdBack(outcome)
        return outcome
      },
      here: (own, member) => upHere(run, own, member),
      there: (elsewhere, member) => upThere(run, elsewhere, member),
      async settle(member, outcome) {
        if (outcome.error !== undefined) failed.push(member)
        if (options.dryRun !== true) await rememberOutcome(db, entries, tenant, member, outcome)
      },
    },
    roster,
  )
  await forgetTheGone(given, failed)
}

/** A tenant that was deleted meanwhile did not fail. */
async function forgetTheGone({ project, tally }: TenantsRun, failed: readonly FleetMember[]): Promise<void> {
  const suspects = new Map(failed.filter(({ id }) => id !== '').map((member) => [member.id, member]))
  if (suspects.size === 0) return
  for await (const { id } of project.homes.list()) suspects.delete(id)
  tally.forgive([...suspects.values()].map(({ key }) => key))
  await release(project.db, [...suspects.keys()])
}
