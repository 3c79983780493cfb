/** How large the tables are that a plan reads or writes from end to end: catalogs only, one query a database. */
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import type { FleetPosition, PlacedMember } from './fleet-position.ts'
import type { TableSize } from './migration-plan.ts'

/** The largest table of each name. `of` asks in the shared set's words, or in those of tenants. */
export interface TableSizes {
  of(set: 'shared' | 'tenant', table: string): TableSize | undefined
}

/** How many other databases are asked at a time. */
const AT_ONCE = 4

/** @param tables names as statements write them; those of the shared set without a schema. */
export async function readSizes(
  db: AdminDatabase,
  session: Queryable,
  { members, sharedSchema }: Pick<FleetPosition, 'members' | 'sharedSchema'>,
  tables: { readonly shared: readonly string[]; readonly tenant: readonly string[] },
): Promise<TableSizes> {
  const found = new Map<string, TableSize>()
  const note = (
    set: 'shared' | 'tenant',
    sizes: readonly Found[],
    keys: ReadonlyMap<string, string>,
  ): void => {
    for (const { table, schema, rows, bytes } of sizes) {
      const key = `${set} ${table}`
      if ((found.get(key)?.bytes ?? -1) >= bytes) continue
      found.set(key, { tenant: keys.get(schema) ?? 'shared', rows, bytes })
    }
  }
  if (tables.shared.length > 0) note('shared', await ask(session, ['public'], tables.shared), new Map())
  if (tables.tenant.length > 0) {
    const here = members.filter(({ database }) => database === undefined)
    const keys = keysBySchema(here, sharedSchema)
    note('tenant', await ask(session, [...keys.keys()], tables.tenant), keys)
    const waiting = [
      ...Map.groupBy(
        members.filter(({ database }) => database !== undefined),
        ({ database = '' }) => database,
      ),
    ]
    const next = async (): Promise<void> => {
      for (let each = waiting.shift(); each !== undefined; each = waiting.shift()) {
        const there = keysBySchema(each[1], undefined)
        const sizes = await db
          .inDatabase(each[0])
          .session((other) => ask(other, [...there.keys()], tables.tenant))
          .catch(() => [])
        note('tenant', sizes, there)
      }
    }
    await Promise.all(Array.from({ length: AT_ONCE }, next))
  }
  return { of: (set, table) => found.get(`${set} ${table}`) }
}

/** Rows of tenants that share tables are not where their ledger is. */
function keysBySchema(
  members: readonly PlacedMember[],
  sharedSchema: string | undefined,
): Map<string, string> {
  return new Map(
    members.map(({ target, key, members: many }) => [
      many === undefined ? target.schema : (sharedSchema ?? target.schema),
      key,
    ]),
  )
}

interface Found {
  readonly table: string
  readonly schema: string
  readonly rows: number
  readonly bytes: number
}

/** One row a name: the largest. `public.plans` is found in its own schema, whichever is asked for. */
async function ask(
  session: Queryable,
  schemas: readonly string[],
  tables: readonly string[],
): Promise<readonly Found[]> {
  const { rows } = await session.query<{ found: string }>(
    `select coalesce(json_agg(json_build_object('table', t.name, 'schema', s.schema, 'rows', s.rows, 'bytes', s.bytes)), '[]')::text as found
     from unnest($2::text[]) as t(name)
     cross join lateral (
       select n.nspname as schema, greatest(c.reltuples, 0)::bigint as rows,
         c.relpages * current_setting('block_size')::bigint as bytes
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where c.relkind in ('r', 'm', 'p') and (
         (position('.' in t.name) = 0 and c.relname = t.name and n.nspname = any ($1))
         or (position('.' in t.name) > 0 and n.nspname = split_part(t.name, '.', 1) and c.relname = split_part(t.name, '.', 2)))
       order by c.relpages desc limit 1) s`,
    [schemas, tables],
  )
  return JSON.parse(rows[0]?.found ?? '[]') as readonly Found[]
}
