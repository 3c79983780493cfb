/** Load that waits for each answer: so many workers, each with one task at a time. */
import { treeCpuSeconds } from './server-cpu.ts'

/** What a stretch of load came to. */
export interface Throughput {
  readonly done: number
  readonly failed: number
  /** From the first task's start to the last one's end. */
  readonly ms: number
  readonly perSecond: number
  /** What this process, the client, spent on one task; what is left of a second goes to waiting for the server. */
  readonly clientMicros: number
  /** What the server's processes spent on one task; NaN where it cannot be known. */
  readonly serverMicros: number
}

/** How long, and how much at once. */
export interface ClosedLoop {
  readonly concurrency: number
  readonly ms: number
  /** Most tasks in all. */
  readonly tasks?: number
  /** The process that does the server's work, it and its children. */
  readonly serverPid?: number
}

/** Runs a task again and again. A task that fails counts as failed, and not as done. */
export async function runClosedLoop(loop: ClosedLoop, task: () => Promise<void>): Promise<Throughput> {
  const { concurrency, tasks = Number.POSITIVE_INFINITY } = loop
  const startedAt = performance.now()
  const cpu = process.cpuUsage()
  const serverSeconds = (): number =>
    loop.serverPid === undefined ? Number.NaN : treeCpuSeconds(loop.serverPid)
  const serverStart = serverSeconds()
  const deadline = startedAt + loop.ms
  let [started, done, failed] = [0, 0, 0]
  const work = async (): Promise<void> => {
    while (performance.now() < deadline && started < tasks) {
      started += 1
      try {
        await task()
        done += 1
      } catch (error) {
        if (error instanceof WrongRow) throw error
        failed += 1
      }
    }
  }
  await Promise.all(Array.from({ length: concurrency }, work))
  const ms = performance.now() - startedAt
  const { user, system } = process.cpuUsage(cpu)
  return {
    done,
    failed,
    ms,
    perSecond: (done / ms) * 1000,
    clientMicros: (user + system) / done,
    serverMicros: ((serverSeconds() - serverStart) * 1e6) / done,
  }
}

/** A row of another tenant, or none: what was measured is then worth nothing, and the run ends. */
export class WrongRow extends Error {
  constructor(contender: string, wanted: string, found: string | undefined) {
    super(`${contender} read a row of ${found ?? 'nobody'} for ${wanted}`)
  }
}
