/** Lists in what two descriptions differ, object by object and column by column. */
import { idOf, type SchemaDescription, type SchemaObject } from '../description.ts'
import type { Difference } from './difference.ts'

/** Whether two facts are the same; both come from the same query, so that their keys stand in the same order. */
export function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b)
}

/** Objects by their ids. */
export function objectsById({ objects }: SchemaDescription): Map<string, SchemaObject> {
  return new Map(objects.map((object) => [idOf(object), object]))
}

/** In the order of ids; empty where both have the same fingerprint. */
export function findDifferences(from: SchemaDescription, to: SchemaDescription): Difference[] {
  const [here, there] = [objectsById(from), objectsById(to)]
  const found: Difference[] = []
  for (const [id, object] of here) if (!there.has(id)) found.push({ object: nameOf(id, object), is: 'extra' })
  for (const [id, wanted] of there) {
    const object = here.get(id)
    if (object === undefined) found.push({ object: nameOf(id, wanted), is: 'missing' })
    else if (!same(object.facts, wanted.facts)) found.push(...compare(id, object, wanted))
  }
  return found.toSorted((a, b) => (a.object < b.object ? -1 : a.object > b.object ? 1 : 0))
}

/** What cannot be described has its kind in its name. */
function nameOf(id: string, { kind, name }: SchemaObject): string {
  return kind === 'unsupported' ? name : id
}

type Facts = Readonly<Record<string, unknown>>

function compare(id: string, object: SchemaObject, wanted: SchemaObject): Difference[] {
  const [is, wants]: readonly [Facts, Facts] = [{ ...object.facts }, { ...wanted.facts }]
  const { columns: mine, ...own } = is
  const { columns: theirs, ...others } = wants
  const found: Difference[] = []
  const aspects = compareFacts(own, others)
  if (Array.isArray(mine) && Array.isArray(theirs)) {
    found.push(...compareColumns(object.name, mine as Facts[], theirs as Facts[]))
    const both = (list: Facts[], other: Facts[]): unknown[] =>
      list.map(({ name }) => name).filter((name) => other.some((each) => each['name'] === name))
    const order = [both(mine as Facts[], theirs as Facts[]), both(theirs as Facts[], mine as Facts[])]
    if (!same(order[0], order[1])) aspects['order of columns'] = { is: order[0], wants: order[1] }
  }
  if (Object.keys(aspects).length > 0) found.push({ object: id, is: 'different', aspects })
  return found
}

function compareFacts(is: Facts, wants: Facts): Record<string, { is: unknown; wants: unknown }> {
  const keys = [...new Set([...Object.keys(is), ...Object.keys(wants)])]
  return Object.fromEntries(
    keys.filter((key) => !same(is[key], wants[key])).map((key) => [key, { is: is[key], wants: wants[key] }]),
  )
}

function compareColumns(table: string, is: readonly Facts[], wants: readonly Facts[]): Difference[] {
  const [mine, theirs] = [is, wants].map((list) => new Map(list.map((each) => [String(each['name']), each])))
  const found: Difference[] = []
  for (const name of mine?.keys() ?? []) {
    if (theirs?.has(name) === false) found.push({ object: `column ${table}.${name}`, is: 'extra' })
  }
  for (const [name, wanted] of theirs ?? []) {
    const column = mine?.get(name)
    if (column === undefined) found.push({ object: `column ${table}.${name}`, is: 'missing' })
    else if (!same(column, wanted)) {
      found.push({
        object: `column ${table}.${name}`,
        is: 'different',
        aspects: compareFacts(column, wanted),
      })
    }
  }
  return found
}
