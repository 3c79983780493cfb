/** Gives a new tenant the rows that migrations themselves wrote: those of the pattern. */
import type { Queryable } from '../../core/database.ts'
import type { SharedHome } from '../../core/homes.ts'
import { quoteIdent, quoteLiteral } from '../../sql/quote.ts'
import { asOwner } from './own-rows.ts'

interface PatternTable {
  readonly name: string
  /** Rows of partitions are read and written through their root, those of other children by themselves. */
  readonly partitioned: boolean
  /** Without those that the server computes. */
  readonly columns: readonly PatternColumn[]
}

interface PatternColumn {
  readonly name: string
  /** The shared column's type, where the pattern's is another type of the same name. */
  readonly cast: string | null
}

/**
 * Copies all rows of the pattern into the shared tables, as this tenant's. The order of tables does not matter, nor do
 * rows that refer to each other: one statement writes them all, and foreign keys are checked at its end. Triggers do
 * not fire, since what they did when the migration ran is among the rows.
 * @param tx a transaction of the admin login that holds `lockShared`.
 * @throws 55P03 where a table whose triggers must stand still is in use for more than five seconds.
 */
export async function copyPattern(tx: Queryable, home: SharedHome, tenantId: string): Promise<void> {
  await tx.query(`set local role ${quoteIdent(home.ownerRole)}; set local search_path = pg_catalog`)
  const filled: PatternTable[] = []
  for (const table of await readTables(tx, home)) if (await hasRows(tx, home, table)) filled.push(table)
  await tx.query('set local role none')
  if (filled.length === 0) return
  const names = filled.map(({ name }) => name)
  await asOwner(tx, home.ownerRole, home.schema, names, 'insert', async () => {
    const copies = filled.map((table, index) => `c${index} as (${copyTable(home, table, tenantId)})`)
    await tx.query(`with ${copies.join(',\n')} select`)
  })
}

/** Tables of both schemas, with the columns that they share. */
async function readTables(tx: Queryable, home: SharedHome): Promise<PatternTable[]> {
  const { rows } = await tx.query<{ tables: string }>(
    `select coalesce(json_agg(json_build_object('name', p.relname, 'partitioned', p.relkind = 'p', 'columns', (
        select json_agg(json_build_object('name', a.attname, 'cast', case
            when format_type(a.atttypid, a.atttypmod) <> format_type(b.atttypid, b.atttypmod)
            then format_type(b.atttypid, b.atttypmod) end) order by a.attnum)
        from pg_attribute a join pg_attribute b on b.attrelid = s.oid and b.attname = a.attname
        where a.attrelid = p.oid and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
      )) order by p.relname), '[]')::text as tables
     from pg_class p join pg_class s on s.relname = p.relname and s.relnamespace = to_regnamespace($2)
     where p.relnamespace = to_regnamespace($1) and p.relkind in ('r', 'p') and not p.relispartition
       and p.relname <> 'pgmigrations'`,
    [quoteIdent(home.pattern), quoteIdent(home.schema)],
  )
  return JSON.parse(rows[0]?.tables ?? '[]') as PatternTable[]
}

async function hasRows(tx: Queryable, home: SharedHome, table: PatternTable): Promise<boolean> {
  const { rows } = await tx.query<{ found: string }>(
    `select exists (select from ${source(home, table)})::text as found`,
  )
  return rows[0]?.found === 'true'
}

function source({ pattern }: SharedHome, { name, partitioned }: PatternTable): string {
  return `${partitioned ? '' : 'only '}${quoteIdent(pattern)}.${quoteIdent(name)}`
}

function copyTable(home: SharedHome, table: PatternTable, tenantId: string): string {
  const columns = ['tenant_id', ...(table.columns ?? []).map(({ name }) => quoteIdent(name))]
  // Types of the tenant's own exist in both schemas; their text is the same.
  const values = (table.columns ?? []).map(({ name, cast }) =>
    cast === null ? `p.${quoteIdent(name)}` : `p.${quoteIdent(name)}::text::${cast}`,
  )
  return `insert into ${quoteIdent(home.schema)}.${quoteIdent(table.name)} (${columns.join(', ')})
    overriding system value select ${[quoteLiteral(tenantId), ...values].join(', ')} from ${source(home, table)} p`
}
