/** The frame of a run over the fleet: the lock, the signal, and the report. */
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import type { MigrationReport } from './migration-report.ts'
import type { RunOptions } from './run-options.ts'
import { asOnlyRunner } from './runner-lock.ts'
import type { Tally } from './tally.ts'

/** Runs `fn` as the only runner; where the signal comes before it begins, nothing runs. @throws TNY406 */
export async function asRun(
  db: AdminDatabase,
  { wait = true, signal, onEvent }: RunOptions,
  tally: Tally,
  fn: (session: Queryable) => Promise<void>,
): Promise<MigrationReport> {
  const onStop = (): void => onEvent?.({ type: 'stopping' })
  signal?.addEventListener('abort', onStop, { once: true })
  try {
    const ran = await asOnlyRunner(
      db,
      { wait, signal, onWaiting: (runner) => onEvent?.({ type: 'waiting', runner }) },
      async (session) => {
        await fn(session)
        return true
      },
    )
    if (ran !== true) tally.stop(new TenantryError('TNY422', { params: { left: 'all' } }))
    else if (signal?.aborted === true && tally.left() > 0) {
      tally.stop(new TenantryError('TNY422', { params: { left: tally.left() } }))
    }
    return tally.report()
  } finally {
    signal?.removeEventListener('abort', onStop)
  }
}
