/** Runs over all three models: tried, done, and undone; and what the catalog and a running service learn of it. */
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { Home } from '../../../src/core/tenant.ts'
import { createTenancy, type MigrationReport, type Tenancy } from '../../../src/index.ts'
import { createSampleControl, SAMPLE_MASTER_KEY, type SampleControl } from '../../lifecycle/sample-control.ts'
import { waitFor } from '../../support/wait-for.ts'
import { databaseState } from './database-state.ts'

const KEYS = ['own', 'away', 's1', 's2']
const TARGETS = ['shared tenants', 'own', 'away']
const ORDERS = 1700000000001
const NOTES = 1700000000002
const NAMES = { orders: `${ORDERS}_orders`, notes: `${NOTES}_notes`, next: '1700000000003_next' }
const NOTES_SQL = `-- Up Migration
alter table orders add column note text;
create table notes (name text primary key, order_id bigint references orders (id));
insert into notes (name) values ('first');
update orders set note = upper(customer);
-- Down Migration
drop table notes;
update orders set customer = lower(note);
alter table orders drop column note;
`

let sample: SampleControl
let tenancy: Tenancy
const homes: Record<string, Home> = {}
beforeAll(async () => {
  sample = await createSampleControl()
  const { tenants } = sample.control
  for (const key of KEYS) {
    const model = key === 'own' ? 'schema' : key === 'away' ? 'database' : 'shared'
    homes[key] = (await tenants.create({ key, model })).home
  }
  tenancy = createTenancy({ connection: sample.database.appUrl, masterKey: SAMPLE_MASTER_KEY })
}, 60_000)
afterAll(async () => {
  await tenancy.close()
  await sample.close()
})
/** Everybody is back at the first migration. */
beforeEach(async () => {
  await rm(join(sample.migrations, `${NAMES.next}.sql`), { force: true })
  await write(NAMES.notes, NOTES_SQL)
  await sample.control.migrate.down({ to: NAMES.orders })
})

const write = (name: string, sql: string): Promise<void> =>
  writeFile(join(sample.migrations, `${name}.sql`), sql)
const remove = (name: string): Promise<void> => rm(join(sample.migrations, `${name}.sql`))

async function inDatabaseOf(key: string, sql: string): Promise<unknown[]> {
  const name = homes[key]?.database ?? sample.database.name
  const url = Object.assign(new URL(sample.database.superuserUrl), { pathname: `/${name}` }).href
  const client = new pg.Client(url)
  await client.connect()
  try {
    return (await client.query(sql)).rows as unknown[]
  } finally {
    await client.end()
  }
}

/** A tenant's customers; of one that shares tables only its own. */
async function customersOf(key: string): Promise<unknown[]> {
  const { id } = await sample.control.tenants.get(key)
  const rows = await inDatabaseOf(
    key,
    `select customer from ${homes[key]?.schema}.orders ${key.startsWith('s') ? `where tenant_id = '${id}'` : ''} order by id`,
  )
  return rows.map((row) => (row as { customer: string }).customer)
}

const state = async (): Promise<unknown> => [
  await databaseState(sample.database.superuserUrl),
  await databaseState(sample.database.superuserUrl, homes['away']?.database),
]

const ranIn = ({ tenants }: MigrationReport): Record<string, string> =>
  Object.fromEntries(tenants.map(({ key, applied }) => [key, applied.join()]))

const versionsOf = (): Promise<number[]> =>
  Promise.all(KEYS.map(async (key) => (await sample.control.tenants.get(key)).version))

/** Adds an order at which `BREAKS` fails, and takes it away again. */
async function withBroken(keys: readonly string[], fn: () => Promise<void>): Promise<void> {
  for (const key of keys) {
    await tenancy.poolFor(key).query("insert into orders (customer) values ('broken')")
  }
  try {
    await fn()
  } finally {
    for (const key of keys) {
      await tenancy.poolFor(key).query("delete from orders where customer = 'broken'")
    }
  }
}
const BREAKS = "update orders set customer = null where customer = 'broken'"

test('a dry run tries all of it in every model, tells who fails, and leaves nothing anywhere', async () => {
  const { migrate } = sample.control
  let before = await state()
  const report = await migrate.up({ dryRun: true })
  expect(report).toMatchObject({ dryRun: true, failed: [], unchanged: 0 })
  expect(ranIn(report)).toEqual(Object.fromEntries(TARGETS.map((key) => [key, NAMES.notes])))
  expect(await state()).toEqual(before)

  await write(NAMES.next, BREAKS)
  await withBroken(['s2', 'away'], async () => {
    before = await state()
    const { failed, tenants } = await migrate.up({ dryRun: true })
    expect(tenants).toMatchObject([{ key: 'own', applied: [NAMES.notes, NAMES.next] }])
    const told = Object.fromEntries(failed.map(({ key, error }) => [key, error.message]))
    expect(told).toEqual({
      away: expect.stringMatching(/next\.sql failed for away: null value/) as string,
      'shared tenants': expect.stringMatching(
        /next\.sql failed for shared tenants \(at .*\): null value/,
      ) as string,
    })
    expect(await state()).toEqual(before)
  })
  await write(NAMES.next, 'create materialized view totals as select count(*) from orders')
  before = await state()
  const refused = await migrate.up({ dryRun: true, lint: false })
  expect(refused.failed).toMatchObject([{ key: 'shared tenants', error: { code: 'TNY407' } }])
  expect(await state()).toEqual(before)
  await remove(NAMES.next)
})

test('a service that runs learns of a migration of its tenants, up and down, wherever they live', async () => {
  const need = (key: string): Promise<unknown> => tenancy.run(key, () => tenancy.requireVersion(NAMES.notes))
  const served = async (): Promise<boolean> => {
    const outcomes = await Promise.allSettled(KEYS.map(need))
    return outcomes.every(({ status }) => status === 'fulfilled')
  }
  const refused = async (): Promise<boolean> => {
    const outcomes = await Promise.allSettled(KEYS.map(need))
    return outcomes.every((outcome) => outcome.status === 'rejected')
  }
  await waitFor(refused)
  await expect(need('away')).rejects.toMatchObject({ code: 'TNY431' })
  expect((await sample.control.migrate.up()).failed).toEqual([])
  expect(await waitFor(served)).toBeLessThan(5_000)
  expect((await sample.control.migrate.down({ steps: 1 })).failed).toEqual([])
  expect(await waitFor(refused)).toBeLessThan(5_000)
})

test('down takes back tables, ledgers and heads in every model, and rows of tenants stay', async () => {
  const { migrate } = sample.control
  const shape = async (): Promise<unknown> => [
    await Promise.all(
      KEYS.map((key) =>
        inDatabaseOf(
          key,
          `select table_name, column_name, data_type from information_schema.columns
           where table_schema in ('${homes[key]?.schema}', '${homes[key]?.schema}_pattern') order by 1, 2, 3`,
        ),
      ),
    ),
    await sample.database.sql(
      'select schema_name, database_name, digest, version from tenantry.migration_heads order by 1',
    ),
    await inDatabaseOf('away', 'select schema_name, digest, version from tenantry.migration_heads'),
    await sample.database.sql(`select name from ${homes['s1']?.schema}_pattern.pgmigrations`),
    await inDatabaseOf('away', `select name from ${homes['away']?.schema}.pgmigrations`),
    await versionsOf(),
  ]
  const before = await shape()
  expect(await versionsOf()).toEqual(KEYS.map(() => ORDERS))
  await migrate.up()
  expect(await versionsOf()).toEqual(KEYS.map(() => NOTES))
  for (const key of KEYS) {
    const values = [key, key.toUpperCase()]
    await tenancy.poolFor(key).query('insert into orders (customer, note) values ($1, $2)', values)
  }
  const tried = await state()
  const rehearsed = await migrate.down({ to: NAMES.orders, dryRun: true })
  expect(rehearsed.tenants).toHaveLength(TARGETS.length)
  expect(await state()).toEqual(tried)
  const report = await migrate.down({ to: NAMES.orders })
  expect(report.failed).toEqual([])
  expect(ranIn(report)).toEqual(Object.fromEntries(TARGETS.map((key) => [key, NAMES.notes])))
  expect(await shape()).toEqual(before)
  for (const key of KEYS) expect(await customersOf(key)).toEqual(['first', 'second', key])
  expect((await migrate.diff()).drifted).toEqual([])
})

test('what cannot be undone is refused by its code, and nothing changes', async () => {
  const { migrate } = sample.control
  const up = '-- Up Migration\ncreate table more (id int primary key);\n'
  await write(NAMES.next, up)
  await migrate.up()
  const expectRefused = async (code: string, only = TARGETS): Promise<void> => {
    const before = await state()
    const { failed, tenants } = await migrate.down({ steps: 2, only })
    expect(tenants).toEqual([])
    expect(Object.fromEntries(failed.map(({ key, error }) => [key, error.code]))).toEqual(
      Object.fromEntries(only.map((key) => [key, code])),
    )
    expect(await state()).toEqual(before)
  }
  await expectRefused('TNY424')
  await expect(migrate.down({ to: NAMES.notes })).rejects.toMatchObject({ code: 'TNY424' })
  const withDown = (down: string): Promise<void> => write(NAMES.next, `${up}-- Down Migration\n${down}\n`)
  await withDown('drop table more; create materialized view totals as select count(*) from orders;')
  await expectRefused('TNY407', ['shared tenants'])
  await withDown(`drop table more; ${BREAKS};`)
  await withBroken(['s2', 'own', 'away'], () => expectRefused('TNY402'))
  await withDown('drop table more;')
  expect(await migrate.down({ to: NAMES.notes })).toMatchObject({ failed: [] })
  await remove(NAMES.next)
})

test('M8: a tenant in a database of its own is in quarantine after its first failure', async () => {
  const { migrate, tenants } = sample.control
  await migrate.up()
  await write(NAMES.next, `-- Up Migration\n${BREAKS};\n-- Down Migration\n`)
  await withBroken(['away'], async () => {
    expect((await migrate.up()).failed).toMatchObject([{ key: 'away', applied: [] }])
    expect(await sample.database.sql('select tenant_id, migration from tenantry.quarantine')).toEqual([
      { tenant_id: (await tenants.get('away')).id, migration: NAMES.next },
    ])
    expect(await migrate.up()).toMatchObject({ failed: [], quarantined: [{ key: 'away' }] })
  })
  expect(await migrate.up({ retry: true })).toMatchObject({ failed: [], tenants: [{ key: 'away' }] })
  expect(await sample.database.sql('select from tenantry.quarantine')).toEqual([])
  expect((await migrate.down({ to: NAMES.notes })).failed).toEqual([])
  await remove(NAMES.next)
})

test('M2: what a runner that was killed did not tell the catalog, the next run does', async () => {
  const { migrate } = sample.control
  await migrate.up()
  const atHead = await versionsOf()
  await sample.database.sql(
    "update tenantry.migration_heads set digest = null, version = null where database_name <> ''",
  )
  expect(await versionsOf()).not.toEqual(atHead)
  expect(await migrate.up()).toMatchObject({ failed: [], tenants: [] })
  expect(await versionsOf()).toEqual(atHead)
})
