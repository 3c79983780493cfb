import { runner } from 'node-pg-migrate'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { AdminDatabase } from '../../src/core/database.ts'
import type { TenantHome } from '../../src/core/homes.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { createMigrations, type Migrations } from '../../src/migrate/migrations.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { createFolder, type MigrationFolder } from './migration-folder.ts'
import { homesOf, makeTenants } from './tenant-schemas.ts'

const FILES = {
  '1_orders.sql': '-- Up Migration\ncreate table orders (id int);\n-- Down Migration\ndrop table orders;',
  '1699999999999_notes.sql': 'create table notes (id int)',
  '20231115101010123_utc.sql': '-- up migration\ncreate table utc (id int)\n',
}
const NAMES = ['1_orders', '1699999999999_notes', '20231115101010123_utc']

let database: TestDatabase
let admin: AdminDatabase
let superuser: AdminDatabase
let folder: MigrationFolder
let empty: MigrationFolder
let tenants: TenantHome[]
let migrations: Migrations
let run = 0

beforeAll(async () => {
  database = await createTestDatabase()
  admin = createAdminDatabase(database.adminUrl)
  superuser = createAdminDatabase(database.superuserUrl)
})
afterAll(async () => {
  await admin.close()
  await superuser.close()
  await database.drop()
})
beforeEach(async () => {
  run++
  tenants = await makeTenants(admin, [`a${run}`, `b${run}`])
  folder = await createFolder(FILES)
  empty = await createFolder()
  const folders = { tenant: folder.path, shared: empty.path }
  migrations = createMigrations({ db: admin, homes: homesOf(tenants), folders })
})
afterEach(async () => {
  await folder.drop()
  await empty.drop()
})

/** The real tool, in a tenant's schema, as the tenant's owner. */
async function nodePgMigrate(tenant: TenantHome, direction: 'up' | 'down' = 'up'): Promise<string[]> {
  const quiet = (): void => undefined
  const ran = await runner({
    databaseUrl: { connectionString: database.adminUrl, options: `-c role=${tenant.home.ownerRole}` },
    dir: folder.path,
    schema: tenant.home.schema,
    migrationsTable: 'pgmigrations',
    direction,
    checkOrder: true,
    logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  })
  return ran.map(({ name }) => name)
}

function tenant(index: number): TenantHome {
  const found = tenants[index]
  if (found === undefined) throw new Error('no such tenant')
  return found
}

/** All that the catalogs say of the ledger. */
async function shape(schema: string): Promise<unknown> {
  const { rows } = await superuser.query(
    `select attname, format_type(atttypid, atttypmod) as type, attnotnull, pg_get_expr(adbin, adrelid) as default_value
       from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
       where attrelid = $1::regclass and attnum > 0 order by attnum`,
    [`${schema}.pgmigrations`],
  )
  const constraints = await superuser.query(
    'select conname, pg_get_constraintdef(oid) as text from pg_constraint where conrelid = $1::regclass order by 1',
    [`${schema}.pgmigrations`],
  )
  return JSON.parse(
    JSON.stringify({ rows, constraints: constraints.rows }).replaceAll(schema, 'SCHEMA'),
  ) as unknown
}

test('the real node-pg-migrate finds nothing to do after Tenantry', async () => {
  expect((await migrations.up()).tenants.map(({ applied }) => applied)).toEqual([NAMES, NAMES])
  expect(await nodePgMigrate(tenant(0))).toEqual([])
  await folder.write({ '20240101000000000_next.sql': 'create table next (id int)' })
  expect(await nodePgMigrate(tenant(0))).toEqual(['20240101000000000_next'])
  expect(await migrations.up()).toMatchObject({
    tenants: [{ key: tenant(1).key, applied: ['20240101000000000_next'] }],
    unchanged: 1,
  })
})

test('Tenantry finds nothing to do after the real node-pg-migrate', async () => {
  expect(await nodePgMigrate(tenant(0))).toEqual(NAMES)
  expect((await migrations.up()).tenants).toEqual([{ key: tenant(1).key, applied: NAMES }])
  expect((await migrations.status()).tenants.map(({ pending }) => pending)).toEqual([[], []])
  expect(await shape(tenant(1).home.schema)).toEqual(await shape(tenant(0).home.schema))
})

test('a migration taken down by node-pg-migrate is pending again', async () => {
  await folder.remove('1699999999999_notes.sql', '20231115101010123_utc.sql')
  await migrations.up()
  expect(await nodePgMigrate(tenant(0), 'down')).toEqual(['1_orders'])
  expect((await migrations.up()).tenants).toEqual([{ key: tenant(0).key, applied: ['1_orders'] }])
})

test('both refuse the same order', async () => {
  await migrations.up()
  await folder.write({ '2_late.sql': 'select 1' })
  await expect(nodePgMigrate(tenant(0))).rejects.toThrow(
    /2_late is preceding already run migration 1699999999999_notes/,
  )
  const { failed } = await migrations.up()
  expect(failed.map(({ error }) => error.code)).toEqual(['TNY403', 'TNY403'])
  expect(failed[0]?.error.message).toContain('2_late.sql has not run, but comes before 1699999999999_notes')
})

test('M3: the two tools exclude each other', async () => {
  await folder.write({ '20250101000000000_slow.sql': 'select pg_sleep(1)' })
  const slow = migrations.up({ workers: 1 })
  await expect
    .poll(
      async () =>
        (
          await superuser.query(
            `select 1 from pg_stat_activity where datname = current_database()
             and wait_event = 'PgSleep'`,
          )
        ).rows.length,
    )
    .toBe(1)
  await expect(nodePgMigrate(tenant(1))).rejects.toThrow(/Another migration is already running/)
  await slow
  await folder.write({ '20260101000000000_slow.sql': 'select pg_sleep(2)' })
  const theirs = nodePgMigrate(tenant(0))
  await expect
    .poll(
      async () =>
        (
          await superuser.query(
            `select 1 from pg_stat_activity where datname = current_database()
             and query like '%pg_sleep(2)%' and state = 'active' and pid <> pg_backend_pid()`,
          )
        ).rows.length,
    )
    .toBe(1)
  await expect(migrations.up({ wait: false })).rejects.toMatchObject({ code: 'TNY406' })
  await theirs
})
