/** What node-postgres calls a Submittable: a cursor, a stream, a COPY, which writes its own messages. */
import type pg from 'pg'

/**
 * A Submittable with the handlers that node-postgres' client calls; its typings name `submit` alone.
 * Source: node-postgres, lib/client.js, `_attachListeners`.
 */
export interface SubmittedQuery extends pg.Submittable {
  handleRowDescription?(message: unknown): void
  handleDataRow?(message: unknown): void
  handlePortalSuspended?(connection: unknown): void
  handleCommandComplete?(message: unknown, connection: unknown): void
  handleEmptyQuery?(connection: unknown): void
  handleCopyInResponse?(connection: unknown): void
  handleCopyData?(message: unknown, connection: unknown): void
  handleError(error: Error, connection: unknown): void
  handleReadyForQuery(connection: unknown): void
  once?(event: 'close', listener: () => void): unknown
  /** Of streams: nobody wants its data any more. */
  readonly destroyed?: boolean
  callback?: unknown
  /** Where it keeps its rows; its type parsers are given from outside. */
  readonly _result?: { _types?: pg.CustomTypesConfig | undefined }
}

/** True where `query()` was given one of these rather than a text. */
export function isSubmittable(query: unknown): query is SubmittedQuery {
  return (
    typeof query === 'object' && query !== null && 'submit' in query && typeof query.submit === 'function'
  )
}
