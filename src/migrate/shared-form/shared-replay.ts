/** Plans how a tenant migration is repeated where tenants share tables, statement by statement. */
import { TenantryError } from '../../core/errors.ts'
import { readDoBlock } from './do-block.ts'
import { lineInFile, type Script } from '../files/migration.ts'
import { adviceOf, judgeStatement, type Refusal } from './replay-rules.ts'
import {
  fieldsOf,
  findNodes,
  listOf,
  scanTokens,
  type SqlStatement,
  splitStatements,
  textOf,
} from './sql-nodes.ts'
import { stripDerivedConstraints } from './strip-constraints.ts'

/** One statement of a migration. */
export interface ReplayStep {
  /** As it was written: what the pattern runs. */
  readonly text: string
  /**
   * `structure` runs once in the shared schema, `data` once for each tenant, and a `view` is made once as the pattern's
   * catalog tells it.
   */
  readonly kind: 'structure' | 'data' | 'view'
  /** What the shared schema runs: as long as `text`, or the same. `undefined`: nothing, the rest is derived. */
  readonly shared: string | undefined
  /** Whether it may name what is derived, or its rows meet it. */
  readonly needsForm: boolean
  /** Whether it may set sequences back, which tenants share. */
  readonly movesSequences: boolean
  /** The view's name, of a view. */
  readonly view?: string | undefined
  /** Places where an INSERT leaves its columns to their order, the last one first. */
  readonly positional: readonly PositionalInsert[]
  /** Where `text` begins in the migration, in UTF-16 units. */
  readonly at: number
  /** The line of the file on which it begins, from 1; `undefined` where code does not tell it. */
  readonly line: number | undefined
}

/** `insert into t values (…)`: in shared tables the columns may stand in another order. */
export interface PositionalInsert {
  readonly table: string
  /** Where the list of columns belongs, in the step's text. */
  readonly at: number
  /** How many columns it gives. */
  readonly columns: number
}

/**
 * The steps of a migration, in order. Call `loadParser()` of sql/statement.ts first.
 * @throws TNY407 where a statement cannot be repeated for tenants that share tables.
 */
export function planReplay(migration: Script): readonly ReplayStep[] {
  if (migration.statements.length === 0) return []
  return splitStatements(migration.up, migration.statements).map((statement) => {
    const line = lineInFile(migration, statement.at)
    const refuse = (refusal: Refusal): never => {
      throw replayRefused(migration.file, line, refusal)
    }
    return planStatement(statement, line, refuse)
  })
}

/** TNY407 for a place in a file. */
export function replayRefused(
  file: string,
  line: number | undefined,
  refusal: Refusal,
  cause?: unknown,
): TenantryError {
  const reason = line === undefined ? refusal.reason : `${refusal.reason} (line ${line})`
  return new TenantryError('TNY407', { params: { file, reason, advice: adviceOf(refusal) }, cause })
}

function planStatement(
  { node, fields, text, at }: SqlStatement,
  line: number | undefined,
  refuse: (refusal: Refusal) => never,
): ReplayStep {
  const step = {
    text,
    at,
    line,
    kind: 'structure',
    positional: [],
    needsForm: true,
    movesSequences: false,
  } as const
  if (node === 'DoStmt') {
    const block = readDoBlock(text, fields)
    if ('reason' in block) return refuse(block)
    return { ...step, ...block, movesSequences: true }
  }
  const treatment = judgeStatement(node, fields)
  if (typeof treatment === 'object') return refuse(treatment)
  switch (treatment) {
    case 'skip':
      return { ...step, shared: undefined, needsForm: false }
    case 'view':
      return { ...step, kind: 'view', shared: text, needsForm: false, view: viewName(fields) }
    case 'data': {
      const positional = positionalInserts(text)
      if ('reason' in positional) return refuse(positional)
      const movesSequences = /^(Select|Call)Stmt$/.test(node)
      return {
        ...step,
        kind: 'data',
        shared: text,
        movesSequences,
        positional: positional.inserts,
      }
    }
    case 'add':
    case 'change': {
      const needsForm = treatment === 'change'
      const movesSequences = /"(restart|restart_seqs)"|AT_SetIdentity/.test(JSON.stringify(fields))
      if (node !== 'CreateStmt' && node !== 'AlterTableStmt') {
        return { ...step, shared: text, needsForm, movesSequences }
      }
      try {
        return { ...step, shared: stripDerivedConstraints(text), needsForm, movesSequences }
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error)
        return refuse({ reason, wayOut: 'Write the constraints as ALTER TABLE … ADD CONSTRAINT' })
      }
    }
  }
}

function viewName(fields: SqlStatement['fields']): string {
  return textOf(fieldsOf(fields, 'view')?.['relname'])
}

/** Every INSERT that names no columns, or why one of them cannot be completed. */
function positionalInserts(text: string): { readonly inserts: readonly PositionalInsert[] } | Refusal {
  // Places in a tree are those of the text that was parsed: here the statement alone.
  const tree = splitStatements(text).map(({ node, fields }) => ({ [node]: fields }))
  const found: PositionalInsert[] = []
  for (const insert of findNodes(tree, 'InsertStmt')) {
    const relation = fieldsOf(insert, 'relation')
    const select = fieldsOf(insert['selectStmt'], 'SelectStmt')
    if (insert['cols'] !== undefined || select === undefined || relation === undefined) continue
    const columns = widthOf(select)
    if (columns === undefined) {
      return {
        reason: 'INSERT … SELECT * without columns counts them differently in shared tables',
        wayOut: 'Name the columns',
      }
    }
    found.push({
      table: textOf(relation['relname']),
      at: endOfTarget(text, Number(relation['location'] ?? 0)),
      columns,
    })
  }
  return { inserts: found.toSorted((a, b) => b.at - a.at) }
}

/** How many columns a query gives; `undefined` where it says `*`. */
function widthOf(select: SqlStatement['fields']): number | undefined {
  const values = listOf(select['valuesLists'])[0]
  if (values !== undefined) return listOf(fieldsOf(values, 'List')?.['items']).length
  const left = fieldsOf(select, 'larg')
  if (left !== undefined) return widthOf(left)
  const targets = listOf(select['targetList'])
  const stars = targets.some((target) =>
    listOf(fieldsOf(fieldsOf(fieldsOf(target, 'ResTarget'), 'val'), 'ColumnRef')?.['fields']).some(
      (part) => part['A_Star'] !== undefined,
    ),
  )
  return stars ? undefined : targets.length
}

/** Behind the target's name and its alias, which here always follows AS. */
function endOfTarget(text: string, location: number): number {
  const start = Buffer.from(text).toString('utf8', 0, location).length
  const tokens = scanTokens(text).filter((token) => token.start >= start)
  const last = tokens[1]?.text.toLowerCase() === 'as' ? tokens[2] : tokens[0]
  return last?.end ?? start
}
