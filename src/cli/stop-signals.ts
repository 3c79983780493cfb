/** Ctrl-C and SIGTERM for work that ends well only between two steps: the first asks it to end, the second ends it. */
import { constants } from 'node:os'

const SIGNALS = ['SIGINT', 'SIGTERM'] as const

/** The signals of one command, while it works. */
export interface StopSignals {
  readonly signal: AbortSignal
  /** What the process should end with where a signal came: 128 and the signal's number, as in a shell. */
  exitCode(): number | undefined
  /** Leaves the signals to Node again. */
  dispose(): void
}

/** @param onSecond called right before the process ends in the middle of its work. */
export function catchStopSignals(onSecond: () => void): StopSignals {
  const abort = new AbortController()
  let code: number | undefined
  const hear = (signal: NodeJS.Signals): void => {
    if (abort.signal.aborted) {
      onSecond()
      process.exit(code)
    }
    code = 128 + constants.signals[signal]
    abort.abort()
  }
  for (const signal of SIGNALS) process.on(signal, hear)
  return {
    signal: abort.signal,
    exitCode: () => code,
    dispose() {
      for (const signal of SIGNALS) process.off(signal, hear)
    },
  }
}
