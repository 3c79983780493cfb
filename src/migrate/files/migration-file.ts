/** The file format of node-pg-migrate 9: which names are migrations, in which order they run, where a text splits. */
import { parse } from 'node:path'
import { dateOf } from './migration-version.ts'

/** A migration's text, cut at its markers. */
export interface Sections {
  /** What runs upwards: from its marker on, or the whole text where there is no Up marker. */
  readonly up: string
  /** Where the Up marker stands in the text, in UTF-16 units; `undefined` where there is none. */
  readonly upStart: number | undefined
  readonly down: string | undefined
  /** Where the Down marker stands; 0 where there is none. */
  readonly downStart: number
  /** What stands before the first marker; node-pg-migrate drops it silently. Empty without an Up marker. */
  readonly preamble: string
}

const UP_MARKER = /^\s*--[\s-]*up\s+migration/im
const DOWN_MARKER = /^\s*--[\s-]*down\s+migration/im

/** Cuts a text at `-- Up Migration` and `-- Down Migration`, in either order, as node-pg-migrate does. */
export function splitSections(text: string): Sections {
  const up = text.search(UP_MARKER)
  const down = text.search(DOWN_MARKER)
  return {
    up: up < 0 ? text : text.slice(up, down < up ? undefined : down),
    upStart: up < 0 ? undefined : up,
    down: down < 0 ? undefined : text.slice(down, up < down ? undefined : up),
    downStart: Math.max(down, 0),
    preamble: up < 0 ? '' : text.slice(0, down < 0 ? up : Math.min(up, down)),
  }
}

/** Files that node-pg-migrate does not look at. */
export function isIgnored(file: string): boolean {
  return file.startsWith('.')
}

/** The name that the ledger records: the file's, without its extension. */
export function migrationName(file: string): string {
  return parse(file).name
}

/** Why a file cannot be a migration, judged by its name; `undefined` where it can. */
export function fileNameProblem(file: string): string | undefined {
  const { name, ext } = parse(file)
  if (/^\.[cm]?[jt]s$/i.test(ext)) {
    return 'migrations of node-pg-migrate in JavaScript or TypeScript are not supported yet; write it as .sql'
  }
  if (ext.toLowerCase() !== '.sql') return 'only .sql files belong into a folder of migrations'
  if (!/^\d/.test(name)) return 'its name must begin with a number, as in 1700000000000_create-orders.sql'
  if (/\.(up|down)$/i.test(name)) {
    return 'up and down belong into one file, under the markers "-- Up Migration" and "-- Down Migration"'
  }
  if (name.length > 255) return 'its name is longer than the 255 characters that the ledger holds'
  return undefined
}

/**
 * The order in which migrations run: by leading number (17 digits are a UTC date), then by name, in the words of
 * node-pg-migrate's own comparator, so that both tools agree. 0 means that it leaves the order open.
 */
export function compareFiles(a: string, b: string): number {
  return (
    numericPrefix(a) - numericPrefix(b) ||
    a.localeCompare(b, undefined, {
      usage: 'sort',
      numeric: true,
      sensitivity: 'variant',
      ignorePunctuation: true,
    })
  )
}

function numericPrefix(file: string): number {
  const digits = /^\d+/.exec(file)?.[0] ?? ''
  return digits.length === 17 ? dateOf(digits) : Number(digits)
}
