/** Reads a migration's SQL with PostgreSQL's grammar before any of it runs, and refuses what could not be undone. */
import { parseSync } from 'libpg-query'
import type { MigrationOptions } from './migration.ts'

/** What is wrong with a text, and where: an offset in UTF-16 units. */
export interface SqlProblem {
  readonly reason: string
  readonly at: number
}

/** A text that may run: where each of its statements begins, in UTF-16 units. */
export interface CheckedSql {
  readonly statements: readonly number[]
}

type Fields = Readonly<Record<string, unknown>>

interface ParsedStatement {
  readonly stmt?: Readonly<Record<string, Fields>>
  /** In bytes of UTF-8. */
  readonly stmt_location?: number
}

/**
 * Call `loadParser()` of sql/statement.ts first. A text that passes ends cleanly: its quotes and comments are closed,
 * but for a last line comment, so that after a line break other statements can follow it in the same message.
 * @param options how it is going to run; in one transaction where nothing is said.
 */
export function checkSql(
  text: string,
  { transaction = true, batch = false }: Partial<MigrationOptions> = {},
): CheckedSql | SqlProblem {
  // The protocol ends a text at NUL: what follows would silently not run.
  const nul = text.indexOf('\0')
  if (nul >= 0) return { reason: 'it holds the character NUL', at: nul }
  if (/^\s*$/.test(text)) return { statements: [] }
  let parsed: readonly ParsedStatement[]
  try {
    parsed = (parseSync(text) as unknown as { stmts?: ParsedStatement[] }).stmts ?? []
  } catch (error) {
    return syntaxProblem(text, error)
  }
  const bytes = Buffer.from(text)
  const statements: number[] = []
  for (const { stmt, stmt_location: location } of parsed) {
    const at = skipBlank(text, bytes.subarray(0, location ?? 0).toString().length)
    const [node = '', fields = {}] = Object.entries(stmt ?? {})[0] ?? []
    const reason =
      (transaction ? aloneProblem(node, fields) : undefined) ??
      statementProblem(node, fields) ??
      settingCallProblem(fields) ??
      (batch ? batchProblem(node, fields, parsed.length) : undefined)
    if (reason !== undefined) return { reason, at }
    statements.push(at)
  }
  return { statements }
}

/** The UTF-16 offset of the character that PostgreSQL counts as number `count`, from 0. */
export function offsetOfCharacter(text: string, count: number): number {
  let offset = 0
  for (let left = count; left > 0 && offset < text.length; left--) {
    offset += (text.codePointAt(offset) ?? 0) > 0xffff ? 2 : 1
  }
  return offset
}

function syntaxProblem(text: string, error: unknown): SqlProblem {
  const details = (error as { sqlDetails?: { cursorPosition?: number } }).sqlDetails
  const at = offsetOfCharacter(text, Math.max(details?.cursorPosition ?? 0, 0))
  if (/^\\\S/.test(text.slice(at)) && /(^|\n)\s*$/.test(text.slice(0, at))) {
    const command = /^\\\S+/.exec(text.slice(at))?.[0] ?? ''
    return { reason: `${command} is a command of psql, not SQL`, at }
  }
  return { reason: error instanceof Error ? error.message : String(error), at }
}

/** Comments nest in PostgreSQL; this reads them flat, which only moves the line in a message. */
function skipBlank(text: string, from: number): number {
  const blank = /(?:\s+|--[^\n]*|\/\*[\s\S]*?\*\/)*/y
  blank.lastIndex = from
  return from + (blank.exec(text)?.[0].length ?? 0)
}

const ALONE =
  'refuses to run inside a transaction, and each migration is one; ask for none with "-- tenantry: no-transaction"'

/** Statements that PostgreSQL runs outside transactions only (PreventInTransactionBlock in its source). */
const ALONE_ALWAYS: Readonly<Record<string, string>> = {
  VacuumStmt: 'VACUUM',
  CreatedbStmt: 'CREATE DATABASE',
  DropdbStmt: 'DROP DATABASE',
  CreateTableSpaceStmt: 'CREATE TABLESPACE',
  DropTableSpaceStmt: 'DROP TABLESPACE',
  AlterSystemStmt: 'ALTER SYSTEM',
  CreateSubscriptionStmt: 'CREATE SUBSCRIPTION',
  DropSubscriptionStmt: 'DROP SUBSCRIPTION',
}

/** Settings that decide as whom and where a migration runs, or how its text is read. */
const PINNED = /^(role|session_authorization|search_path|standard_conforming_strings)$/

/** What PostgreSQL refuses inside of a transaction. */
function aloneProblem(node: string, fields: Fields): string | undefined {
  const alone = ALONE_ALWAYS[node]
  if (alone !== undefined) {
    // ANALYZE is the same node, and harmless.
    return node === 'VacuumStmt' && fields['is_vacuumcmd'] !== true ? undefined : `${alone} ${ALONE}`
  }
  switch (node) {
    case 'IndexStmt':
      return fields['concurrent'] === true ? `CREATE INDEX CONCURRENTLY ${ALONE}` : undefined
    case 'DropStmt':
      return fields['concurrent'] === true ? `DROP INDEX CONCURRENTLY ${ALONE}` : undefined
    case 'ReindexStmt':
      return isReindexAlone(fields) ? `this form of REINDEX ${ALONE}` : undefined
    case 'ClusterStmt':
      return fields['relation'] === undefined ? `CLUSTER without a table ${ALONE}` : undefined
    case 'AlterTableStmt':
      return /"concurrent":true/.test(JSON.stringify(fields['cmds'] ?? []))
        ? `DETACH PARTITION CONCURRENTLY ${ALONE}`
        : undefined
    default:
      return undefined
  }
}

function statementProblem(node: string, fields: Fields): string | undefined {
  switch (node) {
    case 'TransactionStmt':
      return 'each migration runs in a transaction of its own, so it cannot hold BEGIN, COMMIT, ROLLBACK or SAVEPOINT'
    case 'VariableSetStmt':
      return setProblem(fields)
    case 'DiscardStmt':
      return 'DISCARD would undo the role and path that the migration runs with'
    case 'CopyStmt':
      return fields['is_from'] === true && fields['filename'] === undefined && fields['is_program'] !== true
        ? 'COPY FROM STDIN needs data from a client; write INSERT statements'
        : undefined
    default:
      return undefined
  }
}

/** What is repeated until it changes no row must change some at a time, and come to an end. */
function batchProblem(node: string, fields: Fields, statements: number): string | undefined {
  const changesRows =
    /^(Update|Delete)Stmt$/.test(node) ||
    (node === 'InsertStmt' &&
      !JSON.stringify(fields['selectStmt'] ?? {}).startsWith('{"SelectStmt":{"valuesLists"'))
  if (statements !== 1 || !changesRows) {
    return '"tenantry: batch" repeats one UPDATE, DELETE or INSERT … SELECT, and nothing else'
  }
  return /"limitCount":/.test(JSON.stringify(fields))
    ? undefined
    : '"tenantry: batch" needs a LIMIT, as in WHERE id IN (SELECT id … LIMIT 1000), and a condition that rows which are done no longer meet'
}

function isReindexAlone(fields: Fields): boolean {
  if (/^REINDEX_OBJECT_(SCHEMA|SYSTEM|DATABASE)$/.test(String(fields['kind']))) return true
  return /"defname":"concurrently"/.test(JSON.stringify(fields['params'] ?? []))
}

function setProblem(fields: Fields): string | undefined {
  const name = (typeof fields['name'] === 'string' ? fields['name'] : '').toLowerCase()
  if (fields['kind'] === 'VAR_RESET_ALL') return pinnedProblem('RESET ALL')
  if (name === 'transaction' || name === 'session characteristics') {
    return 'the transaction is already open, so its characteristics cannot be set'
  }
  if (name === 'standard_conforming_strings' && /"sval":"on"/.test(JSON.stringify(fields))) return undefined
  return PINNED.test(name) ? pinnedProblem(`changing ${name}`) : undefined
}

/** `select set_config('search_path', '', false)`, as pg_dump writes it, says the same as SET. */
function settingCallProblem(fields: Fields): string | undefined {
  const call = JSON.stringify(fields).match(
    /"funcname":\[(?:\{"String":\{"sval":"pg_catalog"\}\},)?\{"String":\{"sval":"set_config"\}\}\],"args":\[\{"A_Const":\{"sval":\{"sval":"(\w+)"/,
  )
  const name = call?.[1]?.toLowerCase()
  return name !== undefined && PINNED.test(name) ? pinnedProblem(`changing ${name}`) : undefined
}

function pinnedProblem(what: string): string {
  return `${what} would let the rest run as another role or in another schema; qualify names instead`
}
