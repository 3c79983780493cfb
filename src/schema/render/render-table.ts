/** Tables with what can be said at once: columns, defaults, keys, checks; and what has to follow. */
import type { ColumnFacts, ObjectOf, TableFacts } from '../description.ts'
import { optionList } from './common-clauses.ts'
import { identityClause, serialType } from './render-sequence.ts'

type Table = ObjectOf<'table'>
type Constraint = ObjectOf<'constraint'>

/** What the table stands among. */
export interface TableSurroundings {
  readonly tables: ReadonlyMap<string, Table>
  readonly sequences: ReadonlyMap<string, ObjectOf<'sequence'>>
  /** Of this table. */
  readonly constraints: readonly Constraint[]
  /** Defaults and checks are made later, since what they call needs the table. */
  readonly split: boolean
}

/** Whether a constraint is made with its table. A partition's are its own until it becomes one. */
export function isInline({ facts }: Constraint, table: TableFacts, split: boolean): boolean {
  const { type, definition, inherited, local } = facts
  if (type === 'f' || definition.endsWith(' NOT VALID') || (split && type === 'c')) return false
  return table.bound !== undefined || inherited !== true || local === true
}

/** Whether a constraint comes from the table's parents, and needs no words. */
export function isInheritedOnly({ facts }: Constraint, table: TableFacts): boolean {
  return table.bound === undefined && facts.inherited === true && facts.local !== true
}

/** The statements that make a table. */
export function renderTable({ name, facts }: Table, around: TableSurroundings): string[] {
  const { split } = around
  const children = facts.bound === undefined ? (facts.parents ?? []) : []
  const merged = children.length > 0 && followsParents(facts, children, around.tables)
  const columns = facts.columns.filter(
    ({ inherited, local }) => !merged || inherited !== true || local === true,
  )
  const rest = merged ? facts.columns.filter((column) => !columns.includes(column)) : []
  const parts = [
    ...(facts.ofType === undefined
      ? columns.map((column) => columnDefinition(name, column, around))
      : columns.flatMap((column) => typedColumn(column, split))),
    ...rest.flatMap(({ notNull }) =>
      notNull?.name !== undefined && notNull.local === true
        ? [`constraint ${notNull.name} ${notNull.definition ?? ''}`]
        : [],
    ),
    ...around.constraints
      .filter((constraint) => isInline(constraint, facts, split))
      .map((constraint) => `constraint ${constraint.facts.constraint} ${constraint.facts.definition}`),
  ]
  const body = facts.ofType === undefined || parts.length > 0 ? ` (${parts.join(', ')})` : ''
  const create = [
    `create ${facts.persistence === 'u' ? 'unlogged ' : ''}table ${name}`,
    facts.ofType === undefined ? '' : ` of ${facts.ofType}`,
    body,
    merged ? ` inherits (${children.join(', ')})` : '',
    facts.partitionBy === undefined ? '' : ` partition by ${facts.partitionBy}`,
    facts.method === undefined ? '' : ` using ${facts.method}`,
    storageOptions(facts),
  ].join('')
  const changes = [
    ...facts.columns.flatMap((column) => columnChanges(column)),
    ...rest.flatMap((column) => inheritedChanges(column, children, around.tables)),
    ...(merged ? [] : children.map((parent) => `inherit ${parent}`)),
    ...tableChanges(facts),
  ]
  return [
    create,
    ...(changes.length === 0 ? [] : [`alter table only ${name} ${changes.join(', ')}`]),
    ...(facts.bound === undefined
      ? []
      : [`alter table only ${facts.parents?.[0] ?? ''} attach partition ${name} ${facts.bound}`]),
  ]
}

function storageOptions({ options = [], toastOptions = [] }: TableFacts): string {
  const all = [optionList(options), optionList(toastOptions, 'toast.')].filter((text) => text !== '')
  return all.length === 0 ? '' : ` with (${all.join(', ')})`
}

/** Whether INHERITS would give the columns in this order. */
function followsParents(
  facts: TableFacts,
  parents: readonly string[],
  tables: ReadonlyMap<string, Table>,
): boolean {
  const expected = new Set<string>()
  for (const parent of parents) {
    for (const { name } of tables.get(parent)?.facts.columns ?? []) expected.add(name)
  }
  for (const { name } of facts.columns) expected.add(name)
  return [...expected].join() === facts.columns.map(({ name }) => name).join()
}

/** A column as CREATE TABLE and ADD COLUMN take it. */
export function columnDefinition(
  table: string,
  column: ColumnFacts,
  { split, sequences }: Pick<TableSurroundings, 'split' | 'sequences'>,
): string {
  const { name, type, collation, compression, generated } = column
  const serial = split ? undefined : serialType(table, column, sequences)
  return [
    `${name} ${serial ?? type}`,
    compression === undefined ? '' : ` compression ${compression === 'l' ? 'lz4' : 'pglz'}`,
    collation === undefined ? '' : ` collate ${collation}`,
    serial !== undefined || split || column.default === undefined ? '' : ` default ${column.default}`,
    generated === undefined
      ? ''
      : ` generated always as (${generated.as}) ${generated.how === 's' ? 'stored' : 'virtual'}`,
    identityClause(table, column),
    notNullClause(column),
  ].join('')
}

/** One that is not valid can only be added later. */
function notNullClause({ notNull }: ColumnFacts): string {
  if (notNull === undefined || notNull.definition?.endsWith(' NOT VALID') === true) return ''
  const name = notNull.name === undefined ? '' : ` constraint ${notNull.name}`
  return `${name} not null${notNull.definition?.endsWith(' NO INHERIT') === true ? ' no inherit' : ''}`
}

function typedColumn(column: ColumnFacts, split: boolean): string[] {
  const options = `${split || column.default === undefined ? '' : ` default ${column.default}`}${notNullClause(column)}`
  return options === '' ? [] : [`${column.name} with options${options}`]
}

const STORAGE: Readonly<Record<string, string>> = { p: 'plain', e: 'external', m: 'main', x: 'extended' }

/** What no column definition says. */
function columnChanges({ name, storage, statistics, options, notNull }: ColumnFacts): string[] {
  return [
    ...(storage === undefined ? [] : [`alter ${name} set storage ${STORAGE[storage] ?? storage}`]),
    ...(statistics === undefined ? [] : [`alter ${name} set statistics ${statistics}`]),
    ...(options === undefined ? [] : [`alter ${name} set (${optionList(options)})`]),
    ...(notNull?.definition?.endsWith(' NOT VALID') === true
      ? [`add constraint ${notNull.name ?? ''} ${notNull.definition}`]
      : []),
  ]
}

/** In what a column that comes from parents alone is not like theirs. */
function inheritedChanges(
  column: ColumnFacts,
  parents: readonly string[],
  tables: ReadonlyMap<string, Table>,
): string[] {
  const theirs = parents.flatMap(
    (parent) => tables.get(parent)?.facts.columns.filter(({ name }) => name === column.name) ?? [],
  )
  const set = column.default === undefined ? 'drop default' : `set default ${column.default}`
  return [
    ...(column.generated === undefined && theirs.some((other) => other.default !== column.default)
      ? [`alter ${column.name} ${set}`]
      : []),
    ...(column.notNull !== undefined &&
    column.notNull.name === undefined &&
    theirs.every(({ notNull }) => notNull === undefined)
      ? [`alter ${column.name} set not null`]
      : []),
  ]
}

function tableChanges({ replicaIdentity, rowSecurity, forced }: TableFacts): string[] {
  return [
    ...(replicaIdentity === 'f' ? ['replica identity full'] : []),
    ...(replicaIdentity === 'n' ? ['replica identity nothing'] : []),
    ...(rowSecurity === true ? ['enable row level security'] : []),
    ...(forced === true ? ['force row level security'] : []),
  ]
}
