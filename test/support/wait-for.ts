/** Waits for something that happens on another connection or in another process. */
import { setTimeout as sleep } from 'node:timers/promises'

/** What a machine may add to a promised time that runs other tests beside this one, on two cores. */
export const BUSY_MS = 1_500

/** Asks again and again until the answer is true. @returns how many milliseconds it took */
export async function waitFor(
  question: () => boolean | Promise<boolean>,
  timeoutMs = 10_000,
): Promise<number> {
  const startedAt = performance.now()
  while (!(await question())) {
    if (performance.now() - startedAt > timeoutMs) throw new Error(`it did not happen within ${timeoutMs} ms`)
    await sleep(10)
  }
  return performance.now() - startedAt
}
