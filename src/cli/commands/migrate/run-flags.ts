/** Flags of `migrate up` and `migrate down`, and what they ask of a run. */
import type { Command } from 'commander'
import type { RunOptions } from '../../../migrate/fleet/run-options.ts'
import { readDuration } from '../../duration.ts'
import { misuse } from '../../failure.ts'

/** As commander gives them. */
export interface RunFlags {
  readonly only?: string
  readonly dryRun?: boolean
  readonly workers?: string
  readonly lockTimeout?: string
  readonly statementTimeout?: string
  readonly wait: boolean
  readonly events?: boolean
}

export function addRunFlags(command: Command): Command {
  return command
    .option('--only <tenants>', 'only these tenants: keys or ids, with commas')
    .option('--dry-run', 'try everything in transactions that are rolled back')
    .option('--workers <count>', 'tenants at a time (default: 4)')
    .option('--lock-timeout <time>', 'how long a statement waits for a lock (default: 5s)')
    .option('--statement-timeout <time>', 'how long a statement may take (default: no limit)')
    .option('--no-wait', 'fail where another runner is at work, instead of waiting for it')
    .option('--events', 'what happens as lines of JSON on stderr, instead of progress')
}

/** @throws TNY030 */
export function readRunFlags(flags: RunFlags): RunOptions {
  const { only, dryRun, workers, lockTimeout, statementTimeout, wait } = flags
  return {
    wait,
    ...(only === undefined ? {} : { only: readList('--only', only) }),
    ...(dryRun === undefined ? {} : { dryRun }),
    ...(workers === undefined ? {} : { workers: readCount('--workers', workers) }),
    ...(lockTimeout === undefined ? {} : { lockTimeoutMs: readDuration('--lock-timeout', lockTimeout) }),
    ...(statementTimeout === undefined
      ? {}
      : { statementTimeoutMs: readDuration('--statement-timeout', statementTimeout) }),
  }
}

/** Names with commas between them. @throws TNY030 */
export function readList(option: string, text: string): string[] {
  const names = text.split(',').map((name) => name.trim())
  if (names.every((name) => name !== '')) return names
  throw misuse(`${option} is "${text}"`, 'Write names with commas between them: acme,globex')
}

/** A whole number from 1. @throws TNY030 */
export function readCount(option: string, text: string): number {
  if (/^[1-9]\d{0,8}$/.test(text)) return Number(text)
  throw misuse(`${option} is "${text}", not a whole number from 1`)
}
