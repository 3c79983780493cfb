/** Rows and positions of sequences that migrations left in a schema, as the statements that bring them back. */
import type { Queryable } from '../../core/database.ts'
import { quoteLiteral } from '../../sql/quote.ts'
import type { ObjectOf, SchemaDescription } from '../../schema/description.ts'

/** What is in the tables. */
export interface CarriedRows {
  /** Names of tables that have rows, as the description has them. */
  readonly tables: readonly string[]
  /** Statements that write them, before keys and triggers are there. */
  readonly inserts: readonly string[]
  /** What is in materialized views, to be compared alone. */
  readonly views: readonly string[]
  /** A statement that moves the sequences, where one has moved. */
  readonly positions: string | undefined
}

/** Texts that read back as what they were, whatever the session prefers. */
export const PLAIN_TEXTS = `set local datestyle = 'ISO, YMD'; set local intervalstyle = 'postgres'; set local extra_float_digits = 1;
  set local bytea_output = 'hex'; set local timezone = 'UTC'; set local xmloption = 'content'; set local lc_monetary = 'C'`

/** Beyond this, the rows are better written by the migrations that know where they come from. */
const MOST_CHARACTERS = 4_000_000
const ROWS_AT_ONCE = 500

/**
 * Reads all rows of a schema.
 * @param tx inside of the schema, as its owner, after `PLAIN_TEXTS`.
 * @returns undefined where they are too many.
 */
export async function readRows(
  tx: Queryable,
  description: SchemaDescription,
): Promise<CarriedRows | undefined> {
  const tables = description.objects.filter(
    (object): object is ObjectOf<'table'> =>
      object.kind === 'table' && object.facts.partitionBy === undefined,
  )
  const filled = await withRows(tx, tables)
  const inserts: string[] = []
  let size = 0
  for (const table of filled) {
    for (const insert of await insertsOf(tx, table)) {
      size += insert.length
      if (size > MOST_CHARACTERS) return undefined
      inserts.push(insert)
    }
  }
  const views: string[] = []
  for (const { kind, name, facts } of description.objects) {
    if (kind !== 'materialized view' || facts.unpopulated === true) continue
    const { rows } = await tx.query<{ text: string }>(
      `select coalesce(string_agg(v::text, chr(10) order by v::text), '') as text from ${name} v`,
    )
    views.push(rows[0]?.text ?? '')
  }
  const names = filled.map(({ name }) => name)
  return { tables: names, inserts, views, positions: await readPositions(tx, description) }
}

async function withRows(tx: Queryable, tables: readonly ObjectOf<'table'>[]): Promise<ObjectOf<'table'>[]> {
  if (tables.length === 0) return []
  const asked = tables.map(({ name }, at) => `select ${at} as at where exists (select from only ${name})`)
  const { rows } = await tx.query<{ filled: string }>(
    `select coalesce(json_agg(t.at order by t.at), '[]')::text as filled from (${asked.join(' union all ')}) t`,
  )
  const positions = new Set(JSON.parse(rows[0]?.filled ?? '[]') as number[])
  return tables.filter((_, at) => positions.has(at))
}

async function insertsOf(tx: Queryable, { name, facts }: ObjectOf<'table'>): Promise<string[]> {
  const columns = facts.columns
    .filter(({ generated }) => generated === undefined)
    .map((column) => column.name)
  const values = columns.map((column) => `quote_nullable(t.${column}::text)`)
  const { rows } = await tx.query<{ list: string }>(
    `select json_agg('(' || array_to_string(array[${values.join(', ')}]::text[], ', ') || ')' order by t.ctid)::text as list
     from only ${name} t`,
  )
  const tuples = JSON.parse(rows[0]?.list ?? '[]') as string[]
  if (columns.length === 0) return tuples.map(() => `insert into ${name} default values`)
  const inserts: string[] = []
  for (let at = 0; at < tuples.length; at += ROWS_AT_ONCE) {
    inserts.push(
      `insert into ${name} (${columns.join(', ')}) overriding system value values ${tuples.slice(at, at + ROWS_AT_ONCE).join(', ')}`,
    )
  }
  return inserts
}

/** Those that are not where they began. */
async function readPositions(tx: Queryable, { objects }: SchemaDescription): Promise<string | undefined> {
  const sequences = objects.flatMap((object) => {
    if (object.kind === 'sequence') return [{ name: object.name, start: object.facts.start }]
    if (object.kind !== 'table') return []
    return object.facts.columns.flatMap(({ identity }) =>
      identity?.sequence === undefined || identity.options === undefined
        ? []
        : [{ name: identity.sequence, start: identity.options.start }],
    )
  })
  if (sequences.length === 0) return undefined
  const moves = sequences.map(
    ({ name, start }, at) =>
      `select ${at} as at, format('setval(%L, %s, %L)', ${quoteLiteral(name)}, last_value, is_called) as move from ${name}
       where is_called or last_value <> ${start}`,
  )
  const { rows } = await tx.query<{ moves: string | null }>(
    `select string_agg(t.move, ', ' order by t.at) as moves from (${moves.join(' union all ')}) t`,
  )
  const all = rows[0]?.moves
  return all === null || all === undefined ? undefined : `select ${all}`
}
