/** Times on the command line: 500ms, 30s, 5m, 1h. */
import { misuse } from './failure.ts'

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000 }

/** Milliseconds. @param option for the message: `--pause`. @throws TNY030 */
export function readDuration(option: string, text: string): number {
  const [, digits = '', unit = ''] = /^(\d{1,9})(ms|s|m|h)$/.exec(text) ?? []
  const ms = Number(digits) * (UNITS[unit] ?? Number.NaN)
  // The longest that a timer of JavaScript can wait.
  if (ms < 2 ** 31) return ms
  throw misuse(`${option} is "${text}", not a time`, 'Write it as 500ms, 30s, 5m or 1h.')
}

/** For people, at most two units: `45 s`, `2 min 5 s`, `1 h 20 min`. */
export function showDuration(ms: number): string {
  const seconds = Math.round(ms / 1000)
  if (seconds < 1) return `${Math.round(ms)} ms`
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${seconds % 60} s`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}
