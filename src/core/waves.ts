/** Waves of a migration run: who comes first, what must be well before the next, and whether that is said soundly. */
import type { TenantModel } from './tenant.ts'

/**
 * Some tenants of the fleet, migrated before those of the waves behind it. A tenant belongs to the first wave that it fits;
 * who fits none comes last. Where several things are said, all must hold.
 */
export interface Wave {
  /** For people; by default what it selects. */
  readonly name?: string
  /** Keys or ids. */
  readonly tenants?: readonly string[]
  /** A plan, or several. */
  readonly plan?: string | readonly string[]
  /** What a tenant's settings must hold: `{ canary: true }`. */
  readonly settings?: Readonly<Record<string, string | number | boolean | null>>
  readonly model?: TenantModel
  /** The server of the catalog is `main`. */
  readonly server?: string
  /**
   * Up to this share of the tenants that the rest of the wave selects, 0 < percent ≤ 100: 10, then 50. Always the same
   * tenants, by a hash of the id.
   */
  readonly percent?: number
  /** How many of its tenants may fail without ending the run: 0 by default. */
  readonly maxFailures?: number
  /** Milliseconds between the wave and its gate: what goes wrong needs time to show. 0 by default. */
  readonly pauseMs?: number
  /** What must be well before the next wave: all of them, in this order. */
  readonly gate?: Gate | readonly Gate[]
}

/** What a wave did, for a gate of one's own. */
export interface WaveResult {
  readonly name: string
  readonly tenants: number
  readonly migrated: number
  readonly failed: number
}

/** A question about the service's health: one of `command`, `sql`, `http` and `check`. */
export interface Gate {
  /** A command line for the shell, or a program and its arguments: well where it exits with 0. */
  readonly command?: string | readonly string[]
  /** A query on the catalog's database, in a transaction that may only read: well where its first value is true. */
  readonly sql?: string
  /** A URL: well where it answers with `status`. */
  readonly http?: string
  /** With `http`: the status, or several; any from 200 to 299 by default. */
  readonly status?: number | readonly number[]
  /** Well where it does not throw and does not give false. */
  readonly check?: (wave: WaveResult, signal: AbortSignal) => unknown
  /** Milliseconds that one attempt may take; 60,000 by default. */
  readonly timeoutMs?: number
  /** How often a gate that is not well is asked again; 0 by default. */
  readonly retries?: number
  /** Milliseconds before it is asked again; 10,000 by default. */
  readonly intervalMs?: number
}

type Checks<T> = Readonly<Record<keyof T, (value: unknown) => string | undefined>>

const isText = (value: unknown): value is string => typeof value === 'string' && value.trim() !== ''
const isTexts = (value: unknown): boolean => Array.isArray(value) && value.length > 0 && value.every(isText)
const isCount = (value: unknown): boolean => Number.isSafeInteger(value) && (value as number) >= 0
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const text = (value: unknown): string | undefined => (isText(value) ? undefined : 'is not a text')
const texts = (value: unknown): string | undefined => (isTexts(value) ? undefined : 'is not a list of texts')
const textOrTexts = (value: unknown): string | undefined =>
  isText(value) || isTexts(value) ? undefined : 'is neither a text nor a list of texts'
const count = (value: unknown): string | undefined =>
  isCount(value) ? undefined : 'is not a whole number from 0'
/** The longest that a timer of JavaScript can wait. */
const milliseconds = (value: unknown): string | undefined =>
  isCount(value) && (value as number) < 2 ** 31 ? undefined : 'is not a number of milliseconds'

const GATE: Checks<Gate> = {
  command: textOrTexts,
  sql: text,
  http: (value) =>
    isText(value) && /^https?:$/.test(URL.parse(value)?.protocol ?? '')
      ? undefined
      : 'is not an address of http or https',
  status: (value) => (statuses(value) ? undefined : 'is not an HTTP status from 100 to 599'),
  check: (value) => (typeof value === 'function' ? undefined : 'is not a function'),
  timeoutMs: (value) => milliseconds(value) ?? (value === 0 ? 'is 0' : undefined),
  retries: count,
  intervalMs: milliseconds,
}

const SELECTORS: readonly (keyof Wave)[] = ['tenants', 'plan', 'settings', 'model', 'server', 'percent']

const WAVE: Checks<Wave> = {
  name: text,
  tenants: texts,
  plan: textOrTexts,
  settings: (value) =>
    isRecord(value) && Object.values(value).every(isScalar)
      ? undefined
      : 'is not an object of texts, numbers and truth values',
  model: (value) =>
    ['shared', 'schema', 'database'].includes(value as string)
      ? undefined
      : 'is none of shared, schema, database',
  server: text,
  percent: (value) =>
    typeof value === 'number' && value > 0 && value <= 100
      ? undefined
      : 'is not a number above 0 and up to 100',
  maxFailures: count,
  pauseMs: milliseconds,
  gate: (value) => (Array.isArray(value) ? firstProblem(value, gateProblem, '') : gateProblem(value)),
}

/** What is wrong with a list of waves, in words that go on from its name; `undefined` where nothing is. */
export function wavesProblem(waves: unknown): string | undefined {
  return Array.isArray(waves) ? firstProblem(waves, waveProblem, '') : 'is not a list of waves'
}

function firstProblem(
  list: readonly unknown[],
  problemOf: (item: unknown) => string | undefined,
  path: string,
): string | undefined {
  for (const [at, item] of list.entries()) {
    const problem = problemOf(item)
    if (problem !== undefined) return `${path}[${at}] ${problem}`
  }
  return undefined
}

function waveProblem(wave: unknown): string | undefined {
  const problem = fieldsProblem(wave, WAVE)
  if (problem !== undefined) return problem
  return SELECTORS.some((name) => (wave as Wave)[name] !== undefined)
    ? undefined
    : `says no tenants (by ${SELECTORS.join(', ')})`
}

function gateProblem(gate: unknown): string | undefined {
  const problem = fieldsProblem(gate, GATE)
  if (problem !== undefined) return problem
  const { command, sql, http, check, status } = gate as Gate
  const asked = [command, sql, http, check].filter((question) => question !== undefined)
  if (asked.length !== 1) return 'needs one of `command`, `sql`, `http` and `check`'
  return status !== undefined && http === undefined ? 'has a `status` without `http`' : undefined
}

function fieldsProblem<T>(value: unknown, checks: Checks<T>): string | undefined {
  if (!isRecord(value)) return 'is not an object'
  for (const [name, given] of Object.entries(value)) {
    if (!Object.hasOwn(checks, name))
      return `has no option \`${name}\` (there is ${Object.keys(checks).join(', ')})`
    const problem = given === undefined ? undefined : checks[name as keyof T](given)
    if (problem !== undefined) return `\`${name}\` ${problem}`
  }
  return undefined
}

function isScalar(value: unknown): boolean {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value)
}

function statuses(value: unknown): boolean {
  const list: readonly unknown[] = Array.isArray(value) ? value : [value]
  return (
    list.length > 0 && list.every((one) => isCount(one) && (one as number) >= 100 && (one as number) < 600)
  )
}
