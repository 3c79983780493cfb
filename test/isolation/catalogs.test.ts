/** What catalogs and statistics tell a tenant of others: names, never values; in a database of its own not even names. */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { enterUnguarded } from '../support/unguarded.ts'
import { createFormWorld, type FormWorld } from './shared-form/form-world.ts'

/** In a row of the other tenant, and often enough to be among the statistics. */
const CANARY = 'canary-of-the-other'

let world: TenantWorld
let form: FormWorld
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  await world.db.sql(`insert into ${schemaOf('globex')}.orders (owner)
    select '${CANARY}' from generate_series(1, 100); analyze ${schemaOf('globex')}.orders`)
  form = await createFormWorld()
  await form.change('create table orders (id int primary key, note text)')
  await form.db.sql(`insert into tenant_shared.orders (tenant_id, id, note)
    select t, n, case t when 'b' then '${CANARY}' else 'mine' end
    from unnest('{a,b}'::text[]) t, generate_series(1, 100) n; analyze tenant_shared.orders`)
})
afterAll(async () => {
  await world.close()
  await form.close()
})

function schemaOf(key: string): string {
  return world.tenants[key]?.home.schema ?? ''
}

test('S19: statistics and activity of other tenants are hidden; with a right on the table they are not', async () => {
  const busy = new pg.Client(world.db.appUrl)
  await busy.connect()
  await busy.query(`select '${CANARY}'`)
  const STATISTICS = `select most_common_vals::text from pg_stats where schemaname = '${schemaOf('globex')}'`
  await enterUnguarded(world, 'acme', async (query) => {
    expect((await query(STATISTICS)).rows).toEqual([])
    await expect(query('select stavalues1::text from pg_statistic')).rejects.toMatchObject({ code: '42501' })
    const { rows } = await query(
      'select query from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
    )
    expect(JSON.stringify(rows)).not.toContain(CANARY)
  })
  // The controls: who may read the table has its statistics, and a login sees what it runs itself.
  await world.db.sql(
    `grant select on ${schemaOf('globex')}.orders to ${world.tenants['acme']?.home.role ?? ''}`,
  )
  await enterUnguarded(world, 'acme', async (query) => {
    expect(JSON.stringify((await query(STATISTICS)).rows)).toContain(CANARY)
    await query('reset role')
    const { rows } = await query('select query from pg_stat_activity where datname = current_database()')
    expect(JSON.stringify(rows)).toContain(CANARY)
  })
  await world.db.sql(
    `revoke select on ${schemaOf('globex')}.orders from ${world.tenants['acme']?.home.role ?? ''}`,
  )
  await busy.end()
})

test('S19: beside others a tenant sees their names; in a database of its own there are none', async () => {
  const umbrella = await world.plane.tenants.create({ key: 'umbrella', model: 'database', tier: 'guarded' })
  const tenancy = world.open()
  const NAMES = `select nspname as name from pg_namespace where nspname like 'tenant%'
    union select prosrc from pg_proc where proname = 'owner_of' and pronamespace <> 'pg_catalog'::regnamespace
    union select relname from pg_class where relnamespace = 'public'::regnamespace`
  const beside = await tenancy.poolFor('acme').query<{ name: string }>(NAMES)
  expect(beside.rows).toContainEqual({ name: schemaOf('globex') })
  const alone = await tenancy.poolFor('umbrella').query<{ name: string }>(NAMES)
  expect(alone.rows.map(({ name }) => name).toSorted()).toEqual([
    'select owner from orders where id = order_id',
    'tenant',
    // What ran in this database, which its migrations keep there.
    'tenantry',
  ])
  const kept = 'select from tenantry.migration_heads'
  await expect(tenancy.poolFor('umbrella').query(kept)).rejects.toMatchObject({ code: '42501' })
  // Roles belong to the server, so that their names tell nothing.
  const { rows: roles } = await tenancy
    .poolFor('umbrella')
    .query<{ rolname: string }>("select rolname from pg_roles where rolname ~ 'acme|globex|umbrella'")
  expect(roles).toEqual([])
  await tenancy.close()
  await world.plane.tenants.delete(umbrella.key, { confirm: umbrella.key })
})

test('S24: neither an operator nor an estimate tells values behind a policy; without the policy both do', async () => {
  // An operator that says what it is given: only such a one shows what it met. Tenants cannot make one.
  await form.db.sql(`
    create function public.tells(a text, b text) returns boolean language plpgsql immutable cost 0.0001 as $$
      begin raise notice 'met %', a; return a < b; end $$;
    create operator public.<<< (leftarg = text, rightarg = text, procedure = public.tells, restrict = scalarltsel);
    grant execute on function public.tells(text, text) to public`)
  async function heard(statement: string): Promise<string> {
    const client = new pg.Client(form.db.appUrl)
    const said: string[] = []
    client.on('notice', ({ message }) => said.push(message ?? ''))
    await client.connect()
    try {
      const { rows } = await form.admin.query<{ proof: string }>("select tenantry.proof_of('a') as proof")
      await client.query(`begin; select set_config('role', '${form.home.role}', true),
        set_config('search_path', '${form.home.schema}, public', true), set_config('app.current_tenant', 'a', true),
        set_config('tenantry.proof', '${rows[0]?.proof ?? ''}', true)`)
      await client.query(statement)
    } finally {
      await client.end()
    }
    return said.join('; ')
  }
  const [read, estimate] = [
    "select * from orders where note <<< 'zzz'",
    "explain select * from orders where note <<< 'zzz'",
  ]
  expect(await heard(read)).toContain('met mine')
  for (const statement of [read, estimate]) expect(await heard(statement), statement).not.toContain(CANARY)
  await form.db.sql('alter table tenant_shared.orders disable row level security')
  for (const statement of [read, estimate]) expect(await heard(statement), statement).toContain(CANARY)
})
