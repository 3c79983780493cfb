/** Keeps the pool filled, in the background of a process that makes tenants. */
import type { FillReport } from './ready-homes.ts'

export interface KeepWarmOptions {
  /** Fills once; ends early where `isStopped` says so. */
  fill(isStopped: () => boolean): Promise<FillReport>
  /** Told of each fill that changed something, or could not. */
  onFilled(report: FillReport): void
  /** Told where a fill failed as a whole. */
  onFailed(error: unknown): void
}

/** One fill at a time; whoever asks during one gets another after it. */
export interface KeepWarm {
  /** Asks for a fill and does not wait for it. */
  refill(): void
  /** Lets the home at hand be finished, and makes no more. */
  close(): Promise<void>
}

/** Does nothing until it is asked. */
export function keepWarm({ fill, onFilled, onFailed }: KeepWarmOptions): KeepWarm {
  let [isStopped, isWanted] = [false, false]
  let running: Promise<void> | undefined

  async function run(): Promise<void> {
    while (isWanted && !isStopped) {
      isWanted = false
      try {
        const report = await fill(() => isStopped)
        if (report.made + report.updated + report.failed.length > 0) onFilled(report)
      } catch (error) {
        onFailed(error)
      }
    }
    running = undefined
  }

  return {
    refill() {
      isWanted = true
      running ??= run()
    },
    async close() {
      isStopped = true
      await running
    },
  }
}
