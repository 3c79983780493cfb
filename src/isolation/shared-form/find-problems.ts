/** Finds what has no shared form. Each problem names its object, and what to write instead. */
import { TENANT_COLUMN } from './desired-keys.ts'
import { tenantColumn } from './plan-structure.ts'
import { isOurPolicy } from './plan-protection.ts'
import type { ConstraintFacts, SchemaFacts, TableFacts } from './schema-facts.ts'

/** Something that tenants cannot share, or that differs between the pattern and the shared tables. */
export interface FormProblem {
  /** Its kind and name, the name last: `table orders`, `constraint orders.no_overlap`. */
  readonly object: string
  /** Completes "…:". */
  readonly reason: string
  /** A sentence without its full stop. */
  readonly wayOut: string
}

/** PostgreSQL's own limit on the columns of an index. */
const MAX_INDEX_COLUMNS = 32

/** In the order of the catalogs; none: everything can be derived. */
export function findProblems(pattern: SchemaFacts, shared: SchemaFacts, ownerRole: string): FormProblem[] {
  return [
    ...pattern.strangers.map(strangerProblem),
    ...pattern.tables.flatMap(patternProblems),
    ...pattern.rowTypes.map(({ table, column }) => ({
      object: `table ${table}`,
      reason: `column ${column} has its row type, so that it takes no column more`,
      wayOut: 'Use a composite type',
    })),
    ...shared.tables.flatMap((table) => sharedProblems(table, pattern, ownerRole)),
    ...pattern.constraints.flatMap(constraintProblems),
    ...pattern.indexes.flatMap(({ table, name, columnCount, method, rest }) => {
      const object = `index ${table}.${name}`
      if (rest === null) {
        return [{ object, reason: 'its definition is not understood', wayOut: 'Write it in another way' }]
      }
      return method === 'btree' && columnCount >= MAX_INDEX_COLUMNS
        ? [{ object, reason: 'with the tenant it has too many columns', wayOut: 'Leave a column out' }]
        : []
    }),
  ]
}

function strangerProblem({ kind, name }: SchemaFacts['strangers'][number]): FormProblem {
  const object = `${kind} ${name}`
  switch (kind) {
    case 'materialized view':
      return {
        object,
        reason: 'it holds the rows of all tenants and has no policies',
        wayOut: 'Write a view, or a table that a trigger keeps',
      }
    case 'foreign table':
      return {
        object,
        reason: 'a foreign table has no policies',
        wayOut: 'Create it in a shared migration',
      }
    default:
      return { object, reason: 'a rule rewrites statements around the policies', wayOut: 'Write a trigger' }
  }
}

function patternProblems(table: TableFacts): FormProblem[] {
  const object = `table ${table.name}`
  const found: FormProblem[] = []
  const say = (reason: string, wayOut: string): void => void found.push({ object, reason, wayOut })
  if (tenantColumn(table) !== undefined) {
    say(
      `it has a column ${TENANT_COLUMN} of its own, which is what says whose row it is`,
      'Rename the column',
    )
  }
  if (table.strangeParent) {
    say('it inherits from a table outside of the tenant’s schema', 'Create both in tenant migrations')
  }
  if (table.ofType) say('a table of a composite type takes no column more', 'Write its columns out')
  if (table.shadowed) say('pg_catalog has a table of the same name', 'Rename it')
  if (table.policies.some(({ permissive }) => permissive)) {
    say('a permissive policy shows rows of every tenant that it lets pass', 'Write it AS RESTRICTIVE')
  }
  return found
}

function sharedProblems(table: TableFacts, pattern: SchemaFacts, ownerRole: string): FormProblem[] {
  const object = `table ${table.name}`
  const found: FormProblem[] = []
  if (table.owner !== ownerRole) {
    const reason = `it belongs to ${table.owner} in the shared schema, so that its policies do not hold for it`
    found.push({ object, reason, wayOut: `Give it to ${ownerRole}` })
  }
  const column = tenantColumn(table)
  const isTheUsers = pattern.tables.some(
    (other) => other.name === table.name && tenantColumn(other) !== undefined,
  )
  if (column !== undefined && !isTheUsers && (column.type !== 'text' || column.collation !== 'C')) {
    const reason = `its ${TENANT_COLUMN} is ${column.type}, not text collate "C"`
    found.push({ object, reason, wayOut: 'Leave the column to the derivation' })
  }
  for (const policy of table.policies) {
    if (!policy.permissive || isOurPolicy(policy)) continue
    const reason = `the permissive policy ${policy.name} on it shows rows of other tenants`
    found.push({ object, reason, wayOut: 'Drop the policy' })
  }
  return found
}

function constraintProblems({ table, name, type, parent, key }: ConstraintFacts): FormProblem[] {
  const object = `constraint ${table}.${name}`
  if (type === 'x') {
    return [
      {
        object,
        reason: 'an exclusion constraint would hold across tenants',
        wayOut: 'Check it in a trigger, or write a unique constraint where it says the same',
      },
    ]
  }
  if (key?.inside !== true || parent !== '0' || (key.onUpdate !== 'n' && key.onUpdate !== 'd')) return []
  const action = key.onUpdate === 'n' ? 'SET NULL' : 'SET DEFAULT'
  return [
    {
      object,
      reason: `ON UPDATE ${action} would set the tenant's column too`,
      wayOut: 'Write ON UPDATE CASCADE or leave the action out',
    },
  ]
}
