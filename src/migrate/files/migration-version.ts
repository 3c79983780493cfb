/** The number in a migration's name, by which schemas of tenants are told to be older or newer. */

/**
 * The number of a name: the one it begins with, or else its longest; 0 where it has none that a number can hold.
 * @example
 * versionOf('1700000000000_orders') // 1700000000000
 * versionOf('20240101000000000_orders') // 1704067200000: 17 digits are a date
 */
export function versionOf(name: string): number {
  const digits = /^\d+/.exec(name)?.[0] ?? longest(name.match(/\d+/g) ?? [])
  const number = digits.length === 17 ? dateOf(digits) : Number(digits)
  return Number.isSafeInteger(number) ? number : 0
}

/** Each name with its number, none smaller than the one before it. */
export function withVersions<M extends { readonly name: string }>(
  migrations: readonly M[],
): (M & { readonly version: number })[] {
  let newest = 0
  return migrations.map((migration) => {
    newest = Math.max(newest, versionOf(migration.name))
    return { ...migration, version: newest }
  })
}

/** Milliseconds since 1970 of 17 digits, year to millisecond in UTC; NaN where they are no date. */
export function dateOf(digits: string): number {
  const [, year, month, day, hours, minutes, seconds, ms] =
    /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d{3})$/.exec(digits) ?? []
  return Date.parse(`${year}-${month}-${day}T${hours}:${minutes}:${seconds}.${ms}Z`)
}

/** TypeORM puts its number behind a name that may hold others. */
function longest(runs: readonly string[]): string {
  return runs.reduce((best, run) => (run.length >= best.length ? run : best), '')
}
