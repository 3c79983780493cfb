import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { AdminDatabase } from '../../src/core/database.ts'
import type { TenantHome } from '../../src/core/homes.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { createMigrations, type Migrations } from '../../src/migrate/migrations.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { createFolder, type MigrationFolder } from './migration-folder.ts'
import { homesOf, makeTenants } from './tenant-schemas.ts'

let database: TestDatabase
let admin: AdminDatabase
let superuser: AdminDatabase
let folder: MigrationFolder
let shared: MigrationFolder
let tenant: TenantHome
let migrations: Migrations
let count = 0

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
  const [made] = await makeTenants(admin, [`t${++count}`])
  if (made === undefined) throw new Error('no tenant')
  tenant = made
  folder = await createFolder()
  shared = await createFolder()
  const folders = { tenant: folder.path, shared: shared.path }
  migrations = createMigrations({ db: admin, homes: homesOf([tenant]), folders, lockTimeoutMs: 300 })
})
afterEach(async () => {
  await folder.drop()
  await shared.drop()
})

const migrate = (): Promise<string[]> => migrations.migrateHome(admin, tenant.home, tenant.key)

/** One value that the superuser sees. */
async function value(sql: string): Promise<unknown> {
  const { rows } = await superuser.query<{ value: unknown }>(`select (${sql})::text as value`)
  return rows[0]?.value
}

const ledger = (): Promise<unknown> =>
  value(`select string_agg(name, ',' order by run_on, id) from ${tenant.home.schema}.pgmigrations`)

test('what is missing runs once, in order, as the owner, and is recorded', async () => {
  await folder.write({
    '1_orders.sql': 'create table orders (id int); -- no line break at the end',
    '2_rows.sql': '-- Up Migration\ninsert into orders values (1)\n-- Down Migration\ndelete from orders',
  })
  expect(await migrate()).toEqual(['1_orders', '2_rows'])
  expect(await migrate()).toEqual([])
  await folder.write({ '3_more.sql': 'insert into orders values (2)' })
  expect(await migrate()).toEqual(['3_more'])
  expect(await ledger()).toBe('1_orders,2_rows,3_more')
  expect(await value(`select count(*) from ${tenant.home.schema}.orders`)).toBe('2')
  const owners = `select string_agg(distinct relowner::regrole::text, ',') from pg_class
    where relnamespace = '${tenant.home.schema}'::regnamespace`
  expect(await value(owners)).toBe(tenant.home.ownerRole)
})

test('M7: names without a schema land in the tenant, and neither they nor functions can reach public', async () => {
  await superuser.query(
    'create table if not exists public.m7 (id int); grant create on schema public to public',
  )
  try {
    await folder.write({
      '1_m7.sql': 'create table m7 (id int, tenant text); create view m7_view as select * from m7',
      '2_row.sql': 'insert into m7 values (1, current_schema()); alter table m7 add column more int',
    })
    await migrate()
    const where =
      "select string_agg(relnamespace::regnamespace::text, ',' order by 1) from pg_class where relname = 'm7_view'"
    expect(await value(where)).toBe(tenant.home.schema)
    expect(await value(`select tenant from ${tenant.home.schema}.m7`)).toBe(tenant.home.schema)
    expect(
      await value(
        "select count(*) from information_schema.columns where table_schema = 'public' and table_name = 'm7'",
      ),
    ).toBe('1')
  } finally {
    await superuser.query('revoke create on schema public from public; drop table public.m7')
  }
})

test('M7: where the schema is gone, nothing lands anywhere', async () => {
  await folder.write({ '1_lost.sql': 'create table lost (id int)' })
  await superuser.query(`drop schema ${tenant.home.schema}`)
  await expect(migrate()).rejects.toMatchObject({ code: 'TNY402' })
  expect(await value("select count(*) from pg_class where relname = 'lost'")).toBe('0')
})

test('a failure leaves nothing of its migration, and says tenant, file and line', async () => {
  await folder.write({
    '1_good.sql': 'create table good (id int)',
    '2_bad.sql':
      '-- ü\n-- Up Migration\ncreate table bad (id int); -- 😀😀😀😀😀😀😀😀\n\nselect id,\n  missing from good;\n',
    '3_never.sql': 'create table never (id int)',
  })
  await expect(migrate()).rejects.toMatchObject({
    code: 'TNY402',
    message: expect.stringMatching(
      new RegExp(`/2_bad\\.sql failed for ${tenant.key}: column "missing" does not exist \\(line 6\\)`),
    ) as string,
  })
  expect(await ledger()).toBe('1_good')
  expect(await value(`select to_regclass('${tenant.home.schema}.bad')`)).toBeNull()
  await folder.write({ '2_bad.sql': 'create table bad (id int)' })
  expect(await migrate()).toEqual(['2_bad', '3_never'])
})

test('a single statement has a line also where PostgreSQL gives no position', async () => {
  await folder.write({ '1_bad.sql': '-- why\n\nalter table nowhere add column x int;' })
  await expect(migrate()).rejects.toThrow(/"nowhere" does not exist \(line 3\)/)
})

test('a procedure cannot commit in the middle of a migration', async () => {
  await folder.write({
    '1_procedure.sql': 'create procedure p() language plpgsql as $$ begin commit; end $$',
    '2_call.sql': 'create table half (id int); call p(); select 1 / 0',
  })
  await expect(migrate()).rejects.toThrow(/2_call.*invalid transaction termination/)
  expect(await value(`select to_regclass('${tenant.home.schema}.half')`)).toBeNull()
})

test.each([
  ['an applied migration whose file is gone', ['1_a.sql'], {}, /1_a ran, but its file is gone/],
  [
    'a file before the last applied',
    [],
    { '1_z.sql': 'select 1' },
    /1_z\.sql has not run, but comes before 2_b/,
  ],
])('TNY403: %s', async (_, removed, added, message) => {
  await folder.write({ '1_a.sql': 'select 1', '2_b.sql': 'select 2' })
  await migrate()
  await folder.remove(...removed)
  await folder.write(added)
  await expect(migrate()).rejects.toMatchObject({
    code: 'TNY403',
    message: expect.stringMatching(message) as string,
  })
})

test('the tenant has no right on the ledger, though default privileges would give it', async () => {
  const { schema, role, ownerRole } = tenant.home
  await folder.write({ '1_a.sql': 'create table a (id int)' })
  await migrate()
  const rights = `select bool_or(has_table_privilege('${role}', '${schema}.pgmigrations', r)) from
    unnest('{select,insert,update,delete,truncate,references,trigger}'::text[]) r`
  expect(await value(rights)).toBe('false')
  expect(
    await value(`select has_sequence_privilege('${role}', '${schema}.pgmigrations_id_seq', 'usage,select')`),
  ).toBe('false')
  expect(await value(`select has_table_privilege('${role}', '${schema}.a', 'insert')`)).toBe('true')
  // A ledger that another tool made is closed the next time.
  await superuser.query(`set role ${ownerRole}; grant all on ${schema}.pgmigrations to ${role}; reset role`)
  expect(await migrate()).toEqual([])
  expect(await value(rights)).toBe('false')
})

test('the runtime login has no right on the shared ledger', async () => {
  await shared.write({ '1_plans.sql': 'create table plans (id int)' })
  expect((await migrations.up()).shared).toEqual(['1_plans'])
  expect(
    await value("select has_table_privilege('tenantry_app', 'public.pgmigrations', 'select,insert')"),
  ).toBe('false')
  expect(await value("select has_table_privilege('tenantry_app', 'public.plans', 'insert')")).toBe('true')
  await superuser.query('drop table public.plans, public.pgmigrations')
})

test('what one migration sets in the session does not reach the next', async () => {
  await folder.write({
    '1_set.sql': "set statement_timeout = '7min'; create temp table left_over (id int); set work_mem = '7MB'",
    '2_see.sql':
      "create table seen as select current_setting('statement_timeout') as s, current_setting('work_mem') as w, to_regclass('pg_temp.left_over') as t",
  })
  await superuser.query(`grant temp on database ${database.name} to public`)
  await migrate()
  expect(await value(`select s <> '7min' and w <> '7MB' and t is null from ${tenant.home.schema}.seen`)).toBe(
    'true',
  )
})

test('a migration waits for a lock no longer than lock_timeout', async () => {
  await folder.write({ '1_a.sql': 'create table a (id int)' })
  await migrate()
  await folder.write({ '2_b.sql': 'alter table a add column b int' })
  await superuser.transaction(async (tx) => {
    await tx.query(`lock table ${tenant.home.schema}.a in access share mode`)
    await expect(migrate()).rejects.toMatchObject({
      code: 'TNY402',
      message: expect.stringMatching(/lock timeout/) as string,
    })
  })
  expect(await migrate()).toEqual(['2_b'])
})

test('M3: the same home migrated by four at once: each step exactly once', async () => {
  await folder.write({ '0_log.sql': 'create table log (step int)' })
  for (let step = 1; step <= 9; step++) {
    await folder.write({ [`${step}_step.sql`]: `insert into log values (${step}); select pg_sleep(0.01)` })
  }
  const applied = await Promise.all([migrate(), migrate(), migrate(), migrate()])
  expect(applied.flat().sort()).toEqual(['0_log', ...Array.from({ length: 9 }, (_, i) => `${i + 1}_step`)])
  expect(await value(`select string_agg(step::text, '') from ${tenant.home.schema}.log`)).toBe('123456789')
  expect(await ledger()).toBe(['0_log', ...Array.from({ length: 9 }, (_, i) => `${i + 1}_step`)].join(','))
})

test('the order of the ledger is kept where the clock goes back', async () => {
  await folder.write({ '1_a.sql': 'select 1' })
  await migrate()
  await superuser.query(`update ${tenant.home.schema}.pgmigrations set run_on = now() + interval '3 hours'`)
  await folder.write({ '2_b.sql': 'select 2' })
  await migrate()
  expect(await ledger()).toBe('1_a,2_b')
})

test('names that need quoting', async () => {
  await folder.write({ "1_it's a \\ {x}.sql": 'select 1', '2_$1 😀.sql': 'select 2' })
  expect(await migrate()).toEqual(["1_it's a \\ {x}", '2_$1 😀'])
  expect(await migrate()).toEqual([])
})
