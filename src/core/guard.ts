/** What the gateway asks before it sends a statement; the rules are in isolation/. */

/** Whose statement it is: a tenant's, or central work without a tenant. */
export type GuardMode = 'tenant' | 'central'

/** What the gateway does with a statement that may run. */
export type Handling =
  /** Send it: alone it is one flight, inside a transaction it follows the others. */
  | 'send'
  /** CALL: alone it needs a transaction of its own, or a COMMIT inside would end the context (FINDINGS 2). */
  | 'call'
  | 'begin'
  | 'set-transaction'
  | 'commit'
  | 'rollback'
  /** COPY … FROM STDIN: only as a stream, which brings the data. */
  | 'copy-in'
  /** COPY … TO STDOUT: only as a stream, which takes the data. */
  | 'copy-out'
  /** Only makes sense inside a transaction: SAVEPOINT, cursors, SET LOCAL. */
  | 'in-transaction'
  /** Asks the server about itself: what ORMs send at start, before there is a tenant. */
  | 'introspection'

/** Judges statements by their text. */
export interface StatementGuard {
  /** Must have resolved before `check` is called. */
  load(): Promise<void>
  /**
   * How to handle the statement. Verdicts are cached by text.
   * @throws TNY204 where it may not run, TNY210 where the gateway cannot carry it, TNY213 on bad syntax.
   */
  check(text: string, mode: GuardMode): Handling
}
