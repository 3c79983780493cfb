/** Writes a description as the SQL that makes such a schema. */
import { TenantryError } from '../core/errors.ts'
import { quoteIdent, quoteLiteral } from '../sql/quote.ts'
import {
  idOf,
  type ObjectKind,
  type ObjectOf,
  SCHEMA_MARK,
  type SchemaDescription,
  type SchemaObject,
} from './description.ts'
import { commentsOf, grantsOf } from './render/common-clauses.ts'
import { orderObjects, type Ordered } from './render/order-objects.ts'
import { constraintIndex, renderObject } from './render/render-object.ts'
import { serialType } from './render/render-sequence.ts'
import { isInheritedOnly, isInline, renderTable, type TableSurroundings } from './render/render-table.ts'

/** What nothing else asks for comes in this order. */
const KINDS: readonly ObjectKind[] = [
  'type',
  'sequence',
  'routine',
  'operator',
  'table',
  'constraint',
  'index',
  'statistics',
  'view',
  'materialized view',
  'rule',
  'trigger',
  'policy',
  'unsupported',
]

/** One object, with the statements that make it. */
export interface RenderedObject extends Ordered {
  readonly object: SchemaObject | undefined
  readonly statements: readonly string[]
}

/** Opens the surroundings in which the statements of a schema are written, to the end of the transaction. */
export function insideSchema(schema: string): string {
  return `set local search_path = ${quoteIdent(schema)}, pg_catalog, pg_temp; set local check_function_bodies = off`
}

/** A text of this module for a schema of a name: some functions have it in their settings. */
export function forSchema(sql: string, schema: string): string {
  return sql.replaceAll(SCHEMA_MARK, quoteLiteral(schema))
}

/**
 * The statements that make what a description tells in an empty schema, in order. Run them behind
 * `insideSchema(schema)`, as the role that is to own the objects, each through `forSchema`.
 * @throws TNY425 where something in it cannot be rendered.
 * @example
 * await tx.query([insideSchema('copy'), ...renderSchema(description)].join(';\n'))
 */
export function renderSchema(description: SchemaDescription): string[] {
  const [first] = description.unsupported
  if (first !== undefined)
    throw new TenantryError('TNY425', { params: { object: first, reason: 'no statement is known for it' } })
  return renderObjects(description).flatMap(({ statements }) => statements)
}

/**
 * The same by objects.
 * @param existing ids of tables that are there: what belongs to them is told by statements of its own.
 */
export function renderObjects(
  description: SchemaDescription,
  existing: ReadonlySet<string> = new Set(),
): RenderedObject[] {
  const split = new Set(existing)
  for (;;) {
    const ordered = orderObjects(nodesOf(description, split, existing))
    if (Array.isArray(ordered)) return ordered
    const tables = ordered.circle.filter((id) => id.startsWith('table ') && !split.has(id))
    if (tables.length === 0) {
      const params = {
        object: ordered.circle[0] ?? '',
        reason: `it stands in a circle: ${ordered.circle.join(', ')}`,
      }
      throw new TenantryError('TNY425', { params })
    }
    for (const id of tables) split.add(id)
  }
}

function byName<K extends ObjectKind>(objects: readonly SchemaObject[], kind: K): Map<string, ObjectOf<K>> {
  const found = objects.filter((object): object is ObjectOf<K> => object.kind === kind)
  return new Map(found.map((object) => [object.name, object]))
}

function nodesOf(
  { objects, needs, foreignKeys }: SchemaDescription,
  split: ReadonlySet<string>,
  existing: ReadonlySet<string>,
): RenderedObject[] {
  const tables = byName(objects, 'table')
  const sequences = byName(objects, 'sequence')
  const constraints = [...byName(objects, 'constraint').values()]
  const within = new Map<string, string>()
  const inlined = (constraint: ObjectOf<'constraint'>): boolean => {
    const table = tables.get(constraint.facts.table)
    if (table === undefined) return false
    if (existing.has(idOf(table))) return constraint.facts.inherited === true
    return (
      isInheritedOnly(constraint, table.facts) || isInline(constraint, table.facts, split.has(idOf(table)))
    )
  }
  for (const constraint of constraints)
    if (inlined(constraint)) within.set(idOf(constraint), `table ${constraint.facts.table}`)
  for (const table of tables.values()) {
    for (const column of table.facts.columns) {
      const [id, at] = [idOf(table), `${table.name}.${column.name}`]
      within.set(`column ${at}`, id)
      if (!split.has(id) || column.generated !== undefined) within.set(`default ${at}`, id)
      const [, serial = ''] = /^nextval\('(\w+)'::regclass\)$/.exec(column.default ?? '') ?? []
      if (!split.has(id) && serialType(table.name, column, sequences) !== undefined)
        within.set(`sequence ${serial}`, id)
    }
  }
  const home = (id: string): string => within.get(id) ?? id
  const wanted = new Map<string, Set<string>>()
  for (const [id, targets] of Object.entries(needs)) {
    // That a sequence belongs to a column is said when both are there.
    if (id.startsWith('sequence ')) continue
    const set = wanted.get(home(id)) ?? new Set()
    for (const target of targets) set.add(home(target))
    wanted.set(home(id), set)
  }
  const node = (
    id: string,
    object: SchemaObject | undefined,
    statements: readonly string[],
    also: readonly string[] = [],
  ): RenderedObject => ({
    id,
    object,
    statements,
    needs: [...(wanted.get(id) ?? []), ...also],
  })
  const made = new Map(foreignKeys.map((name, place) => [name, place]))
  const age = ({ kind, name }: SchemaObject): number => (kind === 'constraint' ? (made.get(name) ?? -1) : 0)
  const main = [...objects]
    .toSorted((a, b) => KINDS.indexOf(a.kind) - KINDS.indexOf(b.kind) || age(a) - age(b))
    .filter((object) => !within.has(idOf(object)))
    .map((object) => {
      const id = idOf(object)
      if (object.kind !== 'table')
        return node(id, object, [...renderObject(object), ...commentsOf(object), ...grantsOf(object)])
      const own = constraints.filter(({ facts }) => facts.table === object.name)
      const around: TableSurroundings = { tables, sequences, constraints: own, split: split.has(id) }
      const inside = own.filter((constraint) => within.has(idOf(constraint)))
      return node(id, object, [
        ...renderTable(object, around),
        ...commentsOf(object),
        ...grantsOf(object),
        ...inside.flatMap((constraint) => [...constraintIndex(constraint), ...commentsOf(constraint)]),
      ])
    })
  const later = [...tables.values()]
    .filter((table) => split.has(idOf(table)))
    .flatMap((table) =>
      table.facts.columns.flatMap((column) => {
        const id = `default ${table.name}.${column.name}`
        if (column.default === undefined || within.has(id)) return []
        return [
          node(
            id,
            undefined,
            [`alter table only ${table.name} alter ${column.name} set default ${column.default}`],
            [idOf(table)],
          ),
        ]
      }),
    )
  const owned = [...sequences.values()].flatMap((sequence) => {
    const { ownedBy } = sequence.facts
    const id = idOf(sequence)
    if (ownedBy === undefined) return []
    if (within.has(id))
      return [
        node(`rights of ${id}`, undefined, [...commentsOf(sequence), ...grantsOf(sequence)], [home(id)]),
      ]
    return [
      node(
        `owner of ${id}`,
        undefined,
        [`alter sequence ${sequence.name} owned by ${ownedBy}`],
        [id, home(`column ${ownedBy}`)],
      ),
    ]
  })
  return [...main, ...later, ...owned]
}
