/** What constraints and indexes of the pattern become in shared tables: led by `tenant_id`, under the same names. */
import type { ConstraintFacts, ForeignKeyFacts, IndexFacts, SchemaFacts } from './schema-facts.ts'

/** The column that says whose row it is. */
export const TENANT_COLUMN = 'tenant_id'

/** A constraint as pg_get_constraintdef would tell it. */
export interface DesiredConstraint {
  readonly table: string
  readonly name: string
  readonly ident: string
  readonly type: string
  readonly definition: string
  /** Of the pattern's index or constraint: of several that a row violates, the oldest is the one that errors name. */
  readonly age: number
}

/** An index of the shared tables; `rest` is what follows the bracket that opens the list of columns. */
export interface DesiredIndex {
  readonly table: string
  readonly name: string
  readonly ident: string
  readonly unique: boolean
  readonly method: string
  readonly rest: string
  readonly age: number
}

/** Primary keys, unique constraints, foreign keys, and the checks that stand for MATCH FULL. */
export function desiredConstraints(pattern: SchemaFacts): DesiredConstraint[] {
  return pattern.constraints.flatMap((constraint) => {
    // Partitions have theirs from the table that they belong to.
    if (constraint.parent !== '0') return []
    const { table, name, ident, type, key } = constraint
    const age = Number(constraint.indexOid ?? constraint.oid)
    if (type === 'p' || type === 'u') {
      // The first bracket of `UNIQUE NULLS NOT DISTINCT (a, b) INCLUDE (c)` opens the columns.
      const definition = constraint.definition.replace('(', `(${TENANT_COLUMN}, `)
      return [{ table, name, ident, type, definition, age }]
    }
    if (type !== 'f' || key === null) return []
    if (!key.inside) return [{ table, name, ident, type, definition: constraint.definition, age }]
    const composite = { table, name, ident, type, definition: compositeKey(constraint, key), age }
    const check = wholeOrNull(constraint, key)
    return check === undefined ? [composite] : [composite, check]
  })
}

/** Indexes that stand behind no constraint and belong to no index of a partitioned table. */
export function desiredIndexes(pattern: SchemaFacts): DesiredIndex[] {
  return pattern.indexes.filter(standsAlone).map(({ oid, table, name, ident, unique, method, rest }) => ({
    age: Number(oid),
    table,
    name,
    ident,
    unique,
    method,
    // Of the other methods most have no operators for text, and none needs the tenant to be right.
    rest: method === 'btree' ? `${TENANT_COLUMN}, ${rest ?? ''}` : (rest ?? ''),
  }))
}

export function standsAlone(index: IndexFacts): boolean {
  return !index.ofConstraint && index.parent === '0'
}

const ACTIONS: Readonly<Record<string, string>> = {
  a: '',
  r: 'RESTRICT',
  c: 'CASCADE',
  n: 'SET NULL',
  d: 'SET DEFAULT',
}

/** In the words and the order of pg_get_constraintdef, so that what is there already compares equal. */
function compositeKey(constraint: ConstraintFacts, key: ForeignKeyFacts): string {
  const sides = [key.columns, key.targetColumns].map((columns) => {
    const names = columns.map((column, index) =>
      key.period && index === columns.length - 1 ? `PERIOD ${column}` : column,
    )
    return `(${[TENANT_COLUMN, ...names].join(', ')})`
  })
  const parts = [`FOREIGN KEY ${sides[0] ?? ''} REFERENCES ${key.targetIdent}${sides[1] ?? ''}`]
  // MATCH FULL would want every column null where one is, and the tenant's never is: see wholeOrNull.
  if (ACTIONS[key.onUpdate]) parts.push(`ON UPDATE ${ACTIONS[key.onUpdate] ?? ''}`)
  if (ACTIONS[key.onDelete]) parts.push(`ON DELETE ${ACTIONS[key.onDelete] ?? ''}${onlyColumns(key)}`)
  if (key.deferrable) parts.push('DEFERRABLE')
  if (key.deferred) parts.push('INITIALLY DEFERRED')
  if (!constraint.enforced) parts.push('NOT ENFORCED')
  else if (!constraint.validated) parts.push('NOT VALID')
  return parts.join(' ')
}

/** Without a list, SET NULL would take the tenant from the row (FINDINGS 21). */
function onlyColumns({ onDelete, deleteColumns, columns }: ForeignKeyFacts): string {
  if (onDelete !== 'n' && onDelete !== 'd') return ''
  return ` (${(deleteColumns.length > 0 ? deleteColumns : columns).join(', ')})`
}

const WHOLE_SUFFIX = '_match_full'

/** MATCH FULL as a check: all columns null, or none. With one column it says nothing. */
function wholeOrNull(constraint: ConstraintFacts, key: ForeignKeyFacts): DesiredConstraint | undefined {
  if (key.match !== 'f' || key.columns.length < 2) return undefined
  const name = `${cut(constraint.name, 63 - WHOLE_SUFFIX.length)}${WHOLE_SUFFIX}`
  const check = `CHECK ((num_nulls(${key.columns.join(', ')}) = ANY (ARRAY[0, ${key.columns.length}])))`
  return {
    table: constraint.table,
    name,
    ident: `"${name.replaceAll('"', '""')}"`,
    type: 'c',
    definition: constraint.validated ? check : `${check} NOT VALID`,
    age: 0,
  }
}

/** A name cut to so many bytes, never inside of a character. */
function cut(name: string, bytes: number): string {
  let result = name
  while (Buffer.byteLength(result) > bytes) result = Array.from(result).slice(0, -1).join('')
  return result
}

/** A check of shared tables that stands, or stood, for MATCH FULL. */
export function isWholeOrNull({ type, name, definition }: ConstraintFacts): boolean {
  return type === 'c' && name.endsWith(WHOLE_SUFFIX) && definition.startsWith('CHECK ((num_nulls(')
}
