/** `down`: undoes tenant migrations, the newest first. */
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import { requireDown, revertMigrations, type RevertOptions } from '../apply/revert-migrations.ts'
import type { Migration } from '../files/migration.ts'
import type { Target } from '../ledger/ledger.ts'
import { type MigrationProject, requirePlainStrings } from '../migration-project.ts'
import { collect, type Outcome } from '../outcome.ts'
import { revertOnShared } from '../shared-form/revert-shared.ts'
import { asRun } from './as-run.ts'
import { chooseMembers } from './choose-members.ts'
import { type FleetMember, readFleet, readSharing } from './fleet-members.ts'
import type { MigrationReport } from './migration-report.ts'
import { passThrough } from './pass-through.ts'
import { planWaves } from './plan-waves.ts'
import {
  cannotStart,
  checkRunOptions,
  DEFAULT_WORKERS,
  findMigration,
  type RunOptions,
} from './run-options.ts'
import { createTally } from './tally.ts'
import { workThere } from './work-there.ts'

/** `steps` or `to`, never both. */
export interface DownOptions extends RunOptions {
  /** How many of the newest tenant migrations each tenant is to lose. */
  readonly steps?: number
  /** The last migration to keep: its name, its file, or its number. */
  readonly to?: string
}

/** See `FleetRuns.down`. */
export async function runDown(project: MigrationProject, options: DownOptions): Promise<MigrationReport> {
  checkRunOptions(options)
  const { db, homes } = project
  const tenant = await project.readTenant()
  const keep = findKeep(options, tenant)
  const plan = planWaves([])
  const tally = createTally(options, options.dryRun)
  return asRun(db, options, tally, async (session) => {
    await requirePlainStrings(session)
    const fleet = await readFleet(session, homes, plan)
    const home = await homes.findShared()
    const together = home && (await readSharing(session, home, fleet.sharing, plan))
    const all = together === undefined ? fleet.members : [together, ...fleet.members]
    const chosen = chooseMembers(all, options.only)
    tally.expect(chosen.length)
    const revert = downStep(project, options, tenant, keep)
    await passThrough(
      {
        db,
        session,
        plan,
        workers: options.workers ?? DEFAULT_WORKERS,
        tally,
        signal: options.signal,
        onEvent: options.onEvent,
        gated: false,
        together: async (own, { ledger }) =>
          home === undefined
            ? { applied: [] }
            : collect(
                (onReverted) =>
                  revertOnShared(own, home, tenant, {
                    ...revert.limits,
                    applied: ledger?.applied ?? [],
                    listSharing: homes.listSharing.bind(homes),
                    onReverted,
                  }),
                options.dryRun === true ? undefined : options.signal,
              ),
        here: (own, { target, ledger }) => revert.schema(own, target, ledger),
        there: (elsewhere, member) => revert.there(elsewhere, member),
        settle: async () => undefined,
      },
      [chosen],
    )
  })
}

/** @throws TNY420 where it says neither or both, TNY424 where one that all are to lose cannot be undone. */
function findKeep({ steps, to }: DownOptions, tenant: readonly Migration[]): (ran: number) => number {
  if ((steps === undefined) === (to === undefined)) {
    throw cannotStart('it says neither or both of `steps` and `to`', 'One step back is { steps: 1 }.')
  }
  if (steps !== undefined) {
    if (Number.isSafeInteger(steps) && steps > 0) return (ran) => ran - steps
    throw cannotStart(`\`steps\` is ${String(steps)}`, 'Give a whole number from 1.')
  }
  const place = findMigration(to ?? '', tenant)
  if (place < 0)
    throw cannotStart(
      `there is no tenant migration "${to}"`,
      'Write its name as `tenantry migrate status` does.',
    )
  tenant.slice(place + 1).forEach(requireDown)
  return () => place + 1
}

function downStep(
  project: MigrationProject,
  options: DownOptions,
  tenant: readonly Migration[],
  keep: RevertOptions['keep'],
): {
  readonly limits: RevertOptions
  schema(session: Queryable, target: Target, ledger?: FleetMember['ledger']): Promise<Outcome>
  there(elsewhere: AdminDatabase, member: FleetMember): Promise<Outcome>
} {
  const { dryRun, statementTimeoutMs, signal } = options
  const lockTimeoutMs = options.lockTimeoutMs ?? project.lockTimeoutMs
  const limits = { keep, dryRun, statementTimeoutMs, lockTimeoutMs }
  const schema = (session: Queryable, target: Target, ledger?: FleetMember['ledger']): Promise<Outcome> =>
    collect(
      (onReverted) => revertMigrations(session, target, tenant, { ...limits, ledger, onReverted }),
      dryRun === true ? undefined : signal,
    )
  return {
    limits,
    schema,
    there: (elsewhere, member) => workThere(project, elsewhere, member, dryRun, schema),
  }
}
