/** The locks of statements that read and change rows. */
import { type Fields, fieldsOf, findNodes, listOf, textOf } from '../../shared-form/sql-nodes.ts'
import { type KnownConstraint, type KnownSchema, relationName } from '../known-schema.ts'
import type { LockMode, TableLock, Work } from './lock-mode.ts'

/** One lock on the table of a node `RangeVar`. */
export function lockOf(
  known: KnownSchema,
  relation: unknown,
  mode: LockMode,
  work: Work = 'brief',
): readonly TableLock[] {
  return [{ table: relationName(known, relation), mode, work }]
}

/** What is known of a table's constraints. */
export function constraintsOf(known: KnownSchema, table: string): readonly KnownConstraint[] {
  return known.relations.get(table)?.constraints ?? []
}

/** The tables that a query reads. */
export function readLocks(known: KnownSchema, query: unknown): readonly TableLock[] {
  const [node = '', fields = {}] = Object.entries((query ?? {}) as Readonly<Record<string, Fields>>)[0] ?? []
  return rowLocks(known, node, fields)
}

const WRITERS = ['InsertStmt', 'UpdateStmt', 'DeleteStmt', 'MergeStmt']

/** The locks of a statement on rows: written tables, read ones, and those that foreign keys look into. */
export function rowLocks(known: KnownSchema, node: string, fields: Fields): readonly TableLock[] {
  const tree = { [node]: fields }
  const named = new Set(findNodes(tree, 'CommonTableExpr').map(({ ctename }) => textOf(ctename)))
  const written = WRITERS.flatMap((writer) => findNodes(tree, writer)).flatMap(({ relation }) =>
    lockOf(known, relation, 'ROW EXCLUSIVE', 'rows'),
  )
  const mode = findNodes(tree, 'LockingClause').length > 0 ? 'ROW SHARE' : 'ACCESS SHARE'
  const readers = findNodes(tree, 'RangeVar')
    .filter(({ relname, schemaname }) => schemaname !== undefined || !named.has(textOf(relname)))
    .flatMap((relation) => lockOf(known, relation, mode))
  return [...written, ...readers, ...keysLookedUp(known, tree)]
}

/** Rows that foreign keys point to are locked while others come to point to them. */
function keysLookedUp(known: KnownSchema, tree: unknown): readonly TableLock[] {
  const keysOf = ({ relation }: Fields) =>
    constraintsOf(known, relationName(known, relation)).filter(({ references }) => references !== undefined)
  const changed = findNodes(tree, 'UpdateStmt').flatMap((update) => {
    const set = listOf(update['targetList']).map((each) => textOf(fieldsOf(each, 'ResTarget')?.['name']))
    return keysOf(update).filter(({ columns }) => columns.some((column) => set.includes(column)))
  })
  return [...findNodes(tree, 'InsertStmt').flatMap(keysOf), ...changed].map(({ references = '' }) => ({
    table: references,
    mode: 'ROW SHARE',
    work: 'brief',
  }))
}
