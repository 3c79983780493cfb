/** What many measurements come to. */

/** The middle one; of an even number the mean of the two in the middle. NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const half = sorted.length >>> 1
  const upper = sorted[half] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : ((sorted[half - 1] ?? Number.NaN) + upper) / 2
}

/** The smallest value that is not below `share` (0 to 1) of all: nearest rank. NaN of none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.max(Math.ceil(share * sorted.length) - 1, 0)] ?? Number.NaN
}

/**
 * How many times `a` is `b`, as the median over rounds: both sides of a round met the same noise of the machine.
 * Undefined where either was not measured.
 */
export function medianRatio(
  a: readonly number[] | undefined,
  b: readonly number[] | undefined,
): number | undefined {
  if (a === undefined || b === undefined || a.length === 0 || b.length === 0) return undefined
  const pairs = a.slice(0, b.length).map((value, round) => value / (b[round] ?? Number.NaN))
  return rounded(median(pairs), 3)
}

/** For tables and JSON, in which the noise of a measurement says nothing. */
export function rounded(value: number, digits = 0): number {
  return Number(value.toFixed(digits))
}
