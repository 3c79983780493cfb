/** `up`: the shared set, then every tenant that is behind, wave by wave. */
import type { Queryable } from '../../core/database.ts'
import type { Migration } from '../files/migration.ts'
import { SHARED_SET } from '../ledger/ledger.ts'
import { type MigrationProject, requirePlainStrings } from '../migration-project.ts'
import type { Outcome } from '../outcome.ts'
import { refuseUnsound } from '../plan/refuse-unsound.ts'
import { asRun } from './as-run.ts'
import { chooseMembers, isDone, leaveOut } from './choose-members.ts'
import { type FleetMember, readFleet, readSharing } from './fleet-members.ts'
import { tryTogetherFirst } from './hold-back.ts'
import { countTenants, type MigrationReport } from './migration-report.ts'
import { passThrough } from './pass-through.ts'
import { planWaves, type WavePlan } from './plan-waves.ts'
import { readQuarantine, release } from './quarantine.ts'
import { rememberOutcome } from './remember-outcome.ts'
import { checkRunOptions, DEFAULT_WORKERS, findGoal, type Goal, type UpOptions } from './run-options.ts'
import { createTally, type Tally } from './tally.ts'
import { upHere, upSchema, upThere, upTogether, type UpwardRun } from './upward-steps.ts'

/** See `FleetRuns.up`. */
export async function runUp(project: MigrationProject, options: UpOptions = {}): Promise<MigrationReport> {
  checkRunOptions(options)
  const plan = planWaves(options.waves ?? project.waves)
  const [shared, tenant] = [await project.readShared(), await project.readTenant()]
  const goal = findGoal(options.to, shared, tenant)
  const tally = createTally(options, options.dryRun)
  return asRun(project.db, options, tally, async (session) => {
    await requirePlainStrings(session)
    if (options.lint !== false) await refuseUnsound(project, session, { shared, tenant }, goal)
    tally.expect(1)
    const until = shared[goal.shared]?.name
    const outcome = await upSchema({ project, options }, session, SHARED_SET, shared, { until })
    if (outcome.error !== undefined) throw outcome.error
    if (outcome.stopped === true) return
    const tellShared = (): void => tally.shared(outcome.applied)
    if (goal.tenant === 0) return tellShared()
    const sharedBefore =
      options.dryRun === true ? shared.filter(({ name }) => outcome.applied.includes(name)) : []
    await upTenants({ project, options, tenant, goal, plan, session, tally, tellShared, sharedBefore })
  })
}

interface TenantsRun {
  readonly project: MigrationProject
  readonly options: UpOptions
  readonly tenant: readonly Migration[]
  readonly goal: Goal
  readonly plan: WavePlan
  /** Of the lock. */
  readonly session: Queryable
  readonly tally: Tally
  readonly sharedBefore: readonly Migration[]
  /** Once it is known how many targets there are in all. */
  tellShared(): void
}

async function upTenants(given: TenantsRun): Promise<void> {
  const { project, options, tenant, goal, plan, session, tally } = given
  const { db, homes } = project
  const fleet = await readFleet(session, homes, plan)
  const sharedHome = await homes.findShared()
  const together = sharedHome && (await readSharing(session, sharedHome, fleet.sharing, plan))
  const entries = await readQuarantine(session)
  const able = chooseMembers(
    together === undefined ? fleet.members : [together, ...fleet.members],
    options.only,
  )
  const chosen = options.retry === true ? { able, out: [] } : leaveOut(able, entries, tenant)
  for (const one of chosen.out) tally.quarantined(one)
  const behind = chosen.able.filter((member) => !isDone(member, tenant, goal.tenant))
  tally.unchanged(countTenants(chosen.able) - countTenants(behind))
  tally.expect(behind.length)
  given.tellShared()
  const roster = plan.waves.map((_, place) => behind.filter(({ wave }) => wave === place))

  let until = tenant[goal.tenant]?.name
  const holdBack = ({ refused }: Outcome): void => {
    until = refused
    if (refused !== undefined) tally.heldBack(refused)
  }
  const run: UpwardRun = { project, options, tenant, sharedBefore: given.sharedBefore, until: () => until }
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
