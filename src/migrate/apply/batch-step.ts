/** A data migration in batches: its one statement is repeated, a transaction each, until it changes no row. */
import type { Queryable } from '../../core/database.ts'
import { failure, lineOf, opening } from './migration-failure.ts'
import { retryLocks, type LockRetry } from './lock-retry.ts'
import { CLEAN_SESSION, enterTarget, type Step, type StepLimits } from './step.ts'
import type { Target } from '../ledger/ledger.ts'

/** Told after each batch. */
export interface BatchProgress {
  readonly name: string
  /** From 1. */
  readonly batch: number
  /** Changed by this batch. */
  readonly rows: number
}

/**
 * Leaves nothing to do for the last step, which records the migration. Where it is killed, what is committed stays, and
 * the next call goes on from there, since the statement finds what is left.
 * @param session one connection, outside of a transaction.
 * @throws TNY402
 */
export async function runBatches(
  session: Queryable,
  target: Target,
  step: Pick<Step, 'file' | 'script' | 'options'>,
  limits: StepLimits & { readonly retry: LockRetry; readonly onRows: (rows: number) => void },
): Promise<void> {
  const before = [
    'begin',
    ...enterTarget(target, { ...step, moveHead: 'select', moveLedger: undefined }, limits),
  ]
  const { script } = step
  const once = (): Promise<number> =>
    retryLocks(limits.retry, async () => {
      try {
        await session.query(opening(before))
        const { rowCount } = await session.query(script.sql)
        await session.query(`commit; ${CLEAN_SESSION}`)
        return rowCount ?? 0
      } catch (error) {
        await session.query('rollback').catch(() => undefined)
        throw failure(error, target, step.file, lineOf(error, [], script))
      }
    })
  for (let rows = await once(); rows > 0; rows = await once()) limits.onRows(rows)
}
