/** Schemas that are not what their migrations make are found in each model, and told with what would mend them. */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ControlPlane, createControlPlane } from '../../../src/index.ts'
import { tellDifference } from '../../../src/schema/diff/difference.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { createFolder, type MigrationFolder } from '../migration-folder.ts'

let database: TestDatabase
let folder: MigrationFolder
let plane: ControlPlane

beforeAll(async () => {
  database = await createTestDatabase()
  folder = await createFolder({
    '1_orders.sql': `create table orders (id bigserial primary key, note text); insert into orders (note) values ('first');
      create function here() returns text language sql as 'select current_schema()::text'`,
  })
  plane = createControlPlane({
    connection: database.adminUrl,
    migrations: { tenant: folder.path },
    masterKey: 'a master key for tests and long enough to be one',
  })
  for (const key of ['acme', 'globex', 'initech']) await plane.tenants.create({ key })
  await plane.tenants.create({ key: 'away', model: 'database' })
  await plane.tenants.create({ key: 'small', model: 'shared' })
}, 120_000)
afterAll(async () => {
  await plane.close()
  await folder.drop()
  await database.drop()
})

const inSchema = (schema: string, sql: string): Promise<unknown> =>
  database.sql(`set search_path = ${schema}; ${sql}; reset search_path`)

test('where nobody touched a schema, nothing differs, in any model', async () => {
  expect(await plane.migrate.diff()).toEqual({ compared: 5, same: 5, drifted: [] })
})

test('M4: what was changed by hand is found, and told in words and in SQL that mends it', async () => {
  await inSchema(
    'tenant_globex',
    'drop function here; alter table orders drop column note, add extra int; create index by_hand on orders (extra)',
  )
  const report = await plane.migrate.diff()
  expect(report).toMatchObject({ compared: 5, same: 4, drifted: [{ key: 'globex', applied: 1 }] })
  expect(report.drifted[0]?.differences?.map(tellDifference)).toEqual([
    'column orders.extra is there only',
    'column orders.note is missing',
    'index by_hand is there only',
    'routine here() is missing',
  ])
  expect(report.drifted[0]).not.toHaveProperty('repair')
  // Nothing was done about it.
  expect(await plane.migrate.diff()).toEqual(report)
  const one = await plane.migrate.diff({ only: ['globex'] })
  expect(one).toMatchObject({ compared: 1, same: 0 })
  const { statements = [], unsupported } = one.drifted[0]?.repair ?? {}
  expect(unsupported).toEqual([])
  expect(statements.filter(({ loses }) => loses !== undefined)).toEqual([
    { sql: 'alter table orders drop column extra', loses: 'the values of orders.extra' },
  ])
  await database.sql([...statements.map(({ sql }) => sql), 'reset all', 'reset role'].join(';\n'))
  expect(await plane.migrate.diff()).toMatchObject({ same: 5 })
})

test('a tenant in a database of its own, and tables that tenants share', async () => {
  const [away] = await database.sql<{ name: string }>(
    "select database_name as name from tenantry.tenants where model = 'database'",
  )
  const url = Object.assign(new URL(database.superuserUrl), { pathname: `/${away?.name ?? ''}` }).href
  const client = new pg.Client(url)
  await client.connect()
  await client.query('alter table tenant.orders add by_hand int')
  await client.end()
  await database.sql('alter table tenant_shared.orders add by_hand int')
  const report = await plane.migrate.diff()
  expect(report).toMatchObject({ compared: 5, same: 3 })
  expect(report.drifted).toMatchObject([
    { key: 'away', differences: [{ object: 'column orders.by_hand', is: 'extra' }] },
    {
      key: 'shared tenants',
      error: { code: 'TNY427', message: expect.stringContaining('by_hand') as string },
    },
  ])
  await database.sql('alter table tenant_shared.orders drop by_hand')
})

test('a tenant that is behind is compared with what ran there, and one with other migrations is told so', async () => {
  await folder.write({ '2_more.sql': 'create table more (id int)' })
  expect(await plane.migrate.diff({ only: ['acme'] })).toMatchObject({ compared: 1, same: 1 })
  await database.sql("insert into tenant_initech.pgmigrations (name, run_on) values ('1_other', now())")
  const report = await plane.migrate.diff({ only: ['acme', 'initech'] })
  expect(report).toMatchObject({
    compared: 2,
    same: 1,
    drifted: [{ key: 'initech', error: { code: 'TNY403' } }],
  })
  await expect(plane.migrate.diff({ only: ['nobody'] })).rejects.toMatchObject({ code: 'TNY302' })
})

test('files that cannot be replayed are told as such', async () => {
  await folder.write({ '2_more.sql': 'create table more (id nothing)' })
  await database.sql("insert into tenant_acme.pgmigrations (name, run_on) values ('2_more', now())")
  await expect(plane.migrate.diff({ only: ['acme'] })).rejects.toMatchObject({
    code: 'TNY426',
    message: expect.stringContaining('nothing') as string,
  })
})
