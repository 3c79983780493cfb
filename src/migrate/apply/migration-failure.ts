/** Errors of a step: which file, for whom, and on which line. */
import { TenantryError } from '../../core/errors.ts'
import { statementsDone } from '../../sql/statements-done.ts'
import { offsetOfCharacter } from '../files/check-sql.ts'
import { lineInScript, type SqlScript } from '../files/migration.ts'
import type { Target } from '../ledger/ledger.ts'

/** TNY402 for what went wrong in a file, with its line where that is known; an error of Tenantry's own as it is. */
export function failure(error: unknown, target: Target, file: string, line?: number): TenantryError {
  if (error instanceof TenantryError) return error
  const said = error instanceof Error ? error.message : String(error)
  const reason = line === undefined ? said : `${said} (line ${line})`
  return new TenantryError('TNY402', { params: { file, target: target.label, reason }, cause: error })
}

/** TNY402 for what went wrong before any migration; an error of another kind as it is. */
export function ledgerFailure(error: unknown, target: Target): TenantryError {
  return failure(error, target, 'pgmigrations (the ledger)')
}

/**
 * The line of the file that an error means: by the position that PostgreSQL gives, else, as with most DDL, by the number
 * of statements that had ended. `undefined` where it is none of the script's, or code does not tell the line.
 * @param before what stood in front of the script in the same message, statement by statement.
 */
export function lineOf(error: unknown, before: readonly string[], script: SqlScript): number | undefined {
  const { sql, statements } = script
  // Counted from 1, in characters of the whole message.
  const position = Number(Reflect.get(error as object, 'position'))
  const done = statementsDone(error)
  const head = opening(before)
  const at = Number.isInteger(position)
    ? offsetOfCharacter(head + sql, position - 1) - head.length
    : done === undefined
      ? undefined
      : statements[done - before.length]
  return at === undefined || at < 0 || at >= sql.length ? undefined : lineInScript(script, at)
}

/** Statements as the beginning of a message. */
export function opening(statements: readonly string[]): string {
  return statements.map((statement) => `${statement};\n`).join('')
}
