import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type ControlPlane, createControlPlane } from '../../src/control-plane.ts'
import type { AdminDatabase } from '../../src/core/database.ts'
import type { Home, Tenant } from '../../src/core/tenant.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase
let app: AdminDatabase
let control: ControlPlane
let a: Tenant
let b: Tenant

const seed = `
  create table orders (id serial primary key, customer text);
  insert into orders (customer) values ('first');
  create function count_orders() returns bigint language sql as 'select count(*) from orders';
  create view recent as select * from orders;`

beforeAll(async () => {
  database = await createTestDatabase()
  app = createAdminDatabase(database.appUrl)
  control = createControlPlane({ connection: database.adminUrl, migrations: {} })
  a = await control.tenants.create({ key: 'a1' })
  b = await control.tenants.create({ key: 'b1' })
  for (const { home } of [a, b]) await asOwner(home, seed)
})
afterAll(async () => {
  await Promise.all([app.close(), control.close()])
  await database.drop()
})

/** What a migration does: as the owner role, in the tenant's schema. */
async function asOwner(home: Home, text: string): Promise<void> {
  await database.sql(
    `begin; set local role ${home.ownerRole}; set local search_path = ${home.schema}; ${text}; commit`,
  )
}

/** One statement of the runtime login for a tenant, without guard: what the roles alone keep. */
async function asTenant(home: Home, text: string): Promise<unknown[]> {
  return app.transaction(async (tx) => {
    await tx.query(`set local role ${home.role}`)
    await tx.query(`set local search_path = ${home.schema}, public, pg_temp`)
    return (await tx.query(text)).rows
  })
}

test('a tenant reads and writes rows of its own schema, and calls its functions', async () => {
  expect(await asTenant(a.home, "insert into orders (customer) values ('x') returning id")).toEqual([
    { id: 2 },
  ])
  expect(await asTenant(a.home, "update orders set customer = 'y' where id = 2 returning customer")).toEqual([
    { customer: 'y' },
  ])
  expect(await asTenant(a.home, 'delete from orders where id = 2 returning id')).toEqual([{ id: 2 }])
  expect(await asTenant(a.home, 'select count_orders()::int as n')).toEqual([{ n: 1 }])
  expect(await asTenant(a.home, 'select customer from recent')).toEqual([{ customer: 'first' }])
})

test.for([
  ['reads', (home: Home) => `select * from ${home.schema}.orders`],
  ['writes', (home: Home) => `insert into ${home.schema}.orders (customer) values ('x')`],
  ['counts', (home: Home) => `select ${home.schema}.count_orders()`],
  ['uses a sequence of', (home: Home) => `select nextval('${home.schema}.orders_id_seq')`],
  ['looks through a view of', (home: Home) => `select * from ${home.schema}.recent`],
] as const)('S1: a tenant %s another by its qualified name: 42501', async ([, statement]) => {
  await expect(asTenant(a.home, statement(b.home))).rejects.toMatchObject({ code: '42501' })
  await expect(app.query(statement(b.home))).rejects.toMatchObject({ code: '42501' })
})

test('S1: with the roles granted wrongly the attack works, so it is the roles that stop it', async () => {
  const attack = `select customer from ${b.home.schema}.orders`
  await database.sql(`grant ${b.home.role} to ${a.home.role}`)
  expect(await asTenant(a.home, attack)).toEqual([{ customer: 'first' }])
  await database.sql(`revoke ${b.home.role} from ${a.home.role}`)
  await expect(asTenant(a.home, attack)).rejects.toMatchObject({ code: '42501' })
})

/** The server's own refusal, with no guard before it. */
async function expectRefusal(statement: string): Promise<void> {
  await expect(asTenant(a.home, statement)).rejects.toMatchObject({ code: '42501' })
}

test.for([
  'create table more (id int)',
  'alter table orders add column secret text',
  'drop table orders',
  'create index on orders (customer)',
  'create table public.more (id int)',
  'create schema more',
])('a tenant cannot change structure: %s', (statement) => expectRefusal(statement))

test('a tenant cannot pass its rights on', async () => {
  // No more than a warning: only the outcome counts.
  await asTenant(a.home, `grant usage on schema ${a.home.schema} to public`)
  const [open] = await database.sql("select has_schema_privilege('public', $1, 'USAGE') as everybody", [
    a.home.schema,
  ])
  expect(open).toEqual({ everybody: false })
})

test('S2: in a hardened database the server refuses set_config under a tenant’s role', () =>
  expectRefusal("select set_config('role', 'none', true)"))
test('S5: in a hardened database the server refuses DO', () => expectRefusal('do $$ begin perform 1; end $$'))
test('S11: TRUNCATE is never granted', () => expectRefusal('truncate orders'))
test('S15: the server refuses temporary tables', () => expectRefusal('create temp table orders (id int)'))
test('S16: in a hardened database the server refuses pg_notify', () =>
  expectRefusal("select pg_notify('channel', 'x')"))
test('S18: in a hardened database the server refuses large objects', () =>
  expectRefusal('select lo_create(0)'))
test('S22: a tenant cannot set its sequences, nor use those of others', async () => {
  await expectRefusal("select setval('orders_id_seq', 1000)")
  await expectRefusal(`select setval('${b.home.schema}.orders_id_seq', 1000)`)
  await expectRefusal(`select last_value from ${b.home.schema}.orders_id_seq`)
  // The control: with the rights that careless set-ups give, it sets another tenant back.
  const attack = `select setval('${b.home.schema}.orders_id_seq', 1000)::int as n`
  await database.sql(`grant usage on schema ${b.home.schema} to ${a.home.role};
    grant all on sequence ${b.home.schema}.orders_id_seq to ${a.home.role}`)
  expect(await asTenant(a.home, attack)).toEqual([{ n: 1000 }])
  await database.sql(`revoke all on sequence ${b.home.schema}.orders_id_seq from ${a.home.role};
    revoke all on schema ${b.home.schema} from ${a.home.role}`)
  await expectRefusal(attack)
})
test('S25: files of the server and programs are out of reach; with the right to them they are not', async () => {
  const read = "select pg_read_file('PG_VERSION') as it"
  const run = "copy orders to program 'cat > /dev/null'"
  for (const attack of [read, run, "copy orders from '/etc/passwd'", 'create extension dblink'])
    await expectRefusal(attack)
  await database.sql(`grant execute on function pg_read_file(text) to ${a.home.role};
    grant pg_execute_server_program to ${a.home.role}`)
  expect(await asTenant(a.home, read)).toEqual([{ it: '18\n' }])
  await asTenant(a.home, run)
  await database.sql(`revoke execute on function pg_read_file(text) from ${a.home.role};
    revoke pg_execute_server_program from ${a.home.role}`)
  for (const attack of [read, run]) await expectRefusal(attack)
})
test('S26: in a hardened database the server refuses functions that run SQL text', async () => {
  await expectRefusal("select query_to_xml('select 1', true, true, '')")
  await expectRefusal("select * from ts_stat('select ''a''::tsvector')")
})

test('the runtime login holds no tenant’s rights before it enters one', async () => {
  await expect(app.query(`select * from ${a.home.schema}.orders`)).rejects.toMatchObject({ code: '42501' })
  await expect(app.query(`set role ${a.home.ownerRole}`)).rejects.toMatchObject({ code: '42501' })
  await expect(app.query('set role tenantry_admin')).rejects.toMatchObject({ code: '42501' })
})

describe('shared tables', () => {
  test('of the admin are the runtime login’s; tenants see what is granted to their group', async () => {
    const admin = createAdminDatabase(database.adminUrl, 1)
    await admin.query(`create table public.countries (code text); insert into public.countries values ('de')`)
    expect((await app.query('select * from public.countries')).rows).toEqual([{ code: 'de' }])
    await expect(asTenant(a.home, 'select * from countries')).rejects.toMatchObject({ code: '42501' })
    await admin.query('grant select on public.countries to tenantry_tenants')
    await admin.close()
    expect(await asTenant(a.home, 'select * from countries')).toEqual([{ code: 'de' }])
    await expect(asTenant(a.home, 'delete from countries')).rejects.toMatchObject({ code: '42501' })
  })
})

test('migrations may define functions after hardening, in SQL and PL/pgSQL; tenants call them, others not', async () => {
  await asOwner(a.home, 'create function one() returns int language plpgsql as $$ begin return 1; end $$')
  expect(await asTenant(a.home, 'select one()')).toEqual([{ one: 1 }])
  const [open] = await database.sql(
    `select has_function_privilege('public', '${a.home.schema}.one()', 'EXECUTE') as everybody`,
  )
  expect(open).toEqual({ everybody: false })
})
