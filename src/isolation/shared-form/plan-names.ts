/** Plans the names of what PostgreSQL made by itself for partitions: those that it gave in the pattern. */
import type { ConstraintFacts, IndexFacts, SchemaFacts } from './schema-facts.ts'

interface Rename {
  readonly from: string
  readonly to: string
  /** ALTER … RENAME … TO, without the new name. */
  statement(from: string): string
}

/** An error names the partition's constraint, so that applications know these names too. */
export function planNames(pattern: SchemaFacts, shared: SchemaFacts): string[] {
  const idents = new Map(shared.tables.map(({ name, ident }) => [name, ident]))
  const indexes = pair(pattern.indexes, shared.indexes, ({ table }) => table).map(([wanted, index]) => ({
    from: index.ident,
    to: wanted.ident,
    statement: (from: string) => `alter index ${from} rename to`,
  }))
  // Where the other side is partitioned, a foreign key has one more for each partition there.
  const keys = pair(
    pattern.constraints,
    shared.constraints,
    ({ table, key }) => `${table} ${key?.target ?? ''}`,
  )
    .filter(([{ type }]) => type === 'f')
    .map(([wanted, constraint]) => ({
      from: constraint.ident,
      to: wanted.ident,
      statement: (from: string) =>
        `alter table ${idents.get(constraint.table) ?? ''} rename constraint ${from} to`,
    }))
  return [...renameAll(indexes), ...renameAll(keys)]
}

/** What follows from the same one of a partitioned table, there and here, where the names differ. */
function pair<T extends IndexFacts | ConstraintFacts>(
  pattern: readonly T[],
  shared: readonly T[],
  placeOf: (item: T) => string,
): [T, T][] {
  const identify = (items: readonly T[]): Map<string, T> => {
    const byOid = new Map(items.map((item) => [item.oid, item]))
    const rootOf = (item: T): T => {
      const parent = byOid.get(item.parent)
      return parent === undefined ? item : rootOf(parent)
    }
    const following = items.filter((item) => byOid.has(item.parent))
    return new Map(
      following.map((item) => [`${placeOf(item)} ${rootOf(item).table} ${rootOf(item).name}`, item]),
    )
  }
  const there = identify(pattern)
  return [...identify(shared)].flatMap(([identity, item]): [T, T][] => {
    const wanted = there.get(identity)
    return wanted === undefined || wanted.ident === item.ident ? [] : [[wanted, item]]
  })
}

/** By way of names that nobody has, since one may want the name that another gives up. */
function renameAll(renames: readonly Rename[]): string[] {
  const between = (index: number): string => `tenantry_renamed_${index}`
  return [
    ...renames.map(({ from, statement }, index) => `${statement(from)} ${between(index)}`),
    ...renames.map(({ to, statement }, index) => `${statement(between(index))} ${to}`),
  ]
}
