/** Statements that use every table of a schema: rows that fit, rows that meet each key, keys that change, rows that go. */
import type { Queryable } from '../../src/core/database.ts'
import { quoteIdent } from '../../src/sql/quote.ts'

/** What tenants of every model are asked to do, in this order. */
export interface TableWork {
  readonly tables: readonly string[]
  /** A row for each table, the same once more, and foreign keys that refer to nothing. */
  readonly write: readonly string[]
  /** Changes each key that others refer to. */
  readonly change: readonly string[]
  readonly remove: readonly string[]
  /** Everything that is in the tables, but for what differs from run to run. */
  readonly read: readonly string[]
}

interface Table {
  readonly name: string
  readonly columns: readonly Column[]
}

interface Column {
  readonly name: string
  /** Without its length. */
  readonly type: string
  readonly notNull: boolean
  /** A column of the primary key. */
  readonly key: boolean
  /** A time, or a number that a sequence gives. */
  readonly varies: boolean
  /** Tables that it refers to. */
  readonly targets: readonly string[]
}

const TABLES = `select coalesce(json_agg(json_build_object('name', c.relname, 'columns', (
    select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, null), 'notNull', a.attnotnull,
      'key', exists (select from pg_constraint k where k.conrelid = c.oid and k.contype = 'p' and a.attnum = any (k.conkey)),
      'varies', format_type(a.atttypid, null) ~ '^time'
        or exists (select from pg_attrdef d where d.adrelid = c.oid and d.adnum = a.attnum
          and pg_get_expr(d.adbin, c.oid) ~ 'nextval'),
      'targets', (select coalesce(json_agg(f.confrelid::regclass::text), '[]') from pg_constraint f
        where f.conrelid = c.oid and f.contype = 'f' and a.attnum = any (f.conkey))) order by a.attnum)
    from pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped)) order by c.relname), '[]')::text as tables
  from pg_class c where c.relnamespace = current_schema()::regnamespace and c.relkind = 'r' and c.relname <> 'pgmigrations'`

/** @param tx a transaction whose path is a tenant's schema. */
export async function planTableWork(tx: Queryable): Promise<TableWork> {
  const { rows } = await tx.query<{ tables: string }>(TABLES)
  const tables = inOrder(JSON.parse(rows[0]?.tables ?? '[]') as Table[])
  return {
    tables: tables.map(({ name }) => name),
    write: tables.flatMap((table, index) => writes(table, tables.slice(index + 1))),
    change: tables.flatMap(changes),
    remove: tables.map((table) => `delete from ${quoteIdent(table.name)} where ${written(table)}`),
    read: tables.map(({ name, columns }) => {
      const told = columns.filter(({ varies }) => !varies).map((column) => quoteIdent(column.name))
      return `select ${told.join(', ')} from ${quoteIdent(name)}`
    }),
  }
}

/** What others refer to first; where tables refer to each other, one of them. */
function inOrder(tables: readonly Table[]): readonly Table[] {
  const left = new Set(tables)
  const ordered: Table[] = []
  while (left.size > 0) {
    const names = new Set([...left].map(({ name }) => name))
    const waits = ({ name, columns }: Table): boolean =>
      columns.some(({ targets }) => targets.some((target) => target !== name && names.has(target)))
    const next = [...left].find((table) => !waits(table)) ?? [...left][0]
    if (next === undefined) break
    left.delete(next)
    ordered.push(next)
  }
  return ordered
}

function writes({ name, columns }: Table, later: readonly Table[]): readonly string[] {
  const ahead = new Set([name, ...later.map((table) => table.name)])
  const values = columns.map(({ type, notNull, targets }) =>
    !notNull && targets.some((target) => ahead.has(target)) ? 'null' : valueOf(type, 'here'),
  )
  const names = columns.map((column) => quoteIdent(column.name))
  const insert = `insert into ${quoteIdent(name)} (${names.join(', ')}) values (${values.join(', ')})`
  const strays = columns.filter(({ targets }) => targets.length > 0)
  return [
    insert,
    insert,
    ...strays.map(
      ({ name: column, type }) =>
        `update ${quoteIdent(name)} set ${quoteIdent(column)} = ${valueOf(type, 'nowhere')} where ${written({ name, columns })}`,
    ),
  ]
}

function changes(table: Table): readonly string[] {
  const [key, ...others] = table.columns.filter((column) => column.key)
  if (key === undefined || others.length > 0) return []
  const [column, here, there] = [
    quoteIdent(key.name),
    valueOf(key.type, 'here'),
    valueOf(key.type, 'elsewhere'),
  ]
  const change = (from: string, to: string): string =>
    `update ${quoteIdent(table.name)} set ${column} = ${to} where ${column} = ${from}`
  return [change(here, there), change(there, here)]
}

/** Tells the row that `writes` has written from those of the application. */
function written({ columns }: Table): string {
  const telling = columns.filter(({ key }) => key)
  const all = telling.length > 0 ? telling : columns
  return all
    .map(({ name, type }) => `${quoteIdent(name)} is not distinct from ${valueOf(type, 'here')}`)
    .join(' and ')
}

/** Three values of a type. Columns that refer to each other get the same one. */
function valueOf(type: string, which: 'here' | 'elsewhere' | 'nowhere'): string {
  const number = { here: 9001, elsewhere: 9002, nowhere: 9009 }[which]
  if (/^(bigint|integer|smallint|numeric|double precision)/.test(type)) return `${number}`
  if (type === 'boolean') return 'true'
  if (type === 'bytea') return `'\\x${number}'`
  if (type.startsWith('bit')) return `${number}::bit(24)`
  if (type === 'interval') return `'${number} seconds'`
  if (type.startsWith('timestamp')) return `'2024-01-01 00:00Z'::timestamptz + interval '${number} seconds'`
  return `'${String.fromCodePoint(number - 9001 + 0x6b)}'`
}
