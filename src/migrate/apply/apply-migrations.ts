/** Brings one schema up to date: each migration is a step, and what ran before a failure stays. */
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import type { Migration } from '../files/migration.ts'
import { chainOf, type Chain } from '../ledger/chain.ts'
import { findMissing } from '../ledger/find-missing.ts'
import { moveHead, recordHistory } from '../ledger/heads.ts'
import { readLedger, recordMigration, settleLedger, type Ledger, type Target } from '../ledger/ledger.ts'
import { requireUnedited } from '../ledger/require-unedited.ts'
import { runBatches, type BatchProgress } from './batch-step.ts'
import { retryLocks, usualRetry, type LockRetry } from './lock-retry.ts'
import { ledgerFailure } from './migration-failure.ts'
import { runOutside } from './outside-transaction.ts'
import { runStep, type Step, type StepLimits } from './step.ts'

export interface ApplyOptions extends StepLimits {
  /** What becomes of a step that meets a lock; four attempts by default. */
  readonly retry?: LockRetry | undefined
  /** That of `migrations`, for who has it already. */
  readonly chain?: Chain | undefined
  /** What the ledger said lately; read now where absent. Being out of date does no harm. */
  readonly ledger?: Ledger | undefined
  /** The migration that does not run yet, nor any behind it; where it ran already, nothing is held back. */
  readonly heldBack?: string | undefined
  /** Where the session is; migrations outside of a transaction get a connection of their own there. */
  readonly database?: AdminDatabase | undefined
  /** Called after each commit of a data migration in batches. */
  readonly onBatch?: ((progress: BatchProgress) => void) | undefined
  /** Called after each commit. */
  readonly onApplied?: ((name: string) => void) | undefined
  /** Called where a lock is in the way, before the pause. */
  readonly onRetry?: ((name: string, failures: number) => void) | undefined
}

/**
 * Runs what is missing in a schema. Others may do the same at the same time: each migration runs exactly once.
 * @param session one connection, outside a transaction.
 * @throws TNY402 where a migration failed; nothing of it is left. TNY403 where the order does not fit, TNY415 where a
 * file was edited after it ran here.
 */
export async function applyMigrations(
  session: Queryable,
  target: Target,
  migrations: readonly Migration[],
  options: ApplyOptions,
): Promise<void> {
  const chain = options.chain ?? chainOf(migrations)
  const missingFrom = ({ applied, problem }: Ledger): readonly Migration[] => {
    if (problem !== undefined) throw ledgerFailure(problem, target)
    return findMissing(migrations, applied, target.label)
  }
  const ledger = options.ledger ?? (await readLedger(session, target))
  let missing = missingFrom(ledger)
  await requireUnedited(session, target, chain, ledger)
  if (missing.length > 0 || ledger.state === 'unsettled') {
    await settleLedger(session, target, ledger).catch((error: unknown) => {
      throw ledgerFailure(error, target)
    })
  }
  while (missing[0] !== undefined && missing[0].name !== options.heldBack) {
    const migration = missing[0]
    const position = migrations.length - missing.length
    if (await applyOne(session, target, migration, { ...options, chain, position })) {
      options.onApplied?.(migration.name)
      missing = missing.slice(1)
      continue
    }
    missing = missingFrom(await readLedger(session, target))
    if (migrations.length - missing.length === position) {
      throw ledgerFailure(new Error('it reads differently inside the transaction'), target)
    }
  }
}

interface Place {
  readonly chain: Chain
  /** How many migrations ran. */
  readonly position: number
}

/** False where another runner was faster and nothing happened. */
async function applyOne(
  session: Queryable,
  target: Target,
  migration: Migration,
  options: ApplyOptions & Place,
): Promise<boolean> {
  const { chain, position, onRetry } = options
  const { up: sql, line, lines, statements, file, name, perTenant } = migration
  let step: Step = {
    file,
    script: { sql, line, lines, statements },
    perTenant,
    options: migration.options,
    moveHead: moveHead(target.schema, chain.digests[position], migration.version),
    moveLedger: recordMigration(target, name, position),
  }
  const retry = options.retry ?? usualRetry(migration.options.lockTimeoutMs ?? options.lockTimeoutMs)
  if (!migration.options.transaction || migration.options.batch) {
    if ((await readLedger(session, target)).applied.length !== position) return false
    await recordHistory(session, chain)
    if (migration.options.batch) {
      let batch = 0
      const onRows = (rows: number): void => options.onBatch?.({ name, batch: (batch += 1), rows })
      await runBatches(session, target, step, { ...options, retry, onRows })
    } else {
      const { database } = options
      if (database === undefined) throw new Error('a migration outside of a transaction needs the database')
      await runOutside(session, target, name, step, { ...options, retry, database })
    }
    // What is left is to record it.
    step = { ...step, script: { sql: '', line: 1, statements: [] } }
  }
  const attempt = async (): Promise<boolean> => {
    const outcome = await runStep(session, target, step, options)
    if (outcome !== 'unknown') return outcome === 'done'
    await recordHistory(session, chain)
    return attempt()
  }
  return retryLocks(retry, attempt, (failures) => onRetry?.(name, failures))
}
