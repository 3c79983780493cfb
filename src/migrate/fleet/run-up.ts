/** `up`: the shared set, then every tenant that is behind, in the order that the files ask for. */
import type { Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import type { Migration } from '../files/migration.ts'
import { planSets, type SetStage } from '../files/set-order.ts'
import { chainOf } from '../ledger/chain.ts'
import { SHARED_SET } from '../ledger/ledger.ts'
import { type MigrationProject, requirePlainStrings } from '../migration-project.ts'
import { refuseUnsound } from '../plan/refuse-unsound.ts'
import { asRun } from './as-run.ts'
import { isDone, MIGRATED } from './choose-members.ts'
import { readFleet, readSharing, readThere } from './fleet-members.ts'
import type { MigrationReport } from './migration-report.ts'
import { planWaves } from './plan-waves.ts'
import { checkRunOptions, findGoal, type Goal, type UpOptions } from './run-options.ts'
import { createTally, type Tally } from './tally.ts'
import { upTenants } from './up-tenants.ts'
import { upSchema } from './upward-steps.ts'

/** See `FleetRuns.up`. */
export async function runUp(project: MigrationProject, options: UpOptions = {}): Promise<MigrationReport> {
  checkRunOptions(options)
  const plan = planWaves(options.waves ?? project.waves)
  const [shared, tenant] = [await project.readShared(), await project.readTenant()]
  const [repeatablesShared, repeatables] = [
    await project.readRepeatables('shared'),
    await project.readRepeatables('tenant'),
  ]
  const goal = findGoal(options.to, shared, tenant)
  const rounds = planRounds(goal, shared, tenant)
  const tally = createTally(options, options.dryRun)
  return asRun(project.db, options, tally, async (session) => {
    await requirePlainStrings(session)
    if (options.lint !== false) await refuseUnsound(project, session, { shared, tenant }, goal)
    const sharedBefore: Migration[] = []
    for (const [place, round] of rounds.entries()) {
      const before = rounds[place - 1]
      if (before !== undefined && options.dryRun !== true) {
        await requireAll({
          project,
          session,
          tally,
          tenant,
          goal: before.tenant,
          next: shared[before.shared]?.file ?? '',
        })
      }
      if (tally.stopped()) return
      tally.expect(1)
      const until = shared[round.shared]?.name
      const inShared = { project, options, repeatables: repeatablesShared }
      const outcome = await upSchema(inShared, session, SHARED_SET, shared, { until })
      if (outcome.error !== undefined) throw outcome.error
      if (outcome.stopped === true) return
      if (options.dryRun === true)
        sharedBefore.push(...shared.filter(({ name }) => outcome.applied.includes(name)))
      const tellShared = (): void => tally.shared(outcome.applied)
      const onlyRepeatables =
        options.to === undefined && tenant.length === 0 && repeatables.head !== undefined
      if (round.tenant === 0 && !onlyRepeatables) tellShared()
      else {
        await upTenants({
          project,
          options,
          tenant,
          repeatables,
          goal: round.tenant,
          plan,
          session,
          tally,
          tellShared,
          sharedBefore,
        })
      }
    }
  })
}

/** How far both sets are after each round: the shared one first. Without a word of the files there is one. */
function planRounds(goal: Goal, shared: readonly Migration[], tenant: readonly Migration[]): readonly Goal[] {
  const stages: readonly SetStage[] = planSets(shared, tenant, goal)
  const rounds: { shared: number; tenant: number }[] = [{ shared: 0, tenant: 0 }]
  for (const [place, { set, migrations }] of stages.entries()) {
    const last = rounds.at(-1)
    if (last === undefined) break
    if (set === 'tenant') last.tenant += migrations.length
    else if (place > 0) rounds.push({ shared: last.shared + migrations.length, tenant: last.tenant })
    else last.shared += migrations.length
  }
  return rounds
}

interface Requirement {
  readonly project: MigrationProject
  readonly session: Queryable
  readonly tally: Tally
  readonly tenant: readonly Migration[]
  readonly goal: number
  /** The file that may only run when all are so far. */
  readonly next: string
}

/** A shared migration behind one of the tenants needs all of them there: also those that this run was not asked for. */
async function requireAll({ project, session, tally, tenant, goal, next }: Requirement): Promise<void> {
  if (tally.stopped()) return
  const { db, homes } = project
  const home = await homes.findShared()
  const fleet = await readFleet(session, homes)
  const together = home === undefined ? [] : [await readSharing(session, home, fleet.sharing)]
  const members = [...together, ...fleet.members].filter(({ status }) => MIGRATED.includes(status))
  const there = await readThere(
    db,
    members.filter(({ database }) => database !== undefined),
  )
  const behind = members.filter(
    (member) => !isDone({ ...member, ledger: there.get(member) ?? member.ledger }, chainOf(tenant), goal),
  )
  if (behind.length === 0) return
  const names = behind
    .slice(0, 5)
    .map(({ key }) => key)
    .join(', ')
  const reason = `${next} waits for tenants that are not so far, ${names}${behind.length > 5 ? ' and others' : ''}`
  const wave = tenant[goal - 1]?.name ?? ''
  tally.stop(new TenantryError('TNY421', { params: { wave, reason, left: behind.length } }))
}
