/** What `up` does at one target of the fleet, of whatever kind it is. */
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import type { SharedHome } from '../../core/homes.ts'
import { applyMigrations } from '../apply/apply-migrations.ts'
import { applyRepeatables } from '../apply/apply-repeatables.ts'
import { ledgerFailure } from '../apply/migration-failure.ts'
import { rehearseMigrations } from '../apply/rehearse-migrations.ts'
import type { Migration, Repeatable } from '../files/migration.ts'
import type { Chain } from '../ledger/chain.ts'
import { mirrorHead } from '../ledger/heads.ts'
import { announceMigration, type Target } from '../ledger/ledger.ts'
import { type MigrationProject, requirePlainStrings } from '../migration-project.ts'
import { collect, type Outcome } from '../outcome.ts'
import { applyToShared } from '../shared-form/apply-shared.ts'
import { repeatOnShared } from '../shared-form/repeat-on-shared.ts'
import { rehearseOnShared } from '../shared-form/rehearse-shared.ts'
import type { FleetMember } from './fleet-members.ts'
import type { UpOptions } from './run-options.ts'

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

/** A tenant in a database of its own; others do not stop where that cannot be reached. */
export async function upThere(
  run: UpwardRun,
  elsewhere: AdminDatabase,
  { target, database }: FleetMember,
): Promise<Outcome> {
  let applied: readonly string[] = []
  try {
    const outcome = await elsewhere.session(async (session) => {
      await requirePlainStrings(session)
      // Nobody listens there.
      const quiet = { ...target, tenantId: undefined }
      const result = await upSchema(run, session, quiet, run.tenant, {
        until: run.until(),
        database: elsewhere,
      })
      if (database !== undefined && run.options.dryRun !== true) {
        await mirrorHead(session, run.project.db, { schema: target.schema, database })
      }
      return result
    })
    applied = outcome.applied
    const announcement = announceMigration(target)
    if (applied.length > 0 && announcement !== '') await run.project.db.query(announcement)
    return outcome
  } catch (error) {
    return { applied, error: ledgerFailure(error, target) }
  }
}

/** All tenants that share tables. */
export async function upTogether(
  { project, options, tenant, repeatables, until }: UpwardRun,
  session: Queryable,
  home: SharedHome,
  { ledger }: FleetMember,
): Promise<Outcome> {
  const listSharing = project.homes.listSharing.bind(project.homes)
  const lockTimeoutMs = options.lockTimeoutMs ?? project.lockTimeoutMs
  const end = tenant.findIndex(({ name }) => name === until())
  const migrations = end < 0 ? tenant : tenant.slice(0, Math.max(end, ledger?.applied.length ?? 0))
  let refused: string | undefined
  const onRefused = (name: string): void => void (refused = name)
  const toEnd = until() === undefined
  const usual = { lockTimeoutMs, listSharing, onRefused }
  const outcome = await collect(
    async (onApplied) => {
      if (options.dryRun !== true) {
        await applyToShared(session, home, migrations, { ...usual, onApplied })
        if (toEnd) await repeatOnShared(session, home, repeatables, { ...usual, onApplied })
        return
      }
      const names = await rehearseOnShared(session, home, migrations, {
        lockTimeoutMs,
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
