/** What a step does where somebody holds a lock that it needs: it gives way, lets everybody pass, and comes back. */
import { setTimeout as sleep } from 'node:timers/promises'
import { sqlState } from '../../sql/sql-state.ts'

/** How often and after which pauses a step is tried. */
export interface LockRetry {
  /** The first one included. */
  readonly attempts: number
  /** Between two: half of it to one and a half, so that runners do not come back together. */
  readonly pauseMs: number
}

/** Of the same length as the wait that was in vain: at most half of the time somebody queues behind the step. */
export function usualRetry(lockTimeoutMs: number): LockRetry {
  return { attempts: 4, pauseMs: lockTimeoutMs }
}

/** lock_not_available, deadlock_detected: nothing happened, and the next attempt may find the way free. */
function isLockFailure(error: unknown): boolean {
  return ['55P03', '40P01'].includes(sqlState(error) ?? '')
}

/**
 * Runs `attempt` until it meets no lock in its way.
 * @param attempt must leave nothing where it fails.
 * @throws what the last attempt throws, and at once what is not about locks.
 */
export async function retryLocks<T>(
  { attempts, pauseMs }: LockRetry,
  attempt: () => Promise<T>,
  onRetry?: (failures: number) => void,
): Promise<T> {
  for (let failures = 1; ; failures++) {
    try {
      return await attempt()
    } catch (error) {
      if (failures >= attempts || !isLockFailure(error)) throw error
      onRetry?.(failures)
      await sleep(pauseMs * (0.5 + Math.random()))
    }
  }
}
