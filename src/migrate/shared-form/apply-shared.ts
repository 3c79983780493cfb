/** Brings the tables that tenants share up to date: each migration is one transaction over pattern and shared tables. */
import { CATALOG_CHANNEL } from '../../catalog/catalog-migrations.ts'
import type { Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import type { SharedHome, TenantHomes } from '../../core/homes.ts'
import { lockShared } from '../../isolation/shared-form/shared-schemas.ts'
import { quoteIdent } from '../../sql/quote.ts'
import { failure, ledgerFailure } from '../apply/migration-failure.ts'
import { retryLocks, usualRetry } from '../apply/lock-retry.ts'
import { CLEAN_SESSION, foundOtherwise, limitStep, type StepLimits } from '../apply/step.ts'
import { chainOf, type Chain } from '../ledger/chain.ts'
import { findMissing } from '../ledger/find-missing.ts'
import { moveHead, recordHistory } from '../ledger/heads.ts'
import { requireUnedited } from '../ledger/require-unedited.ts'
import { readLedger, recordMigration, settleLedger, sharedTarget, type Ledger } from '../ledger/ledger.ts'
import type { Migration } from '../files/migration.ts'
import { replayOnShared } from './replay-on-shared.ts'
import { planReplay, type ReplayStep } from './shared-replay.ts'

export interface ApplySharedOptions extends StepLimits {
  readonly listSharing: TenantHomes['listSharing']
  /** Called after each commit. */
  readonly onApplied?: ((name: string) => void) | undefined
  /** Told the name of the migration that TNY407 is about, before it is thrown. */
  readonly onRefused?: ((name: string) => void) | undefined
}

/**
 * Runs what is missing for the tenants that share tables: each migration in the pattern, and repeated in the shared
 * tables, in one transaction. Others may do the same at the same time: each migration runs exactly once.
 * @param session one connection, outside a transaction.
 * @throws TNY407 where a migration cannot run there; TNY402 where it failed. Nothing of it is left. TNY403 and TNY415 as
 * `applyMigrations`.
 */
export async function applyToShared(
  session: Queryable,
  home: SharedHome,
  migrations: readonly Migration[],
  options: ApplySharedOptions,
): Promise<void> {
  const target = sharedTarget(home)
  const missingFrom = ({ applied, problem }: Ledger): readonly Migration[] => {
    if (problem !== undefined) throw ledgerFailure(problem, target)
    return findMissing(migrations, applied, target.label)
  }
  const ledger = await readLedger(session, target)
  let missing = missingFrom(ledger)
  const chain = chainOf(migrations)
  await requireUnedited(session, target, chain, ledger)
  if (missing.length > 0 || ledger.state === 'unsettled') {
    await settleLedger(session, target, ledger).catch((error: unknown) => {
      throw ledgerFailure(error, target)
    })
  }
  // All are planned before one runs: what is refused is refused while nothing has happened.
  const plans = new Map(missing.map((migration) => [migration.name, plan(migration)]))
  while (missing[0] !== undefined) {
    const migration = missing[0]
    const position = migrations.length - missing.length
    const steps = plans.get(migration.name) ?? []
    const retry = usualRetry(migration.options.lockTimeoutMs ?? options.lockTimeoutMs)
    const attempt = (): Promise<boolean> => applyOne(session, home, { chain, position }, steps, options)
    if (await retryLocks(retry, attempt)) options.onApplied?.(migration.name)
    // Where it was not this run, it was another one.
    missing = missing.slice(1)
  }

  function plan(migration: Migration): readonly ReplayStep[] {
    try {
      return planReplay(migration)
    } catch (error) {
      tellRefusal(error, migration, options)
      throw error
    }
  }
}

function tellRefusal(error: unknown, { name }: Migration, { onRefused }: ApplySharedOptions): void {
  if (error instanceof TenantryError && error.code === 'TNY407') onRefused?.(name)
}

interface Place {
  readonly chain: Chain
  /** How many migrations ran. */
  readonly position: number
}

/** False where another runner was faster and nothing happened. */
async function applyOne(
  session: Queryable,
  home: SharedHome,
  { chain, position }: Place,
  steps: readonly ReplayStep[],
  options: ApplySharedOptions,
): Promise<boolean> {
  const { listSharing } = options
  const target = sharedTarget(home)
  const owner = quoteIdent(home.ownerRole)
  const before = chain.migrations.slice(0, position)
  const migration = chain.migrations[position]
  if (migration === undefined) return false
  try {
    await session.query('begin')
    await lockShared(session)
    const { rows } = await session.query<{ applied: string }>(
      `select coalesce(json_agg(name order by run_on, id), '[]')::text as applied from ${quoteIdent(home.pattern)}.pgmigrations`,
    )
    const applied = JSON.parse(rows[0]?.applied ?? '[]') as string[]
    if (applied.length < position) throw new Error('the ledger reads differently inside the transaction')
    if (applied.length > position) {
      await session.query('rollback')
      findMissing([...before, migration], applied.slice(0, position + 1), target.label)
      return false
    }
    await session.query(moveHead(target.schema, chain.digests[position], migration.version))
    await session.query(limitStep(migration.options, options).join('; '))
    await replayOnShared(session, home, migration, steps, () => listSharing(session))
    await session.query(`set local role ${owner}; ${recordMigration(target, migration.name, position)};
      set local role none; notify ${CATALOG_CHANNEL}; commit; ${CLEAN_SESSION}`)
    return true
  } catch (error) {
    await session.query('rollback').catch(() => undefined)
    if (foundOtherwise(error) === 'unknown') {
      await recordHistory(session, chain)
      return applyOne(session, home, { chain, position }, steps, options)
    }
    tellRefusal(error, migration, options)
    throw failure(error, target, migration.file)
  }
}
