/** Several sessions that work through one list. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Queryable } from '../../core/database.ts'

/** How long a server that dropped a connection is left alone before the same is tried once more. */
const LOST_MS = 1_000

/** Opens a session for as long as `fn` runs. */
export type OpenSession = (fn: (session: Queryable) => Promise<void>) => Promise<void>

/**
 * Each worker keeps one session and takes the next of the list as soon as it is done with one. Where a session is lost, what it was at
 * is tried once more on a new one; the second time all workers stop.
 * @param next gives what is to be done; `undefined` where nothing is left, or nothing more shall begin.
 * @param work throws only where the session is lost.
 */
export async function workThrough<M>(
  open: OpenSession,
  workers: number,
  next: () => M | undefined,
  work: (session: Queryable, item: M) => Promise<void>,
): Promise<void> {
  let given = false
  const take = (): M | undefined => (given ? undefined : next())

  async function runWorker(): Promise<void> {
    let item = take()
    let lostAt: M | undefined
    while (item !== undefined) {
      try {
        await open(async (session) => {
          while (item !== undefined) {
            await work(session, item)
            item = take()
          }
        })
      } catch (error) {
        if (given || lostAt === item) {
          given = true
          throw error
        }
        lostAt = item
        await sleep(LOST_MS)
      }
    }
  }
  const ended = await Promise.allSettled(Array.from({ length: workers }, runWorker))
  const lost = ended.find((one) => one.status === 'rejected')
  if (lost !== undefined) throw lost.reason
}
