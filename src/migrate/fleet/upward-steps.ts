/** What `up` does at one target of the fleet, of whatever kind it is. */
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import type { SharedHome } from '../../core/homes.ts'
import { applyMigrations } from '../apply/apply-migrations.ts'
import { applyRepeatables } from '../apply/apply-repeatables.ts'
import { rehearseMigrations } from '../apply/rehearse-migrations.ts'
import type { Migration, Repeatable } from '../files/migration.ts'
import type { Chain } from '../ledger/chain.ts'
import type { Target } from '../ledger/ledger.ts'
import type { MigrationProject } from '../migration-project.ts'
import { collect, type Outcome } from '../outcome.ts'
import { applyToShared } from '../shared-form/apply-shared.ts'
import { repeatOnShared } from '../shared-form/repeat-on-shared.ts'
import { rehearseOnShared } from '../shared-form/rehearse-shared.ts'
import type { FleetMember } from './fleet-members.ts'
import type { UpOptions } from './run-options.ts'
import { workThere } from './work-there.ts'

/** What the steps of a run have in common. */
export interface UpwardRun {
  readonly project: MigrationProject
  readonly options: UpOptions
  readonly tenant: readonly Migration[]
  /** They run where all of the numbered ones did. */
  readonly repeatables: Chain<Repeatable>
  /** The first tenant migration that is not to run, nor any behind it; `undefined`: all are. */
  until(): string | undefined
  /** In a dry run: what the shared set lacks. */
  readonly sharedBefore?: readonly Migration[]
}

/** One schema, on a session that is at home in its database. */
export function upSchema(
  run: Pick<UpwardRun, 'project' | 'options' | 'repeatables' | 'sharedBefore'>,
  session: Queryable,
  target: Target,
  migrations: readonly Migration[],
  {
    ledger,
    until,
    database = run.project.db,
  }: {
    ledger?: FleetMember['ledger']
    until?: string | undefined
    /** Where the session is, if not in the catalog's. */
    database?: AdminDatabase
  },
): Promise<Outcome> {
  const { project, options, repeatables, sharedBefore } = run
  const lockTimeoutMs = options.lockTimeoutMs ?? project.lockTimeoutMs
  const { dryRun, statementTimeoutMs, signal } = options
  if (dryRun === true) {
    const limits = { lockTimeoutMs, statementTimeoutMs }
    return collect((onApplied) =>
      rehearseMigrations(session, target, migrations, {
        ...limits,
        ledger,
        heldBack: until,
        repeatables: until === undefined ? repeatables : undefined,
        sharedBefore,
        onApplied,
      }),
    )
  }
  let soFar = 0
  const end = migrations.findIndex(({ name }) => name === until)
  const ends = until === undefined ? repeatables.migrations.at(-1)?.name : undefined
  const last = ends ?? (end < 0 ? migrations : migrations.slice(0, end)).at(-1)?.name
  return collect(
    async (onApplied) => {
      await applyMigrations(session, target, migrations, {
        lockTimeoutMs,
        statementTimeoutMs,
        ledger,
        database,
        heldBack: until,
        onApplied,
        onBatch: ({ name, batch, rows }) => {
          soFar = batch === 1 ? rows : soFar + rows
          options.onEvent?.({ type: 'batch', tenant: target.label, migration: name, rows: soFar })
        },
      })
      if (until !== undefined) return
      await applyRepeatables(session, target, repeatables, { lockTimeoutMs, statementTimeoutMs, onApplied })
    },
    signal,
    last,
  )
}

/** A tenant of the catalog's database. */
export function upHere(
  run: UpwardRun,
  session: Queryable,
  { target, ledger }: FleetMember,
): Promise<Outcome> {
  return upSchema(run, session, target, run.tenant, { ledger, until: run.until() })
}

/** A tenant in a database of its own. */
export function upThere(run: UpwardRun, elsewhere: AdminDatabase, member: FleetMember): Promise<Outcome> {
  const { project, options, tenant } = run
  return workThere(project, elsewhere, member, options.dryRun, (session, target, ledger) =>
    upSchema(run, session, target, tenant, { ledger, until: run.until(), database: elsewhere }),
  )
}

/** All tenants that share tables. */
export async function upTogether(
  { project, options, tenant, repeatables, until }: UpwardRun,
  session: Queryable,
  home: SharedHome,
  { ledger }: FleetMember,
): Promise<Outcome> {
  const listSharing = project.homes.listSharing.bind(project.homes)
  const limits = {
    lockTimeoutMs: options.lockTimeoutMs ?? project.lockTimeoutMs,
    statementTimeoutMs: options.statementTimeoutMs,
  }
  const end = tenant.findIndex(({ name }) => name === until())
  const migrations = end < 0 ? tenant : tenant.slice(0, Math.max(end, ledger?.applied.length ?? 0))
  let refused: string | undefined
  const onRefused = (name: string): void => void (refused = name)
  const toEnd = until() === undefined
  const usual = { ...limits, listSharing, onRefused }
  const outcome = await collect(
    async (onApplied) => {
      if (options.dryRun !== true) {
        await applyToShared(session, home, migrations, { ...usual, onApplied })
        if (toEnd) await repeatOnShared(session, home, repeatables, { ...usual, onApplied })
        return
      }
      const names = await rehearseOnShared(session, home, migrations, {
        ...limits,
        listSharing,
        onFailed: onRefused,
      })
      for (const name of names) onApplied(name)
      if (toEnd) await repeatOnShared(session, home, repeatables, { ...usual, planOnly: true })
    },
    options.dryRun === true ? undefined : options.signal,
    (toEnd ? repeatables.migrations.at(-1)?.name : undefined) ?? migrations.at(-1)?.name,
  )
  return outcome.error?.code === 'TNY407' ? { ...outcome, refused } : outcome
}
