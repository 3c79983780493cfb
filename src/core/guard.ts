/** What the gateway asks before it sends a statement; the rules are in isolation/. */
import type { TenantryError } from './errors.ts'

/** Whose statement it is: a tenant's, or central work without a tenant. */
export type GuardMode = 'tenant' | 'central'

/** `enforce` refuses; `report` lets through what the gateway can carry without harm to the next tenant, and tells. */
export type GuardPolicy = 'enforce' | 'report'

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
   * @param report told of what is let through although it would be refused; of a guard that only reports.
   * @throws TNY204 where it may not run, TNY210 where the gateway cannot carry it, TNY213 on bad syntax.
   */
  check(text: string, mode: GuardMode, report?: (refusal: TenantryError) => void): Handling
  /**
   * The statement as it must be sent where tenants share tables: ON CONFLICT (…) completed with `tenant_id`.
   * @throws TNY204 where it would hold up other tenants, TNY213 on bad syntax.
   */
  shared(text: string): string
  /** The same refusals for tables that users share on purpose, whose statements are sent as they are. @throws TNY204, TNY213 */
  common(text: string): void
  /** Functions that tenants may not call, beside those known: what the running server was found to have. */
  deny(names: Iterable<string>): void
}
