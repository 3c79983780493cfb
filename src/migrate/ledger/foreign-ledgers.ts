/** The tables in which other tools keep what they ran: their names, and what their rows say. */
import type { MigrationFormat } from '../../core/config.ts'
import type { Queryable } from '../../core/database.ts'
import { quoteIdent } from '../../sql/quote.ts'

/** A tool's row about a migration that ran. */
export interface ForeignEntry {
  /** What it calls the migration; `undefined` where it knows only its text. */
  readonly name: string | undefined
  /** SHA-256 of the text that ran, in hexadecimal, where it keeps that. */
  readonly hash: string | undefined
  /** Why nobody knows what is there of it. */
  readonly problem?: string | undefined
}

/** Where a tool keeps its table. */
export interface ForeignLedger {
  readonly table: string
  /** The schema it makes for it; `undefined`: that of the application's tables. */
  readonly schema?: string | undefined
  /** One JSON document a row, in the order in which they ran. */
  readonly select: (table: string) => string
}

const byName = (order: string) => (table: string) =>
  `select json_build_object('name', name)::text as entry from ${table} order by ${order}`

/** As the versions that are supported write them; read from their sources. */
export const FOREIGN_LEDGERS: Readonly<Record<MigrationFormat, ForeignLedger>> = {
  'node-pg-migrate': { table: 'pgmigrations', select: byName('run_on, id') },
  prisma: {
    table: '_prisma_migrations',
    // What was rolled back and then ran counts once.
    select: (table) => `
      select json_build_object('name', m.migration_name, 'hash', m.checksum, 'problem', case
          when m.rolled_back_at is not null then 'was rolled back'
          when m.finished_at is null then 'failed' end)::text as entry
      from ${table} m where m.rolled_back_at is null or not exists (select from ${table} l
        where l.migration_name = m.migration_name and l.finished_at is not null and l.rolled_back_at is null)
      order by m.started_at, m.migration_name`,
  },
  drizzle: {
    table: '__drizzle_migrations',
    schema: 'drizzle',
    select: (table) => `select json_build_object('hash', hash)::text as entry from ${table} order by id`,
  },
  knex: { table: 'knex_migrations', select: byName('id') },
  'mikro-orm': { table: 'mikro_orm_migrations', select: byName('id') },
  typeorm: { table: 'migrations', select: byName('id') },
}

/** Reads a tool's table, as the role that the transaction has. @param table quoted, with its schema. */
export async function readForeign(
  tx: Queryable,
  ledger: ForeignLedger,
  table: string,
): Promise<readonly ForeignEntry[]> {
  const { rows } = await tx.query<{ entry: string }>(ledger.select(table))
  return rows.map(({ entry }) => {
    const { name, hash, problem } = JSON.parse(entry) as Readonly<Record<string, string | null>>
    return { name: name ?? undefined, hash: hash ?? undefined, problem: problem ?? undefined }
  })
}

/** `schema.table` quoted; without a schema it is in `schema`. */
export function qualify(table: string, schema: string): string {
  const parts = table.split('.')
  return (parts.length > 1 ? [parts[0] ?? '', parts.slice(1).join('.')] : [schema, table])
    .map(quoteIdent)
    .join('.')
}
