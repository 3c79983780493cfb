/** Undoes migrations in one schema, the newest first: each is one message, one transaction, and one row less in the ledger. */
import type { Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import { quoteIdent } from '../../sql/quote.ts'
import type { DownPart, Migration } from '../files/migration.ts'
import { findMissing } from '../ledger/find-missing.ts'
import { chainOf } from '../ledger/chain.ts'
import { moveHead, recordHistory } from '../ledger/heads.ts'
import {
  becomeOwner,
  lockTarget,
  readLedger,
  unrecordMigration,
  type Ledger,
  type Target,
} from '../ledger/ledger.ts'
import { retryLocks, usualRetry } from './lock-retry.ts'
import { CLEAN_SESSION, runStep, type Step } from './step.ts'
import { failure, ledgerFailure } from './migration-failure.ts'

export interface RevertOptions {
  /** How many are to stay, where so many ran. */
  readonly keep: (ran: number) => number
  readonly lockTimeoutMs: number
  readonly statementTimeoutMs?: number | undefined
  /** Rolls all of it back. */
  readonly dryRun?: boolean | undefined
  /** What the ledger said lately; read now where absent. */
  readonly ledger?: Ledger | undefined
  /** Called after each commit. */
  readonly onReverted?: ((name: string) => void) | undefined
}

/**
 * @param session one connection, outside a transaction.
 * @throws TNY424 where one of them cannot be undone, before anything happened; TNY402 where a down part failed, TNY403 where
 * the files are not what ran.
 */
export async function revertMigrations(
  session: Queryable,
  target: Target,
  migrations: readonly Migration[],
  options: RevertOptions,
): Promise<void> {
  const ledger = options.ledger ?? (await readLedger(session, target))
  if (ledger.problem !== undefined) throw ledgerFailure(ledger.problem, target)
  const steps = findRevertible(migrations, ledger.applied, target.label, options.keep)
  if (options.dryRun === true && steps.length > 0) return rehearse(session, target, steps, options)
  const chain = chainOf(migrations)
  let count = ledger.applied.length
  for (const { migration, down } of steps) {
    const before = migrations[count - 2]
    const step: Step = {
      file: migration.file,
      script: down,
      options: down.options,
      moveHead: moveHead(target.schema, chain.digests[count - 2], before?.version),
      moveLedger: unrecordMigration(target, migration.name, count),
    }
    const outcome = await retryLocks(usualRetry(options.lockTimeoutMs), async () => {
      const first = await runStep(session, target, step, options)
      if (first !== 'unknown') return first
      await recordHistory(session, chain)
      return runStep(session, target, step, options)
    })
    if (outcome !== 'done') {
      throw ledgerFailure(new Error('another runner is at work in this schema'), target)
    }
    count -= 1
    options.onReverted?.(migration.name)
  }
}

async function rehearse(
  session: Queryable,
  target: Target,
  steps: readonly Revertible[],
  options: RevertOptions,
): Promise<void> {
  let current = steps[0]
  try {
    await session.query(`begin; ${lockTarget(target)}`)
    for (current of steps) {
      const { sql, options: own } = current.down
      await session.query(
        `set local lock_timeout = ${own.lockTimeoutMs ?? options.lockTimeoutMs};
         set local statement_timeout = ${own.statementTimeoutMs ?? options.statementTimeoutMs ?? 0};
         ${becomeOwner(target)} set local search_path = ${quoteIdent(target.schema)};\n${sql}`,
      )
      options.onReverted?.(current.migration.name)
    }
  } catch (error) {
    throw failure(error, target, current?.migration.file ?? '')
  } finally {
    await session.query(`rollback; ${CLEAN_SESSION}`).catch(() => undefined)
  }
}

/** A migration that ran, and what undoes it. */
export interface Revertible {
  readonly migration: Migration
  readonly down: DownPart
}

/**
 * What is to be undone, the newest first.
 * @throws TNY424 where one cannot be, TNY403 where the files are not what ran.
 */
export function findRevertible(
  migrations: readonly Migration[],
  applied: readonly string[],
  label: string,
  keep: RevertOptions['keep'],
): readonly Revertible[] {
  findMissing(migrations, applied, label)
  const from = Math.max(0, Math.min(keep(applied.length), applied.length))
  return migrations
    .slice(from, applied.length)
    .map((migration) => ({ migration, down: requireDown(migration) }))
    .reverse()
}

/** @throws TNY424 */
export function requireDown({ file, down, downRefusal }: Migration): DownPart {
  if (downRefusal !== undefined) throw downRefusal
  const reason =
    down === undefined
      ? 'it has no down part'
      : !down.options.transaction || down.options.batch || down.perTenant !== undefined
        ? 'its down part does not run in one transaction as plain SQL'
        : undefined
  if (down === undefined || reason !== undefined) {
    throw new TenantryError('TNY424', { params: { file, reason: reason ?? '' } })
  }
  return down
}
