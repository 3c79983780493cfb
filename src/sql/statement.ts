/** Reads a statement with PostgreSQL's own grammar and says what it is; judges nothing. */
import { loadModule } from 'libpg-query'
import type { ParsedStatement, SqlParser, TreeFields } from './parser.ts'

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
  /** The grammar's names of the statements inside of it: of EXPLAIN, COPY, CTEs and sub-queries. */
  readonly nested: ReadonlySet<string>
  /** Every function called anywhere in it, by its last name. */
  readonly functions: ReadonlySet<string>
  /** Every relation named in it, by its last name; CTEs too. */
  readonly relations: ReadonlySet<string>
  /** Relations that it writes, `schema.name` or `name`. */
  readonly targets: ReadonlySet<string>
  /** The setting of a SET, in lower case. */
  readonly setting: string | undefined
  /** The mode of LOCK, from 1 (ACCESS SHARE) to 8 (ACCESS EXCLUSIVE); 0 of other statements. */
  readonly lockMode: number
  /** Traits that reach beyond the statement: `into`, `hold`, `chain`, `temp`; `reads` where it names a relation. */
  readonly traits: ReadonlySet<string>
}

/** For those who call `libpg-query` themselves; a parser of `createParser` loads itself. */
export const loadParser: () => Promise<void> = loadModule

/**
 * Reads a text of SQL. Costs some 30 to 200 µs: cache what you conclude, by text.
 * @throws TNY213 where it is not PostgreSQL's syntax.
 */
export function readStatement(text: string, parser: SqlParser): Statement {
  return describe(parser.parse(text))
}

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

function describe(statements: readonly ParsedStatement[]): Statement {
  const [node = '', fields = {}] = Object.entries(statements[0]?.stmt ?? {})[0] ?? []
  const found: Found = {
    nested: new Set(),
    functions: new Set(),
    relations: new Set(),
    targets: new Set(),
    traits: new Set(),
  }
  const first = statements[0]?.stmt
  if (first !== undefined) collect(first, found)
  // Of others that are stacked behind it, only their number counts: none of them runs.
  if (node === 'TransactionStmt' && fields['chain'] === true) found.traits.add('chain')
  const kind = statements.length === 0 ? 'empty' : kindOf(node, fields)
  const setting = node === 'VariableSetStmt' ? textOf(fields['name']).toLowerCase() : undefined
  if (setting === 'search_path' && /"pg_temp/.test(JSON.stringify(fields))) found.traits.add('temp')
  const lockMode = node === 'LockStmt' ? Number(fields['mode']) : 0
  return { kind, node, count: statements.length, setting, lockMode, ...found }
}

function textOf(field: unknown): string {
  return typeof field === 'string' ? field : ''
}

function kindOf(node: string, fields: TreeFields): StatementKind {
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
  nested: Set<string>
  functions: Set<string>
  relations: Set<string>
  targets: Set<string>
  traits: Set<string>
}

/** The schema of temporary objects, by its alias or its own name. */
const TEMPORARY = /^pg_temp(_\d+)?$/

/** Without recursion: trees may be deeper than the stack. */
function collect(root: object, found: Found): void {
  const open: object[] = [root]
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    if (Array.isArray(value)) {
      for (const item of value as unknown[]) if (isObject(item)) open.push(item)
      continue
    }
    const fields = value as TreeFields
    for (const name of Object.keys(fields)) {
      const child = fields[name]
      if (isObject(child)) {
        visit(name, child as TreeFields, found)
        // Fields are named like nodes, but for their first letter: `selectStmt`.
        if (name.endsWith('Stmt') && value !== root && /^[A-Z]/.test(name)) found.nested.add(name)
        open.push(child)
      } else if (name === 'relpersistence' && child === 't') found.traits.add('temp')
    }
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}

function visit(name: string, fields: TreeFields, found: Found): void {
  switch (name) {
    case 'FuncCall':
    case 'funccall':
      found.functions.add(lastName(fields['funcname']))
      break
    case 'RangeVar':
    case 'relation':
    case 'view':
    case 'rel':
      if (name === 'RangeVar') found.traits.add('reads')
      if (TEMPORARY.test(textOf(fields['schemaname']))) found.traits.add('temp')
      if (typeof fields['relname'] === 'string') found.relations.add(fields['relname'])
      break
    case 'String':
      if (TEMPORARY.test(textOf(fields['sval']))) found.traits.add('temp')
      break
    case 'SubLink':
    case 'RangeFunction':
      found.traits.add('reads')
      break
    case 'intoClause':
    case 'into':
      found.traits.add('into')
      break
    case 'DeclareCursorStmt':
      if ((Number(fields['options']) & CURSOR_OPT_HOLD) !== 0) found.traits.add('hold')
      break
    case 'CopyStmt':
      if (fields['is_from'] === true) found.targets.add(relationName(fields['relation']))
      break
    default:
      if (WRITERS.has(name)) found.targets.add(relationName(fields['relation']))
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
