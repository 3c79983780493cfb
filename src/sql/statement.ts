/** Reads a statement with PostgreSQL's own grammar and says what it is; judges nothing. */
import { loadModule, parseSync } from 'libpg-query'
import { TenantryError } from '../core/errors.ts'

/** What kind of statement the gateway has before it. `other` covers DDL, COPY with files, SET, LISTEN, DO and the like. */
export type StatementKind =
  | 'empty'
  | 'query'
  | 'explain'
  | 'show'
  | 'call'
  | 'cursor'
  /** COPY FROM STDIN and TO STDOUT; the forms that reach files and programs are `other`. */
  | 'copy-in'
  | 'copy-out'
  | 'begin'
  | 'commit'
  | 'rollback'
  | 'savepoint'
  | 'set-transaction'
  | 'set-local'
  | 'other'

/** One statement, read. */
export interface Statement {
  readonly kind: StatementKind
  /** The grammar's name of the statement: `SelectStmt`, `VariableSetStmt`, … */
  readonly node: string
  /** Statements in the text; more than one means that they are stacked. */
  readonly count: number
  /** Every function called anywhere in it, by its last name. */
  readonly functions: ReadonlySet<string>
  /** Relations that it writes, `schema.name` or `name`. */
  readonly targets: ReadonlySet<string>
  /** The setting of a SET, in lower case. */
  readonly setting: string | undefined
  /** Traits that reach beyond the statement: `into`, `hold`, `chain`, `temp`; `reads` where it names a relation. */
  readonly traits: ReadonlySet<string>
}

/** Loads the parser (WebAssembly, once a process). Call before `readStatement`. */
export const loadParser: () => Promise<void> = loadModule

/**
 * Reads a text of SQL. Costs some 30 to 200 µs: cache what you conclude, by text.
 * @throws TNY213 where it is not PostgreSQL's syntax.
 */
export function readStatement(text: string): Statement {
  if (/^\s*$/.test(text)) return describe([])
  try {
    return describe((parseSync(text) as unknown as { stmts?: ParsedStatement[] }).stmts ?? [])
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    throw new TenantryError('TNY213', { params: { reason }, cause: error })
  }
}

interface ParsedStatement {
  stmt?: Record<string, Fields>
}
type Fields = Record<string, unknown>

/** The relation that each writing statement names in its field `relation`. */
const WRITERS = new Set(['InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt'])
const KINDS: Readonly<Record<string, StatementKind>> = {
  SelectStmt: 'query',
  InsertStmt: 'query',
  UpdateStmt: 'query',
  DeleteStmt: 'query',
  MergeStmt: 'query',
  LockStmt: 'query',
  ConstraintsSetStmt: 'query',
  ExplainStmt: 'explain',
  VariableShowStmt: 'show',
  CallStmt: 'call',
  DeclareCursorStmt: 'cursor',
  FetchStmt: 'cursor',
  ClosePortalStmt: 'cursor',
}
const TRANSACTION_KINDS: Readonly<Record<string, StatementKind>> = {
  TRANS_STMT_BEGIN: 'begin',
  TRANS_STMT_START: 'begin',
  TRANS_STMT_COMMIT: 'commit',
  TRANS_STMT_ROLLBACK: 'rollback',
  TRANS_STMT_SAVEPOINT: 'savepoint',
  TRANS_STMT_RELEASE: 'savepoint',
  TRANS_STMT_ROLLBACK_TO: 'savepoint',
}
/** The bit that the grammar sets for DECLARE … WITH HOLD (CURSOR_OPT_HOLD in parsenodes.h). */
const CURSOR_OPT_HOLD = 0x20

function describe(statements: ParsedStatement[]): Statement {
  const [node = '', fields = {}] = Object.entries(statements[0]?.stmt ?? {})[0] ?? []
  const found = { functions: new Set<string>(), targets: new Set<string>(), traits: new Set<string>() }
  for (const statement of statements) collect(statement.stmt, found)
  if (node === 'TransactionStmt' && fields['chain'] === true) found.traits.add('chain')
  if (node === 'DeclareCursorStmt' && (Number(fields['options']) & CURSOR_OPT_HOLD) !== 0) {
    found.traits.add('hold')
  }
  const kind = statements.length === 0 ? 'empty' : kindOf(node, fields)
  const setting = node === 'VariableSetStmt' ? textOf(fields['name']).toLowerCase() : undefined
  return { kind, node, count: statements.length, setting, ...found }
}

function textOf(field: unknown): string {
  return typeof field === 'string' ? field : ''
}

function kindOf(node: string, fields: Fields): StatementKind {
  if (node === 'TransactionStmt') return TRANSACTION_KINDS[textOf(fields['kind'])] ?? 'other'
  if (node === 'VariableSetStmt') {
    if (fields['kind'] === 'VAR_SET_MULTI' && fields['name'] === 'TRANSACTION') return 'set-transaction'
    return fields['is_local'] === true ? 'set-local' : 'other'
  }
  if (node === 'CopyStmt' && fields['is_program'] !== true && fields['filename'] === undefined) {
    return fields['is_from'] === true ? 'copy-in' : 'copy-out'
  }
  return KINDS[node] ?? 'other'
}

interface Found {
  functions: Set<string>
  targets: Set<string>
  traits: Set<string>
}

function collect(value: unknown, found: Found): void {
  if (Array.isArray(value)) {
    for (const item of value) collect(item, found)
    return
  }
  if (typeof value !== 'object' || value === null) return
  for (const [name, child] of Object.entries(value)) {
    if (name === 'FuncCall') found.functions.add(lastName((child as Fields)['funcname']))
    else if (name === 'RangeVar' || name === 'SubLink' || name === 'RangeFunction') found.traits.add('reads')
    else if (name === 'intoClause') found.traits.add('into')
    else if (name === 'relpersistence' && child === 't') found.traits.add('temp')
    else if (WRITERS.has(name) || (name === 'CopyStmt' && (child as Fields)['is_from'] === true))
      found.targets.add(relationName((child as Fields)['relation']))
    collect(child, found)
  }
}

function lastName(names: unknown): string {
  const last = Array.isArray(names) ? (names.at(-1) as { String?: { sval?: string } } | undefined) : undefined
  return last?.String?.sval ?? ''
}

function relationName(relation: unknown): string {
  const { schemaname, relname } = (relation ?? {}) as { schemaname?: string; relname?: string }
  return schemaname === undefined ? (relname ?? '') : `${schemaname}.${relname ?? ''}`
}
