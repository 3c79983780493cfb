/** Tells a lost or absent database from a statement that failed, and gives the former a code of its own. */
import pg from 'pg'
import { TenantryError } from '../../core/errors.ts'
import { STALE_CONTEXT } from '../../sql/sql-state.ts'

/** Classes and codes with which PostgreSQL ends or refuses a session rather than a statement (manual, appendix A). */
const SESSION_ENDED = /^(08|57P0[1-5]|53300|25P0[34])/

/** What was going on when the error came. */
export type Moment = 'connect' | 'statement' | 'commit'

/**
 * The error to throw for one that node-postgres reported: errors of the statement pass unchanged (constraint
 * names and SQLSTATE intact), everything else becomes TNY202 (never connected), TNY206 (COMMIT, outcome unknown)
 * or TNY212 (lost during a statement).
 */
export function databaseError(error: unknown, moment: Moment): unknown {
  if (error instanceof TenantryError) return error
  if (error instanceof pg.DatabaseError && !SESSION_ENDED.test(error.code ?? '')) {
    // A refused start-up (wrong password, unknown database) is told as it is: it is no outage.
    return error
  }
  if (error instanceof pg.DatabaseError || isNetworkError(error)) {
    const code = moment === 'connect' ? 'TNY202' : moment === 'commit' ? 'TNY206' : 'TNY212'
    return new TenantryError(code, { cause: error })
  }
  return error
}

/** True where the error ends the connection that it came on. */
export function endsConnection(error: unknown): boolean {
  return error instanceof pg.DatabaseError ? SESSION_ENDED.test(error.code ?? '') : isNetworkError(error)
}

function isNetworkError(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  if ('code' in error && /^E[A-Z]+$/.test(String(error.code)) && 'syscall' in error) return true
  if (error instanceof AggregateError) return error.errors.some(isNetworkError)
  // node-postgres gives these no code.
  return /^(Connection terminated|timeout expired|timeout exceeded|Client has encountered|Client was closed|Client is not queryable)/.test(
    error.message,
  )
}

/** How far a flight had come when its error came. */
interface Progress {
  readonly entered: boolean
  readonly begun: boolean
}
const PROGRESS = Symbol('progress')

function progressOf(error: unknown): Progress | undefined {
  return error instanceof Error ? (error as { [PROGRESS]?: Progress })[PROGRESS] : undefined
}

/** The error to throw for a flight's, with how far it had come. */
export function flightError(error: unknown, moment: Moment, progress: Progress): Error {
  const translated = databaseError(error, moment)
  return Object.assign(translated instanceof Error ? translated : new Error(String(translated)), {
    [PROGRESS]: progress,
  })
}

/**
 * True where the server refused the tenant itself: no role, no right to it, or a context that is out of date, which in
 * shared tables nothing refuses earlier. Of a statement that stands alone nothing has taken effect then.
 */
export function refusedEntry(error: unknown): boolean {
  return (
    error instanceof pg.DatabaseError &&
    (progressOf(error)?.entered === false || error.code === STALE_CONTEXT)
  )
}

/** A login that is not there, is shut or has another secret; a database that is not there, or not for this login. */
const REFUSED_LOGIN = new Set(['28000', '28P01', '3D000', '42501'])

/**
 * True where the server would not let this login into this database: of a tenant that has either for its own, what memory
 * says of it may be outdated.
 */
export function refusedLogin(error: unknown): boolean {
  return error instanceof pg.DatabaseError && REFUSED_LOGIN.has(error.code ?? '')
}

/** True where the other side takes no settings with the start of a session: poolers do not (protocol_violation). */
export function refusedSettings(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '08P01'
}

/** True where a pooler said while connecting that it has no server: as it does for a while after a login was refused. */
export function refusedByPooler(error: unknown): boolean {
  if (!(error instanceof TenantryError) || error.code !== 'TNY202') return false
  return error.cause instanceof pg.DatabaseError && /^(08|57P)/.test(error.cause.code ?? '')
}

/**
 * True where the connection ended before the server began with the statement, as idle connections do when it
 * restarts: the statement can be sent again without any risk.
 */
export function neverBegan(error: unknown): boolean {
  return error instanceof TenantryError && progressOf(error)?.begun === false
}
