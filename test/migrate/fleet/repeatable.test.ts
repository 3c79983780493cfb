/** Files of `repeatable/`: they run behind the numbered ones, for every model, whenever their text changed. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type ControlPlane, createControlPlane } from '../../../src/control-plane.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { createFolder, type MigrationFolder } from '../migration-folder.ts'

let database: TestDatabase
let folder: MigrationFolder
let shared: MigrationFolder
let plane: ControlPlane
beforeEach(async () => {
  database = await createTestDatabase()
  folder = await createFolder({
    '1_orders.sql': 'create table orders (id int primary key, total int)',
    'repeatable/a_open.sql': 'create or replace view open_orders as select id from orders',
    'repeatable/b_count.sql': 'create or replace view counted as select count(*) as n from open_orders',
  })
  shared = await createFolder({
    'repeatable/one.sql':
      'create or replace function public.one() returns int language sql as $$ select 1 $$',
  })
  plane = createControlPlane({
    connection: database.adminUrl,
    masterKey: 'a master key for tests and long enough to be one',
    migrations: { tenant: folder.path, shared: shared.path },
  })
})
afterEach(async () => {
  for (const { key } of await plane.tenants.list()) await plane.tenants.delete(key, { confirm: key })
  await plane.close()
  await database.drop()
  await folder.drop()
  await shared.drop()
})

/** The text of a view in every schema of the catalog's database that has it. */
async function viewsOf(name: string): Promise<Record<string, string>> {
  const rows = await database.sql<{ schema: string; text: string }>(
    `select n.nspname as schema, pg_get_viewdef(c.oid) as text from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relname = '${name}' and c.relkind = 'v'`,
  )
  return Object.fromEntries(rows.map(({ schema, text }) => [schema, text]))
}

const pendingOf = async (): Promise<Record<string, readonly string[]>> =>
  Object.fromEntries((await plane.migrate.status()).tenants.map(({ key, pending }) => [key, pending]))

const BOTH = ['repeatable/a_open', 'repeatable/b_count']

test('new tenants of every model get them, and a changed file is run again with those behind it', async () => {
  await plane.tenants.create({ key: 'acme' })
  await plane.tenants.create({ key: 'globex', model: 'database' })
  await plane.tenants.create({ key: 'initech', model: 'shared' })
  expect(Object.keys(await viewsOf('counted'))).toHaveLength(3)
  expect(await plane.migrate.up()).toMatchObject({ shared: ['repeatable/one'], tenants: [], unchanged: 3 })
  expect(await plane.migrate.diff()).toMatchObject({ compared: 3, same: 3 })

  await folder.write({
    'repeatable/a_open.sql': 'create or replace view open_orders as select id, total from orders',
  })
  expect(await pendingOf()).toEqual({ acme: BOTH, globex: BOTH, 'shared tenants': BOTH })
  expect((await plane.migrate.plan()).repeatable).toEqual(BOTH.map((name) => ({ name, tenants: 3 })))
  const report = await plane.migrate.up()
  expect(report.failed).toEqual([])
  expect(report.tenants.map(({ applied }) => applied)).toEqual([BOTH, BOTH, BOTH])
  const views = await viewsOf('open_orders')
  expect(Object.values(views)).toHaveLength(3)
  for (const text of Object.values(views)) expect(text).toContain('total')
  expect(await plane.migrate.diff()).toMatchObject({ compared: 3, same: 3 })
  expect(await plane.migrate.up()).toMatchObject({ tenants: [], unchanged: 3, failed: [] })
  expect(await pendingOf()).toEqual({ acme: [], globex: [], 'shared tenants': [] })

  await folder.write({ 'repeatable/c_last.sql': 'create or replace view last as select max(id) from orders' })
  expect((await plane.migrate.up()).tenants.map(({ applied }) => applied)).toEqual(
    Array.from({ length: 3 }, () => ['repeatable/c_last']),
  )
  await folder.remove('repeatable/c_last.sql')
  expect(await plane.migrate.up()).toMatchObject({ failed: [] })
  expect(await plane.migrate.up()).toMatchObject({ tenants: [], unchanged: 3 })
})

test('one that fails leaves nothing of any, says its line, and keeps nobody out of the next run', async () => {
  await plane.tenants.create({ key: 'acme' })
  await folder.write({
    'repeatable/a_open.sql': 'create or replace view open_orders as select id, total from orders',
    'repeatable/b_count.sql': '\ncreate or replace view counted as select count(*) as n from nowhere',
  })
  const [failed] = (await plane.migrate.up()).failed
  expect(failed).toMatchObject({ applied: [], error: { code: 'TNY402' } })
  expect(failed?.error.message).toMatch(/repeatable\/b_count\.sql .*"nowhere" does not exist \(line 2\)/)
  expect(Object.values(await viewsOf('open_orders')).join('')).not.toContain('total')
  await folder.write({
    'repeatable/b_count.sql': 'create or replace view counted as select count(*) as n from open_orders',
  })
  expect(await plane.migrate.up({ dryRun: true })).toMatchObject({ tenants: [{ applied: BOTH }] })
  expect(Object.values(await viewsOf('open_orders')).join('')).not.toContain('total')
  expect(await plane.migrate.up()).toMatchObject({ tenants: [{ applied: BOTH }], failed: [] })
})

test('with --to they wait for the migrations that have yet to run', async () => {
  await plane.tenants.create({ key: 'acme' })
  await folder.write({
    '2_a.sql': 'alter table orders add a int',
    '3_b.sql': 'alter table orders add b int',
    'repeatable/c_new.sql': 'create or replace view ab as select a, b from orders',
  })
  expect(await plane.migrate.up({ to: '2' })).toMatchObject({ tenants: [{ applied: ['2_a'] }], failed: [] })
  expect(await plane.migrate.up()).toMatchObject({
    tenants: [{ applied: ['3_b', 'repeatable/c_new'] }],
    failed: [],
  })
})

test('what tenants who share tables cannot have is refused, and held back for all', async () => {
  await plane.tenants.create({ key: 'acme' })
  await plane.tenants.create({ key: 'initech', model: 'shared' })
  await folder.write({
    'repeatable/a_open.sql':
      'drop view if exists open_orders cascade;\ncreate materialized view open_orders as select id from orders',
  })
  const report = await plane.migrate.up()
  expect(report).toMatchObject({ heldBack: 'repeatable/a_open', tenants: [] })
  expect(report.failed).toMatchObject([{ key: 'shared tenants', error: { code: 'TNY407' } }])
  expect(Object.keys(await viewsOf('open_orders'))).toHaveLength(3)
})

test('a ready home of former repeatable files is given to nobody, and `migrate up` brings it along', async () => {
  expect(await plane.pool.fill({ size: 1 })).toMatchObject({ made: 1, failed: [] })
  expect(Object.keys(await viewsOf('counted'))).toHaveLength(1)
  await folder.write({
    'repeatable/b_count.sql': 'create or replace view counted as select sum(id) as n from open_orders',
  })
  expect(await plane.pool.status()).toMatchObject({ ready: 0, stale: 1 })
  await plane.migrate.up()
  expect(await plane.pool.status()).toMatchObject({ ready: 1, stale: 0 })
  expect(Object.values(await viewsOf('counted')).join('')).toContain('sum')
})
