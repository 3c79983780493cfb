/** Finds out whether tenants that share tables can have what is missing, by doing it and taking it back. */
import type { Queryable } from '../../core/database.ts'
import type { SharedHome, TenantHomes } from '../../core/homes.ts'
import { lockShared } from '../../isolation/shared-form/shared-schemas.ts'
import { failure, ledgerFailure } from '../apply/migration-failure.ts'
import { CLEAN_SESSION, limitStep, type StepLimits } from '../apply/step.ts'
import { findMissing } from '../ledger/find-missing.ts'
import { readLedger, sharedTarget } from '../ledger/ledger.ts'
import type { Migration } from '../files/migration.ts'
import { replayOnShared } from './replay-on-shared.ts'
import { planReplay } from './shared-replay.ts'

export interface RehearseOptions extends StepLimits {
  readonly listSharing: TenantHomes['listSharing']
  /** Told before an error is thrown which migration it is about. */
  readonly onFailed: (name: string) => void
}

/**
 * Runs what is missing in one transaction, as `applyToShared` does in one each, and rolls it back. It takes the same locks.
 * @param session one connection, outside a transaction.
 * @returns the names that would run.
 * @throws TNY402, TNY403, TNY407
 */
export async function rehearseOnShared(
  session: Queryable,
  home: SharedHome,
  migrations: readonly Migration[],
  { listSharing, onFailed, ...limits }: RehearseOptions,
): Promise<readonly string[]> {
  const target = sharedTarget(home)
  const ledger = await readLedger(session, target)
  if (ledger.problem !== undefined) throw ledgerFailure(ledger.problem, target)
  const missing = findMissing(migrations, ledger.applied, target.label)
  if (missing.length === 0) return []
  let current = missing[0]
  try {
    const plans = missing.map((migration) => {
      current = migration
      return planReplay(migration)
    })
    await session.query('begin')
    await lockShared(session)
    for (const [place, migration] of missing.entries()) {
      current = migration
      // What the one before had of its own must not hold for the next.
      const { statementTimeoutMs = 0 } = limits
      await session.query(limitStep(migration.options, { ...limits, statementTimeoutMs }).join('; '))
      await replayOnShared(session, home, migration, plans[place] ?? [], () => listSharing(session))
    }
    return missing.map(({ name }) => name)
  } catch (error) {
    if (current !== undefined) onFailed(current.name)
    throw failure(error, target, current?.file ?? '')
  } finally {
    await session.query(`rollback; ${CLEAN_SESSION}`).catch(() => undefined)
  }
}
