/** Compares two schemas, and writes what makes the first like the second. */
import {
  idOf,
  type ObjectKind,
  type ObjectOf,
  type SchemaDescription,
  type SchemaObject,
} from '../description.ts'
import { addressOf } from '../render/common-clauses.ts'
import { orderObjects } from '../render/order-objects.ts'
import { renderObjects } from '../render-schema.ts'
import { alterMarks, alterObject } from './alter-object.ts'
import { alterTable, type ColumnPlan, isAlterable, planColumns, touchedColumns } from './alter-table.ts'
import type { Repair, SchemaDiff } from './difference.ts'
import { findDifferences, objectsById, same } from './find-differences.ts'

/** They hold nothing of their own, so that they can go and come back. */
const LIGHT = new Set<ObjectKind>([
  'constraint',
  'index',
  'view',
  'materialized view',
  'routine',
  'operator',
  'trigger',
  'rule',
  'policy',
  'statistics',
])

/**
 * What differs in `from`, and the statements that bring it to `to`. They keep rows where they can, and say what they
 * lose; nobody but a person should decide to run them.
 * @example
 * const { differences, statements } = diffSchemas(await readSchema(tx, 'tenant_acme'), reference)
 */
export function diffSchemas(from: SchemaDescription, to: SchemaDescription): SchemaDiff {
  const differences = findDifferences(from, to)
  if (differences.length === 0) return { differences, statements: [], unsupported: [] }
  return { differences, ...planRepairs(from, to) }
}

function planRepairs(
  from: SchemaDescription,
  to: SchemaDescription,
): Pick<SchemaDiff, 'statements' | 'unsupported'> {
  const [here, there] = [objectsById(from), objectsById(to)]
  const isHere = (id: string): boolean => here.has(id)
  const unsupported = new Set(
    [...from.unsupported, ...to.unsupported].filter(
      (name) => here.has(`unsupported ${name}`) !== there.has(`unsupported ${name}`),
    ),
  )
  /** Ids that are not there for a time: what needs them goes before and comes back behind. */
  const gone = new Set<string>([...here.keys()].filter((id) => !there.has(id)))
  const replacedTypes = new Set<string>()
  const plans = new Map<string, ColumnPlan>()
  const tables = [...here.values()].filter((object): object is ObjectOf<'table'> => object.kind === 'table')

  for (const [id, object] of here) {
    const wanted = there.get(id)
    if (wanted === undefined || object.kind === 'table' || same(object.facts, wanted.facts)) continue
    if (alterObject(object, wanted) !== undefined) continue
    gone.add(id)
    if (object.kind === 'type') replacedTypes.add(id)
  }
  const needs = (id: string): readonly string[] => from.needs[id] ?? []
  const spread = (): boolean => {
    const before = gone.size
    for (const [id, object] of here) {
      if (gone.has(id)) continue
      if (object.kind === 'table' || object.kind === 'sequence') continue
      if (!needs(id).some((need) => gone.has(need))) continue
      gone.add(id)
      if (object.kind === 'type') replacedTypes.add(id)
    }
    for (const id of Object.keys(from.needs)) {
      if (id.startsWith('default ') && needs(id).some((need) => gone.has(need))) gone.add(id)
    }
    for (const table of tables) {
      const wanted = there.get(idOf(table))
      if (wanted?.kind !== 'table') {
        for (const { name } of table.facts.columns) gone.add(`column ${table.name}.${name}`)
        continue
      }
      // What a column computes goes with what it computes it from.
      const rebuilt = (column: string): boolean => {
        const { generated } = table.facts.columns.find(({ name }) => name === column) ?? {}
        const at = `${table.name}.${column}`
        return (
          generated !== undefined &&
          [...needs(`default ${at}`), ...needs(`column ${at}`)].some((need) => gone.has(need))
        )
      }
      const plan = planColumns(table.facts, wanted.facts, rebuilt)
      plans.set(idOf(table), plan)
      for (const name of touchedColumns(plan)) gone.add(`column ${table.name}.${name}`)
      for (const { name } of table.facts.columns) {
        const at = `column ${table.name}.${name}`
        if (needs(at).some((need) => replacedTypes.has(need))) gone.add(at)
      }
    }
    return gone.size > before
  }
  while (spread());

  const existing = new Set(tables.map(idOf).filter((id) => there.has(id)))
  /** Types of the schema's own are cast by way of text: what they become may be another type of the same labels. */
  const viaText =
    (table: string) =>
    (column: string): boolean => {
      const typesOf = ({ needs: all }: SchemaDescription): string[] =>
        (all[`column ${table}.${column}`] ?? []).filter((need) => need.startsWith('type '))
      const [is, wants] = [typesOf(from), typesOf(to)]
      return is.some((type) => replacedTypes.has(type)) || !same(is, wants)
    }
  const repairs: Repair[] = [...disown(here, there, gone), ...dropsOf(from, here, there, gone, 'early')]
  for (const id of replacedTypes) {
    const object = here.get(id)
    if (object !== undefined && there.has(id))
      repairs.push({ sql: `alter type ${object.name} rename to ${former(object.name)}` })
  }
  for (const node of renderObjects(to, existing)) {
    const { object } = node
    const is = here.get(node.id)
    if (object === undefined) {
      repairs.push(...follow(node.id, node.statements))
    } else if (is === undefined || (gone.has(node.id) && object.kind !== 'table')) {
      repairs.push(...node.statements.map((sql) => ({ sql })))
    } else if (is.kind === 'table' && object.kind === 'table') {
      const plan = plans.get(node.id)
      if (plan === undefined || !isAlterable(is.facts, object.facts)) {
        if (!same(is.facts, object.facts)) unsupported.add(node.id)
        continue
      }
      repairs.push(...alterTable(is, object, plan, viaText(object.name)))
      repairs.push(...alterMarks(withColumnsOf(is, object, plan), object).map((sql) => ({ sql })))
    } else if (!same(is.facts, object.facts)) {
      repairs.push(...[...(alterObject(is, object) ?? []), ...alterMarks(is, object)].map((sql) => ({ sql })))
    }
  }
  for (const [id, object] of here) {
    const wanted = there.get(id)
    if (
      object.kind === 'sequence' &&
      wanted?.kind === 'sequence' &&
      object.facts.ownedBy !== undefined &&
      wanted.facts.ownedBy === undefined
    ) {
      repairs.push({ sql: `alter sequence ${object.name} owned by none` })
    }
  }
  repairs.push(...dropsOf(from, here, there, gone, 'late', replacedTypes))
  return { statements: repairs, unsupported: [...unsupported] }

  /** Defaults and owners of tables and sequences that are there: said again where they differ, or had to go. */
  function follow(id: string, statements: readonly string[]): Repair[] {
    const at = id.replace(/^(default|owner of sequence|rights of sequence) /, '')
    if (id.startsWith('default ')) {
      const [is, wants] = [defaultOf(here, at), defaultOf(there, at)]
      const column = `column ${at}`
      return is === wants && !gone.has(id) && !gone.has(column) ? [] : statements.map((sql) => ({ sql }))
    }
    const sequence = id.replace(/^(owner|rights) of /, '')
    const [is, wants] = [here.get(sequence), there.get(sequence)]
    const owner = (object: SchemaObject | undefined): string | undefined =>
      object?.kind === 'sequence' ? object.facts.ownedBy : undefined
    const moved = gone.has(`column ${owner(wants) ?? ''}`)
    return isHere(sequence) && owner(is) === owner(wants) && !moved ? [] : statements.map((sql) => ({ sql }))
  }
}

/** Sequences that stay do not go with the column that they belong to. */
function disown(
  here: ReadonlyMap<string, SchemaObject>,
  there: ReadonlyMap<string, SchemaObject>,
  gone: ReadonlySet<string>,
): Repair[] {
  return [...here.values()].flatMap((object) =>
    object.kind === 'sequence' && there.has(idOf(object)) && gone.has(`column ${object.facts.ownedBy ?? ''}`)
      ? [{ sql: `alter sequence ${object.name} owned by none` }]
      : [],
  )
}

/** What was made with the table needs no second word. */
function withColumnsOf(
  is: ObjectOf<'table'>,
  wants: ObjectOf<'table'>,
  { added }: ColumnPlan,
): ObjectOf<'table'> {
  const fresh = new Set(added.map(([, { name }]) => name))
  const columns = wants.facts.columns.map((column) => {
    const { grants, ...rest } = is.facts.columns.find(({ name }) => name === column.name) ?? column
    return fresh.has(column.name) || grants === undefined ? rest : { ...rest, grants }
  })
  return { ...is, facts: { ...is.facts, columns } }
}

function defaultOf(objects: ReadonlyMap<string, SchemaObject>, at: string): string | undefined {
  for (const object of objects.values()) {
    if (object.kind !== 'table' || !at.startsWith(`${object.name}.`)) continue
    const column = object.facts.columns.find(({ name }) => `${object.name}.${name}` === at)
    if (column !== undefined) return column.default
  }
  return undefined
}

function former(name: string): string {
  return name.startsWith('"') ? `${name.slice(0, -1)} (former)"` : `"${name} (former)"`
}

/** Light objects and tables go first, with whatever needs them; what columns may still use goes at the end. */
function dropsOf(
  from: SchemaDescription,
  here: ReadonlyMap<string, SchemaObject>,
  there: ReadonlyMap<string, SchemaObject>,
  gone: ReadonlySet<string>,
  when: 'early' | 'late',
  replaced: ReadonlySet<string> = new Set(),
): Repair[] {
  const early = new Set<string>()
  const homes = new Map<string, string>()
  for (const object of here.values()) {
    if (object.kind !== 'table') continue
    for (const { name } of object.facts.columns) homes.set(`column ${object.name}.${name}`, idOf(object))
  }
  const nodes = [...gone].map((id) => {
    const home = homes.get(id)
    return { id, needs: [...(from.needs[id] ?? []), ...(home === undefined ? [] : [home])] }
  })
  for (const { id } of nodes) {
    const kind = here.get(id)?.kind
    if (
      id.startsWith('default ') ||
      kind === 'table' ||
      (kind !== undefined && LIGHT.has(kind) && (kind !== 'routine' || there.has(id)))
    )
      early.add(id)
  }
  for (let size = -1; size !== early.size;) {
    size = early.size
    for (const { id, needs } of nodes)
      if (here.has(id) && !replaced.has(id) && needs.some((need) => early.has(need))) early.add(id)
  }
  const ordered = orderObjects(nodes)
  const order = Array.isArray(ordered) ? ordered : nodes
  return order.toReversed().flatMap(({ id }): Repair[] => {
    if (id.startsWith('default ')) return when === 'early' ? dropDefault(id, here, there) : []
    const object = here.get(id)
    if (object === undefined || object.kind === 'unsupported') return []
    const isType = object.kind === 'type' && there.has(id)
    if ((early.has(id) && !isType ? 'early' : 'late') !== when) return []
    return dropObject(object, isType, here, there)
  })
}

function dropDefault(
  id: string,
  here: ReadonlyMap<string, SchemaObject>,
  there: ReadonlyMap<string, SchemaObject>,
): Repair[] {
  const at = id.slice('default '.length)
  for (const object of here.values()) {
    if (object.kind !== 'table' || !there.has(idOf(object))) continue
    const column = object.facts.columns.find(({ name }) => `${object.name}.${name}` === at)
    if (column?.default !== undefined)
      return [{ sql: `alter table only ${object.name} alter ${column.name} drop default` }]
  }
  return []
}

function dropObject(
  object: SchemaObject,
  replaced: boolean,
  here: ReadonlyMap<string, SchemaObject>,
  there: ReadonlyMap<string, SchemaObject>,
): Repair[] {
  switch (object.kind) {
    case 'constraint': {
      const { table, constraint, inherited, type } = object.facts
      // It goes with its table, or with its parent's.
      if ((!there.has(`table ${table}`) && type !== 'f') || inherited === true) return []
      return [{ sql: `alter table ${table} drop constraint ${constraint}` }]
    }
    case 'trigger':
    case 'rule':
    case 'policy': {
      const { table } = object.facts
      const on = ['table', 'view', 'materialized view'].some((kind) => here.has(`${kind} ${table}`))
      return on ? [{ sql: `drop ${addressOf(object).replace(/^(\w+) /, '$1 if exists ')}` }] : []
    }
    case 'index':
      return object.facts.parent === undefined ? [{ sql: `drop index if exists ${object.name}` }] : []
    case 'table':
      return [{ sql: `drop table ${object.name}`, loses: `the rows of ${object.name}` }]
    case 'type':
      return [
        {
          sql: `drop ${object.facts.how === 'domain' ? 'domain' : 'type'} if exists ${replaced ? former(object.name) : object.name}`,
        },
      ]
    case 'sequence':
      return [{ sql: `drop sequence if exists ${object.name}`, loses: `the position of ${object.name}` }]
    default:
      return [{ sql: `drop ${addressOf(object).replace(/^(materialized view|\w+) /, '$1 if exists ')}` }]
  }
}
