import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { enterUnguarded } from '../support/unguarded.ts'

let world: TenantWorld
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
})
afterAll(() => world.close())

function home(key: string): { schema: string; role: string; ownerRole: string } {
  const found = world.tenants[key]?.home
  if (found === undefined) throw new Error(`no tenant ${key}`)
  return found
}

test('S1: another tenant’s table by its full name is refused by the server', async () => {
  const attack = `select * from ${home('globex').schema}.orders`
  await expect(world.open().poolFor('acme').query(attack)).rejects.toMatchObject({ code: '42501' })
  // The control: with the rights that careless set-ups give, the same statement reads the rows.
  await world.db.sql(`grant usage on schema ${home('globex').schema} to ${home('acme').role}`)
  await world.db.sql(`grant select on ${home('globex').schema}.orders to ${home('acme').role}`)
  const { rows } = await world.open().poolFor('acme').query(attack)
  expect(rows).toHaveLength(3)
  await world.db.sql(`revoke all on ${home('globex').schema}.orders from ${home('acme').role}`)
  await world.db.sql(`revoke all on schema ${home('globex').schema} from ${home('acme').role}`)
})

test('S1: the runtime login itself reads no tenant’s table, nor the control plane’s', async () => {
  const { central } = world.open()
  for (const table of [`${home('acme').schema}.orders`, 'tenantry.operations', 'tenantry.role_pool']) {
    await expect(central.query(`select * from ${table}`), table).rejects.toMatchObject({ code: '42501' })
  }
  await expect(central.query("update tenantry.tenants set status = 'active'")).rejects.toMatchObject({
    code: '42501',
  })
})

test('S11: a tenant truncates nothing, its own tables included', async () => {
  await enterUnguarded(world, 'acme', async (query) => {
    await expect(query('truncate orders')).rejects.toMatchObject({ code: '42501' })
  })
})

test('S12: logins that no isolation holds for are refused at start', async () => {
  const owner = new URL(world.db.superuserUrl)
  await expect(world.open({ connection: owner.href }).ready()).rejects.toMatchObject({
    code: 'TNY006',
    message: expect.stringContaining('superuser') as string,
  })
  await expect(world.open({ connection: world.db.adminUrl }).ready()).rejects.toMatchObject({
    code: 'TNY006',
  })
  // A statement is refused as well, not only ready().
  const tenancy = world.open({ connection: owner.href })
  await expect(tenancy.poolFor('acme').query('select 1')).rejects.toMatchObject({ code: 'TNY006' })
})

test('S15: a temporary table cannot shadow a tenant’s; without the revoke it does', async () => {
  await enterUnguarded(world, 'acme', async (query) => {
    await expect(query('create temporary table orders (owner text)')).rejects.toMatchObject({ code: '42501' })
  })
  // The control: where everybody may make temporary tables, and the path does not end in pg_temp.
  await world.db.sql(`grant temporary on database ${world.db.name} to public`)
  const client = new pg.Client(world.db.appUrl)
  await client.connect()
  await client.query("create temporary table orders as select 'planted'::text as owner")
  const enter = "select set_config('role', $1, true), set_config('search_path', $2, true)"
  for (const [path, owners] of [
    [home('globex').schema, ['planted']],
    [`${home('globex').schema}, public, pg_temp`, ['globex']],
  ] as const) {
    await client.query('begin')
    await client.query(enter, [home('globex').role, path])
    await client.query('savepoint look')
    const rows = await client.query('select distinct owner from orders').then(
      (result) => result.rows.map(({ owner }: { owner: string }) => owner),
      // 42501: the name was the temporary table's, of which the tenant may read nothing.
      (error: { code: string }) => (error.code === '42501' ? ['planted'] : [error.code]),
    )
    expect(rows, path).toEqual(owners)
    await client.query('rollback')
  }
  await client.end()
  await world.db.sql(`revoke temporary on database ${world.db.name} from public`)
})

test('S21: outside of a flight there is no tenant, and a policy on the setting gives no rows', async () => {
  await world.db.sql(`
    create table public.notes (tenant_id text, body text);
    insert into public.notes values ('${world.tenants['acme']?.id ?? ''}', 'a'), ('', 'nobody'), (null, 'null');
    alter table public.notes enable row level security;
    alter table public.notes force row level security;
    create policy own on public.notes
      using (tenant_id = (select nullif(current_setting('app.current_tenant', true), '')));
    grant select on public.notes to tenantry_app, tenantry_tenants`)
  const tenancy = world.open({ max: 1 })
  expect((await tenancy.poolFor('acme').query('select body from public.notes')).rows).toEqual([{ body: 'a' }])
  // The connection is the one that served acme: the setting is '' now, not NULL.
  expect((await tenancy.central.query('select body from public.notes')).rows).toEqual([])
  // The control: the same policy without NULLIF gives the row of the empty id.
  await world.db.sql(
    `alter policy own on public.notes using (tenant_id = current_setting('app.current_tenant', true))`,
  )
  expect((await tenancy.central.query('select body from public.notes')).rows).toEqual([{ body: 'nobody' }])
})

test('S20: no tenant’s name shows in application_name', async () => {
  await world.open().poolFor('acme').query('select 1')
  const rows = await world.db.sql<{ application_name: string }>(
    "select application_name from pg_stat_activity where datname = current_database() and usename = 'tenantry_app'",
  )
  expect(new Set(rows.map(({ application_name }) => application_name))).toEqual(new Set(['tenantry']))
})

test('S31: a function of all tenants keeps the row type of the first that called it; in its own schema it is right', async () => {
  const { acme, globex } = world.tenants
  if (acme === undefined || globex === undefined) throw new Error('no tenants')
  // The same columns in another order, as after migrations by hand.
  for (const [{ home: at }, columns] of [
    [acme, "'right'::text as kept, 'wrong'::text as other"],
    [globex, "'wrong'::text as other, 'right'::text as kept"],
  ] as const) {
    await world.db.sql(`create table ${at.schema}.facts as select ${columns};
      grant select on ${at.schema}.facts to ${at.role}`)
    await world.db
      .sql(`set check_function_bodies = off; create function ${at.schema}.kept() returns text language plpgsql as
      'declare it facts%rowtype; begin select * into it from facts; return it.kept; end';
      grant execute on function ${at.schema}.kept() to ${at.role}; reset check_function_bodies`)
  }
  await world.db.sql(`set check_function_bodies = off;
    create function public.kept_by_all() returns text language plpgsql as
      'declare it facts%rowtype; begin select * into it from facts; return it.kept; end';
    grant execute on function public.kept_by_all() to tenantry_tenants; reset check_function_bodies`)
  const tenancy = world.open({ max: 1 })
  const ask = async (key: string, call: string): Promise<unknown> =>
    (await tenancy.poolFor(key).query<{ it: unknown }>(`select ${call} as it`)).rows[0]?.it
  for (const key of ['acme', 'globex', 'acme']) expect(await ask(key, 'kept()')).toBe('right')
  expect(await ask('acme', 'public.kept_by_all()')).toBe('right')
  expect(await ask('globex', 'public.kept_by_all()')).toBe('wrong')
})
