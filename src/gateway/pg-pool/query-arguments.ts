/** The many forms of node-postgres' `query(...)`, read into one. */
import type pg from 'pg'
import type { StatementConfig } from '../connection/flight.ts'
import { isSubmittable, type SubmittedQuery } from './submittable.ts'

/** node-postgres' callback. */
export type Callback<T = pg.QueryResult> = (error: Error | undefined, result?: T) => void

/** A statement as `pg` takes it, with what the gateway adds. */
export interface GatewayQueryConfig extends Omit<pg.QueryConfig, 'values'> {
  readonly values?: readonly unknown[] | undefined
  readonly rowMode?: never
  /** Values of the answer in PostgreSQL's binary form. */
  readonly binary?: boolean | undefined
  /** Aborting it takes the statement out of the queue, or cancels it on the server. */
  readonly signal?: AbortSignal | undefined
}

/**
 * node-postgres' `query` in all its forms, and two of our own: values may be read-only, and a configuration may carry
 * an AbortSignal.
 */
export type GatewayQuery = {
  <R extends pg.QueryResultRow = pg.QueryResultRow>(
    text: string,
    values?: readonly unknown[],
  ): Promise<pg.QueryResult<R>>
  <R extends pg.QueryResultRow = pg.QueryResultRow>(config: GatewayQueryConfig): Promise<pg.QueryResult<R>>
} & pg.Pool['query']

/** What was meant: a statement, or a Submittable that is to be carried. */
export type QueryArguments =
  | {
      readonly statement: StatementConfig
      readonly submitted?: undefined
      readonly callback: Callback | undefined
    }
  | { readonly submitted: SubmittedQuery }

/**
 * Accepts `(text)`, `(text, values)`, `(config)`, `(config, values)`, each with a callback at the end, and
 * Submittables. A `name` is accepted and not used: names of one tenant would clash with another's on a shared
 * connection, and the gateway names statements by itself.
 * @throws TypeError for what is none of these.
 */
export function readQueryArguments(args: unknown[]): QueryArguments {
  const callback = args.findLast((arg): arg is Callback => typeof arg === 'function')
  const [query, values] = args
  if (isSubmittable(query)) {
    if (callback !== undefined && !query.callback) query.callback = callback
    return { submitted: query }
  }
  if (typeof query === 'string') return { statement: { text: query, values: valuesOf(values) }, callback }
  if (typeof query !== 'object' || query === null) {
    throw new TypeError('query() takes a text, a configuration with a text, or a Submittable')
  }
  const config = query as pg.QueryArrayConfig & {
    callback?: Callback
    binary?: boolean
    signal?: AbortSignal
  }
  const statement = {
    text: config.text,
    // As with node-postgres, values given beside the configuration win.
    values: valuesOf(values) ?? valuesOf(config.values),
    rowMode: config.rowMode,
    types: config.types,
    binary: config.binary,
    signal: config.signal,
  }
  return { statement, callback: callback ?? config.callback }
}

/** The statement, with the signal of the context that it was made in unless it brings one of its own. */
export function heeding(statement: StatementConfig, signal: AbortSignal | undefined): StatementConfig {
  return signal === undefined || statement.signal !== undefined ? statement : { ...statement, signal }
}

/** Answers by the callback where there is one, as node-postgres does, else by the promise. */
export function answer<T>(promise: Promise<T>, callback: Callback<T> | undefined): Promise<T> | undefined {
  if (callback === undefined) return promise
  promise.then(
    // Off the promise's stack: what the callback throws is the caller's uncaught error, not ours.
    (result) => process.nextTick(callback, undefined, result),
    (error: unknown) => process.nextTick(callback, error),
  )
  return undefined
}

function valuesOf(values: unknown): readonly unknown[] | undefined {
  if (values === undefined || values === null || typeof values === 'function') return undefined
  if (!Array.isArray(values)) throw new TypeError('Query values must be an array')
  return values
}
