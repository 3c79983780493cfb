import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { GatewayPool } from '../../src/index.ts'
import { createGuard } from '../../src/isolation/guard.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { enterUnguarded } from '../support/unguarded.ts'

let world: TenantWorld
let pool: GatewayPool
let victim: string
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  pool = world.open().poolFor('acme')
  victim = world.tenants['globex']?.home.role ?? ''
})
afterAll(() => world.close())

/** Refused by the guard, before anything is sent. */
async function expectRefused(text: string): Promise<void> {
  await expect(pool.query(text), text).rejects.toMatchObject({ code: 'TNY204' })
}

test('S2: set_config is refused by the guard, and behind it by the server', async () => {
  const attack = `select set_config('role', '${victim}', true), query_to_xml('select * from orders', true, true, '')`
  await expectRefused(attack)
  await expectRefused(`select pg_catalog."set_config"('role', '${victim}', true)`)
  await enterUnguarded(world, 'acme', async (query) => {
    await expect(query(attack)).rejects.toMatchObject({ code: '42501' })
  })
})

test('S3: settings are not written through pg_settings', async () => {
  await expectRefused("update pg_settings set setting = 'x' where name = 'role'")
  await expectRefused("update pg_catalog.pg_settings set setting = 'x' where name = 'role'")
})

test('S4: nobody leaves the tenant’s role; without the guard RESET ROLE does', async () => {
  const escapes = [
    'reset role',
    `set role ${victim}`,
    `set local role ${victim}`,
    'reset all',
    'set role none',
  ]
  for (const text of [...escapes, 'set session authorization default', 'discard all'])
    await expectRefused(text)
  await enterUnguarded(world, 'acme', async (query) => {
    await query('reset role')
    await query(`set local role ${victim}`)
    const schema = world.tenants['globex']?.home.schema ?? ''
    expect((await query(`select distinct owner from ${schema}.orders`)).rows).toEqual([{ owner: 'globex' }])
  })
})

test('S5: DO is refused by the guard, and behind it by the server', async () => {
  const attack = `do $$ begin execute 'set local role ${victim}'; end $$`
  await expectRefused(attack)
  await enterUnguarded(world, 'acme', async (query) => {
    await expect(query(attack)).rejects.toMatchObject({ code: '42501' })
  })
})

test('S6: stacked statements are refused, with and without values', async () => {
  await expectRefused('select 1; reset role')
  await expect(pool.query('select $1::int; reset role', [1])).rejects.toMatchObject({ code: 'TNY204' })
})

test('S26: functions that run SQL given as text are refused', async () => {
  for (const call of [
    "query_to_xml('select 1', true, true, '')",
    "database_to_xml(true, true, '')",
    "ts_stat('select 1')",
    "dblink('dbname=x', 'select 1')",
    "pg_read_file('/etc/passwd')",
    "lo_import('/etc/passwd')",
  ]) {
    await expectRefused(`select * from ${call}`)
  }
})

test('S29: what would reach the next tenant on the connection is refused', async () => {
  for (const text of [
    'commit and chain',
    'rollback and chain',
    "prepare transaction 'x'",
    'declare c cursor with hold for select 1',
    'prepare p as select 1',
    'deallocate all',
    'select setseed(0.5)',
    'select pg_advisory_lock(1)',
    'create temp table t (a int)',
    'select 1 into temporary t',
    "set statement_timeout = '1s'",
    'set session characteristics as transaction read only',
    'notify a_channel',
    'vacuum',
    'truncate orders',
    'grant select on orders to public',
  ]) {
    await expectRefused(text)
  }
  await expect(pool.query('listen a_channel')).rejects.toMatchObject({ code: 'TNY210' })
  await expect(pool.query('copy orders to stdout')).rejects.toMatchObject({ code: 'TNY210' })
})

test('S29: what another tenant has prepared on the connection is neither run nor shown; without the guard it is', async () => {
  for (const text of [
    'explain execute planted',
    'explain analyze execute planted',
    'explain analyze create table t as select 1',
    'create table t as execute planted',
    'select statement from pg_prepared_statements',
    'select count(*) from "pg_catalog"."pg_prepared_statements" p',
    'with p as (select * from pg_prepared_statement()) select * from p',
  ]) {
    await expectRefused(text)
  }
  await enterUnguarded(world, 'acme', async (query) => {
    // Both on one connection, as tenants are, one after the other.
    await query(`prepare planted as select 'the secret of globex'`)
    expect((await query('explain (analyze, verbose) execute planted')).rows[0]).toEqual({
      'QUERY PLAN': expect.stringContaining('Result') as string,
    })
    expect(JSON.stringify((await query('explain (verbose) execute planted')).rows)).toContain(
      'secret of globex',
    )
    // The second needs no guard where the database is hardened.
    await expect(query('select statement from pg_prepared_statements')).rejects.toMatchObject({
      code: '42501',
    })
  })
})

test('S15: temporary tables by any name are refused', async () => {
  for (const text of [
    'create table pg_temp.orders (a int)',
    'create table "pg_temp"."orders" as select 1',
    'select 1 as a into pg_temp.orders',
    'explain analyze create temp table orders as select 1',
    'create function pg_temp.f() returns int language sql as $$select 1$$',
  ]) {
    await expectRefused(text)
  }
  const { central } = world.open()
  for (const text of ['create table pg_temp.orders (a int)', "set local search_path = 'pg_temp'"]) {
    await expect(central.query(text), text).rejects.toMatchObject({ code: 'TNY204' })
  }
})

test('S2: a call is found wherever it stands, and however it is written', async () => {
  for (const text of [
    "select U&\"set\\005fconfig\"('role', 'x', true)",
    "call set_config('role', 'x', true)",
    "select * from rows from (set_config('role', 'x', true)) r",
    "select 1 limit length(set_config('role', 'x', true))",
    "select * from json_table('[1]', '$[*]' passing set_config('role', 'x', true) as x columns (n int path '$'))",
    "explain select set_config('role', 'x', true)",
    "copy (select set_config('role', 'x', true)) to stdout",
    "declare c cursor for select set_config('role', 'x', true)",
    "merge into orders o using (select set_config('role', 'x', true)) s on false when not matched then do nothing",
  ]) {
    await expectRefused(text)
  }
})

test('a lock that would stop every tenant of a shared table is refused there, and only there', async () => {
  const guard = createGuard()
  await guard.load()
  for (const text of ['lock orders', 'lock table orders in share mode']) {
    expect(guard.check(text, 'tenant')).toBe('send')
    expect(() => guard.shared(text)).toThrow(expect.objectContaining({ code: 'TNY204' }))
    expect(() => guard.common(text)).toThrow(expect.objectContaining({ code: 'TNY204' }))
  }
  for (const text of ['lock orders in row exclusive mode', 'select * from orders for update skip locked']) {
    expect(guard.shared(text)).toBe(text)
    expect(() => guard.common(text)).not.toThrow()
  }
})

test('texts for shared tables are completed once, and others cost a look', async () => {
  const guard = createGuard()
  await guard.load()
  const upsert = 'insert into t (a) values (1) on conflict (a) do nothing'
  expect(guard.shared(upsert)).toBe('insert into t (a) values (1) on conflict (tenant_id, a) do nothing')
  expect(guard.shared(upsert)).toBe(guard.shared(upsert))
  expect(guard.shared('select 1')).toBe('select 1')
})

describe('what applications need runs', () => {
  test.for([
    'select * from orders where id = 1 for update',
    'with gone as (delete from orders where id = -1 returning *) select * from gone',
    "insert into orders (owner) values ('acme') on conflict do nothing returning id",
    "update orders set note = 'SET ROLE x; reset role' where id = -1",
    'insert into orders (owner) select owner from orders where false returning *',
    'with a as (insert into orders (owner) select null where false returning *) select * from a',
    'explain (analyze, costs off) select * from orders for update',
    'explain delete from orders where false',
    'merge into orders o using (select 1 as id) s on o.id = s.id when matched then update set note = null',
    'explain select * from orders',
    'show search_path',
    'values (1), (2)',
    'select now(), gen_random_uuid(), current_setting($$timezone$$), coalesce(null, 1)',
  ])('%s', async (text) => {
    await expect(pool.query(text)).resolves.toBeDefined()
  })

  test('a setting for one transaction', async () => {
    const tenancy = world.open()
    const rows = await tenancy.run('acme', () =>
      tenancy.transaction(async (client) => {
        await client.query("set local statement_timeout = '5s'")
        return (await client.query('show statement_timeout'))?.rows
      }),
    )
    expect(rows).toEqual([{ statement_timeout: '5s' }])
  })
})

test('central work may not change the session that tenants use next', async () => {
  const { central } = world.open()
  for (const text of [
    'set role tenantry_app',
    `set role ${victim}`,
    'set local role none',
    "set statement_timeout = '7ms'",
    "select set_config('statement_timeout', '7', false)",
    'select pg_advisory_lock(1)',
    'prepare p as select 1',
    'create temp table t (a int)',
    "load 'auto_explain'",
    'discard all',
  ]) {
    await expect(central.query(text), text).rejects.toMatchObject({ code: 'TNY204' })
  }
  expect((await central.query('select 1 as n')).rows).toEqual([{ n: 1 }])
})

test('P2: a setting for the session would reach the next tenant; it is refused', async () => {
  await expectRefused("select set_config('statement_timeout', '7', false)")
})

test('syntax that PostgreSQL does not know is refused with its reason', async () => {
  await expect(pool.query('selec 1')).rejects.toMatchObject({
    code: 'TNY213',
    message: expect.stringContaining('syntax error at or near "selec"') as string,
  })
})

test('a refusal is told as an event', async () => {
  const tenancy = world.open()
  const refused: (string | undefined)[] = []
  tenancy.on('statement:refused', ({ error }) => refused.push(error.code))
  await expect(tenancy.poolFor('acme').query('reset role')).rejects.toMatchObject({ code: 'TNY204' })
  expect(refused).toEqual(['TNY204'])
})

test('a verdict is cached by text and by mode', async () => {
  const guard = createGuard()
  await guard.load()
  expect(guard.check('select 1', 'tenant')).toBe('send')
  expect(guard.check('select 1', 'tenant')).toBe('send')
  expect(guard.check('create table a (b int)', 'central')).toBe('send')
  expect(() => guard.check('create table a (b int)', 'tenant')).toThrow(
    expect.objectContaining({ code: 'TNY204' }),
  )
})
