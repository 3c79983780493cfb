/** What a statement has left on a connection that the next tenant will use. */
import type { Queryable } from '../core/database.ts'
import type { ProofPool } from './ways.ts'

/** Session state by name, as text; what each transaction sets anew is left out. Source: PostgreSQL manual, DISCARD: what a session can hold. */
const STATE = `select json_build_object(
  'acts as', current_user, 'logged in as', session_user,
  'settings', (select string_agg(name || ' = ' || setting, ', ' order by name) from pg_settings
    where source = 'session' and name not like 'transaction\\_%'),
  'app.current_tenant', coalesce(current_setting('app.current_tenant', true), ''),
  'tenantry.proof', case when coalesce(current_setting('tenantry.proof', true), '') = '' then '' else 'set' end,
  'planted.setting', coalesce(current_setting('planted.setting', true), ''),
  'prepared statements', (select count(*) from pg_prepared_statements where from_sql),
  'cursors', (select count(*) from pg_cursors where is_holdable),
  'temporary objects', (select count(*) from pg_class where relnamespace = pg_my_temp_schema() and pg_my_temp_schema() <> 0),
  'channels', (select count(*) from pg_listening_channels()),
  'advisory locks', (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
  'seed of random()', random()::text = any ($1::text[])
)::text as state`

/** What random() gives after `setseed(0.5)`: the first of them. */
export async function readSeeded(admin: Queryable): Promise<string[]> {
  const { rows } = await admin.query<{ seeded: string }>(
    // The seed is set on a session that is used for nothing where it matters.
    `with seed as materialized (select setseed(0.5) as done)
     select json_agg(random()::text)::text as seeded from seed, generate_series(1, 3)`,
  )
  return JSON.parse(rows[0]?.seeded ?? '[]') as string[]
}

/** Reads it from the one connection of a pool that has no other, without a tenant. */
export async function readState(central: ProofPool, seeded: readonly string[]): Promise<Map<string, string>> {
  const { rows } = await central.query(STATE, [seeded])
  const [row] = rows as { state: string }[]
  const state = JSON.parse(row?.state ?? '{}') as Record<string, unknown>
  return new Map(Object.entries(state).map(([name, value]) => [name, JSON.stringify(value)]))
}

/** In words; empty where nothing differs. */
export function compareStates(
  before: ReadonlyMap<string, string>,
  after: ReadonlyMap<string, string>,
): string[] {
  return [...after]
    .filter(([name, value]) => value !== before.get(name))
    .map(([name, value]) => `${name}: ${value}, was ${before.get(name) ?? 'nothing'}`)
}
