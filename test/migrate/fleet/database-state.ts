/** Everything that a run might leave in a database, in a form that two moments are compared by. */
import pg from 'pg'

const CATALOGS = [
  "select 'schema', oid, nspname, nspowner, nspacl from pg_namespace where nspname !~ '^pg_(toast_)?temp'",
  `select 'relation', oid, relnamespace, relname, relkind, relowner, relfilenode, relacl, reloptions, relrowsecurity, relforcerowsecurity
   from pg_class where relnamespace::regnamespace::text !~ '^pg_(toast_)?temp'`,
  "select 'column', attrelid, attname, attnum, atttypid, attisdropped, attnotnull, attacl from pg_attribute where attrelid >= 16384",
  "select 'constraint', oid, conname, convalidated from pg_constraint",
  "select 'routine', oid, proname, proacl, prosrc from pg_proc where oid >= 16384",
  "select 'policy', oid, polname from pg_policy",
  "select 'trigger', oid, tgname, tgenabled from pg_trigger",
  "select 'type', oid, typname from pg_type where oid >= 16384",
]

/**
 * Structure, rights and every row of every table, ledgers and the catalog's tables among them. A sequence counts on where
 * a transaction is rolled back, which is left out.
 * @param url of a superuser
 */
export async function databaseState(url: string, name?: string): Promise<Record<string, string>> {
  const at = name === undefined ? url : Object.assign(new URL(url), { pathname: `/${name}` }).href
  const client = new pg.Client(at)
  await client.connect()
  try {
    const state: Record<string, string> = {}
    for (const query of CATALOGS) {
      const { rows } = await client.query<{ hash: string }>(
        `select md5(string_agg(q::text, ',' order by q::text)) as hash from (${query}) q`,
      )
      state[/'(\w+)'/.exec(query)?.[1] ?? ''] = rows[0]?.hash ?? ''
    }
    const { rows: tables } = await client.query<{ name: string }>(
      `select format('%I.%I', n.nspname, relname) as name from pg_class c join pg_namespace n on n.oid = relnamespace
       where relkind = 'r' and n.nspname !~ '^(pg_|information_schema)' order by 1`,
    )
    for (const { name: table } of tables) {
      const { rows } = await client.query<{ rows: string }>(
        `select coalesce(string_agg(t::text, e'\\n' order by t::text), '') as rows from ${table} t`,
      )
      state[table] = rows[0]?.rows ?? ''
    }
    return state
  } finally {
    await client.end()
  }
}
