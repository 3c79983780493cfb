/** Runs the repeatable files of one target again, where their text is not the one that ran last. */
import type { Queryable } from '../../core/database.ts'
import type { Repeatable, SqlScript } from '../files/migration.ts'
import type { Chain } from '../ledger/chain.ts'
import { findChanged } from '../ledger/find-changed.ts'
import { moveRepeatable, readHeads, recordHistory } from '../ledger/heads.ts'
import { announceMigration, type Target } from '../ledger/ledger.ts'
import { retryLocks, usualRetry, type LockRetry } from './lock-retry.ts'
import { failure, lineOf, opening } from './migration-failure.ts'
import { CLEAN_SESSION, enterTarget, foundOtherwise, type StepLimits, type StepOutcome } from './step.ts'

export interface RepeatOptions extends StepLimits {
  /** What becomes of a lock that is in the way; four attempts by default. */
  readonly retry?: LockRetry | undefined
  /** Called after the commit, for each file in order. */
  readonly onApplied?: ((name: string) => void) | undefined
}

/**
 * Runs the first file that changed and those behind it, all in one transaction, in which the head moves too. To be
 * called where the numbered migrations ran. Others may do the same at the same time.
 * @param session one connection, outside a transaction.
 * @throws TNY402 where a file failed; nothing of any is left.
 */
export async function applyRepeatables(
  session: Queryable,
  target: Target,
  chain: Chain<Repeatable>,
  options: RepeatOptions,
): Promise<void> {
  const { schema } = target
  while (chain.head !== undefined) {
    const before = (await readHeads(session, [schema])).get(schema)?.repeatable
    if (before === chain.head) return
    const changed = await findChanged(session, chain, before)
    const move = moveRepeatable(schema, before, chain.head)
    const outcome = await retryLocks(options.retry ?? usualRetry(options.lockTimeoutMs), () =>
      runAll(session, target, move, changed, options),
    )
    if (outcome === 'unknown') await recordHistory(session, chain)
    if (outcome !== 'done') continue
    for (const { name } of changed) options.onApplied?.(name)
    return
  }
}

async function runAll(
  session: Queryable,
  target: Target,
  move: string,
  files: readonly Repeatable[],
  limits: StepLimits,
): Promise<StepOutcome> {
  let [current] = files
  let sent: readonly string[] = []
  try {
    // The head's row is held from here on: whoever else does the same waits, and finds it moved.
    await session.query(opening(['begin isolation level read committed', move]))
    for (current of files) {
      // Again for each: a file may set what it likes.
      sent = enterTarget(
        target,
        { moveHead: 'reset all', moveLedger: undefined, options: current.options },
        limits,
      )
      await session.query(opening(sent) + current.up)
    }
    await session.query(`commit; ${announceMigration(target)} ${CLEAN_SESSION}`)
    return 'done'
  } catch (error) {
    await session.query('rollback')
    const otherwise = foundOtherwise(error)
    if (otherwise !== undefined) return otherwise
    const line = current === undefined ? undefined : lineOf(error, sent, scriptOf(current))
    throw failure(error, target, current?.file ?? 'the head', line)
  }
}

function scriptOf({ up: sql, line, lines, statements }: Repeatable): SqlScript {
  return { sql, line, lines, statements }
}
