/** Plans what changes the structure of shared tables: the tenant's column, keys, indexes. Nothing where all is there. */
import {
  type DesiredConstraint,
  desiredConstraints,
  type DesiredIndex,
  desiredIndexes,
  isWholeOrNull,
  standsAlone,
  TENANT_COLUMN,
} from './desired-keys.ts'
import type { ConstraintFacts, IndexFacts, SchemaFacts, TableFacts } from './schema-facts.ts'

/**
 * The setting itself, in PostgreSQL's own words: the policy compares it with the proven id once a statement, while a
 * default is evaluated for each row (docs/decisions/0016).
 */
const TENANT_DEFAULT = "NULLIF(current_setting('app.current_tenant'::text, true), ''::text)"

/** Statements, in order, for the owner with the shared schema as its path. */
export function planStructure(pattern: SchemaFacts, shared: SchemaFacts): string[] {
  const idents = new Map(shared.tables.map(({ name, ident }) => [name, ident]))
  const keys = planConstraints(pattern, shared, idents)
  const indexes = planIndexes(pattern, shared, idents)
  // A foreign key stands on the index behind what it refers to.
  const standing = new Set([...keys.dropped, ...indexes.dropped].map(({ name }) => name))
  const severed = shared.constraints.filter(
    ({ type, parent, index, key }) =>
      type === 'f' && parent === '0' && key?.inside === true && index !== null && standing.has(index),
  )
  const goneKeys = new Set([...severed, ...keys.dropped.filter(({ type }) => type === 'f')])
  const restored = severed.flatMap((constraint) =>
    keys.desired.filter((wanted) => isSame(wanted, constraint)),
  )
  const added = [...new Set([...keys.added, ...restored])]
  const drop = ({ table, ident }: ConstraintFacts): string =>
    `alter table ${idents.get(table) ?? ''} drop constraint ${ident}`
  const addition = ({ table, ident, definition, age }: DesiredConstraint): Addition => ({
    age,
    statement: `alter table ${idents.get(table) ?? ''} add constraint ${ident} ${definition}`,
  })
  return [
    ...planTenantColumn(shared),
    ...[...goneKeys].map(drop),
    ...keys.dropped.filter(({ type }) => type !== 'f').map(drop),
    ...indexes.dropped.map(({ ident }) => `drop index ${ident}`),
    ...planNotNull(pattern, shared),
    ...oldestFirst([...added.filter(({ type }) => type !== 'f').map(addition), ...indexes.added]),
    ...oldestFirst(added.filter(({ type }) => type === 'f').map(addition)),
    ...keys.validated.map(
      ({ table, ident }) => `alter table ${idents.get(table) ?? ''} validate constraint ${ident}`,
    ),
  ]
}

interface Addition {
  readonly age: number
  readonly statement: string
}

function oldestFirst(additions: readonly Addition[]): string[] {
  return additions.toSorted((a, b) => a.age - b.age).map(({ statement }) => statement)
}

/** Parents first: their children have the column from them. */
function planTenantColumn(shared: SchemaFacts): string[] {
  const lacking = new Set(
    shared.tables.filter((table) => tenantColumn(table) === undefined).map(({ name }) => name),
  )
  return shared.tables.flatMap((table) => {
    const column = tenantColumn(table)
    const alter = `alter table ${table.ident}`
    const setDefault = `alter column ${TENANT_COLUMN} set default ${TENANT_DEFAULT}`
    if (column === undefined) {
      if (table.parents.some((parent) => lacking.has(parent))) return []
      // The default comes after: as part of the column it would be asked for at once, for rows that are there.
      return [`${alter} add column ${TENANT_COLUMN} text collate "C" not null, ${setDefault}`]
    }
    const mends: string[] = []
    if (column.default !== TENANT_DEFAULT) mends.push(setDefault)
    if (!column.notNull) mends.push(`alter column ${TENANT_COLUMN} set not null`)
    return mends.length === 0 ? [] : [`${alter} ${mends.join(', ')}`]
  })
}

export function tenantColumn(table: TableFacts): TableFacts['columns'][number] | undefined {
  return table.columns.find(({ name }) => name === TENANT_COLUMN)
}

function planConstraints(
  pattern: SchemaFacts,
  shared: SchemaFacts,
  tables: ReadonlyMap<string, string>,
): {
  desired: readonly DesiredConstraint[]
  dropped: readonly ConstraintFacts[]
  added: readonly DesiredConstraint[]
  validated: readonly ConstraintFacts[]
} {
  const desired = desiredConstraints(pattern).filter(({ table }) => tables.has(table))
  const there = shared.constraints.filter(
    (constraint) =>
      constraint.parent === '0' &&
      (['p', 'u', 'f'].includes(constraint.type) || isDerivedCheck(pattern, constraint)),
  )
  const dropped = there.filter((constraint) => {
    const wanted = desired.find((candidate) => isSame(candidate, constraint))
    return wanted === undefined || stripped(wanted.definition) !== stripped(constraint.definition)
  })
  const kept = there.filter((constraint) => !dropped.includes(constraint))
  return {
    desired,
    dropped,
    added: desired.filter((wanted) => !kept.some((constraint) => isSame(wanted, constraint))),
    // The other way round nothing is lost: what was checked for all rows still holds.
    validated: kept.filter(
      (constraint) =>
        !constraint.validated &&
        constraint.enforced &&
        desired.some((wanted) => isSame(wanted, constraint) && !wanted.definition.endsWith(NOT_VALID)),
    ),
  }
}

const NOT_VALID = ' NOT VALID'

function stripped(definition: string): string {
  return definition.endsWith(NOT_VALID) ? definition.slice(0, -NOT_VALID.length) : definition
}

function isSame(
  a: Pick<ConstraintFacts, 'table' | 'name'>,
  b: Pick<ConstraintFacts, 'table' | 'name'>,
): boolean {
  return a.table === b.table && a.name === b.name
}

/** A partition's copy of the check goes and comes with that of its parent. */
function isDerivedCheck(pattern: SchemaFacts, constraint: ConstraintFacts): boolean {
  return (
    isWholeOrNull(constraint) &&
    !constraint.inherited &&
    !pattern.constraints.some((other) => isSame(other, constraint))
  )
}

function planIndexes(
  pattern: SchemaFacts,
  shared: SchemaFacts,
  tables: ReadonlyMap<string, string>,
): { dropped: readonly IndexFacts[]; added: readonly Addition[] } {
  const desired = desiredIndexes(pattern).filter(({ table }) => tables.has(table))
  const there = shared.indexes.filter(standsAlone)
  const isThere = (wanted: DesiredIndex, index: IndexFacts): boolean =>
    wanted.table === index.table &&
    wanted.name === index.name &&
    wanted.unique === index.unique &&
    wanted.method === index.method &&
    wanted.rest === index.rest
  return {
    dropped: there.filter((index) => !desired.some((wanted) => isThere(wanted, index))),
    added: desired
      .filter((wanted) => !there.some((index) => isThere(wanted, index)))
      .map(({ table, ident, unique, method, rest, age }) => ({
        age,
        statement: `create ${unique ? 'unique ' : ''}index ${ident} on ${tables.get(table) ?? ''} using ${method} (${rest}`,
      })),
  }
}

/** A primary key made columns NOT NULL in the pattern; in shared tables its columns are set so, and set free, alone. */
function planNotNull(pattern: SchemaFacts, shared: SchemaFacts): string[] {
  return shared.tables.flatMap((table) => {
    const columns = pattern.tables.find(({ name }) => name === table.name)?.columns ?? []
    return table.columns.flatMap(({ name, ident, notNull }) => {
      const wanted = columns.find((column) => column.name === name)?.notNull
      if (wanted === undefined || wanted === notNull) return []
      return [`alter table ${table.ident} alter column ${ident} ${wanted ? 'set' : 'drop'} not null`]
    })
  })
}
