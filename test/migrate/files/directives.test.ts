/** What files ask for in comments, what undoes them, and what their checksum is of. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Migration } from '../../../src/migrate/files/migration.ts'
import { versionOf } from '../../../src/migrate/files/migration-version.ts'
import { createMigrationReader } from '../../../src/migrate/files/read-migrations.ts'
import { createFolder, type MigrationFolder } from '../migration-folder.ts'

let folder: MigrationFolder
beforeEach(async () => {
  folder = await createFolder()
})
afterEach(() => folder.drop())

function read(): Promise<readonly Migration[]> {
  return createMigrationReader().read(folder.path, true)
}

async function readOne(text: string): Promise<Migration> {
  await folder.write({ '1_a.sql': text })
  const [migration] = await read()
  if (migration === undefined) throw new Error('nothing was read')
  return migration
}

test('options stand above the first statement; above the markers they are for both directions', async () => {
  const { options, down, ignores, after } = await readOne(`-- tenantry: lock-timeout 500ms
-- Up Migration
-- tenantry: statement-timeout 2min
-- Tenantry: after shared/0005_plans
create table a (id int); -- said 'tenantry: batch' in passing
-- tenantry: ignore ban-drop-column: nobody reads it
alter table a drop column id;
-- Down Migration
-- tenantry: lock-timeout 0
drop table a;
`)
  expect(options).toEqual({
    transaction: true,
    batch: false,
    lockTimeoutMs: 500,
    statementTimeoutMs: 120_000,
  })
  expect(down?.options).toEqual({ transaction: true, batch: false, lockTimeoutMs: 0 })
  expect(after).toEqual([{ set: 'shared', name: '0005_plans', line: 4 }])
  expect(ignores).toEqual([{ rule: 'ban-drop-column', reason: 'nobody reads it', line: 6 }])
  expect(down).toMatchObject({
    line: 8,
    sql: '-- Down Migration\n-- tenantry: lock-timeout 0\ndrop table a;\n',
  })
})

test('a text in quotes or in a block comment asks for nothing', async () => {
  const { options } = await readOne("/* -- tenantry: batch */ select '\n-- tenantry: no-transaction\n'")
  expect(options).toEqual({ transaction: true, batch: false })
})

test.each<[said: string, message: RegExp]>([
  ['no-transactions', /"tenantry: no-transactions" is not known; there are no-transaction,.*\(line 2\)/],
  ['', /"tenantry: " is not known/],
  ['lock-timeout', /needs a time, such as 500ms/],
  ['lock-timeout 2', /needs a time/],
  ['lock-timeout 2h', /needs a time/],
  ['statement-timeout 99999999min', /needs a time/],
  ['no-transaction please', /takes nothing behind it/],
  ['after 0005_plans', /names no migration/],
  ['after public/0005_plans', /names no migration/],
  ['ignore some-rule', /needs a rule and a reason/],
  ['ignore some-rule:  ', /needs a rule and a reason/],
])('"%s" is refused with its line', async (said, message) => {
  await expect(readOne(`-- Up Migration\n-- tenantry: ${said}\nselect 1`)).rejects.toThrow(message)
})

test('below a statement only a rule can be set aside', async () => {
  await expect(readOne('select 1;\n\n-- tenantry: no-transaction\nselect 2')).rejects.toThrow(
    /belongs above the first statement \(line 3\)/,
  )
  await expect(
    readOne('-- Up Migration\nselect 1;\n-- Down Migration\n-- tenantry: after shared/x\nselect 2'),
  ).rejects.toThrow(/above what runs upwards \(line 4\)/)
})

test.each([
  'create index concurrently on a (id)',
  'drop index concurrently a_id',
  'reindex table concurrently a',
  'vacuum a',
  'alter table a detach partition b concurrently',
])('without a transaction %s may run', async (sql) => {
  await expect(readOne(sql)).rejects.toThrow(/ask for none with "-- tenantry: no-transaction"/)
  expect((await readOne(`-- tenantry: no-transaction\n${sql}`)).options.transaction).toBe(false)
  const markers = `-- Up Migration\nselect 1;\n-- Down Migration\n`
  await expect(readOne(`${markers}${sql}`)).rejects.toThrow(/\(line 4\)/)
  expect((await readOne(`${markers}-- tenantry: no-transaction\n${sql}`)).down?.options.transaction).toBe(
    false,
  )
})

test.each(['begin', 'set search_path to public', 'set role postgres', 'discard all'])(
  'without a transaction %s still is refused',
  async (sql) => {
    await expect(readOne(`-- tenantry: no-transaction\n${sql}`)).rejects.toThrow(/TNY401|is not valid/)
  },
)

test.each<[sql: string, message: RegExp | undefined]>([
  ['update a set n = 1 where id in (select id from a where n is null limit 10)', undefined],
  ['with old as (select id from a limit 9) delete from a using old where old.id = a.id', undefined],
  ['insert into b select * from a where not exists (select from b) fetch first 5 rows only', undefined],
  ['update a set n = 1 where n is null', /needs a LIMIT/],
  ['insert into b values (1)', /repeats one UPDATE, DELETE or INSERT … SELECT/],
  ['select 1 limit 1', /repeats one/],
  ['delete from a where id in (select id from a limit 1); select 2', /repeats one/],
])('batch: %s', async (sql, message) => {
  const read = readOne(`-- tenantry: batch\n${sql}`)
  if (message === undefined) expect((await read).options.batch).toBe(true)
  else await expect(read).rejects.toThrow(message)
})

test('a batch has its transactions', async () => {
  const sql = 'delete from a where id in (select id from a limit 1)'
  await expect(readOne(`-- tenantry: batch\n-- tenantry: no-transaction\n${sql}`)).rejects.toThrow(
    /"no-transaction" does not fit/,
  )
})

test('a checksum is of what runs upwards and how', async () => {
  const sum = async (text: string): Promise<string> => (await readOne(text)).checksum
  const up = '-- Up Migration\nselect 1;\n'
  const plain = await sum(up)
  expect(await sum(`${up}-- Down Migration\nselect 2`)).toBe(plain)
  expect(await sum(`-- about\n${up}`)).toBe(plain)
  expect(await sum(up.replaceAll('\n', '\r\n'))).toBe(plain)
  expect(await sum('-- Up Migration\n-- tenantry: ignore a-rule: for a reason\nselect 1;\n')).toBe(plain)
  expect(await sum(`-- tenantry: lock-timeout 3s\n${up}`)).not.toBe(plain)
  expect(await sum('-- Up Migration\nselect 2;\n')).not.toBe(plain)
})

test('the number of a name', async () => {
  expect(versionOf('1700000000000_create-orders')).toBe(1_700_000_000_000)
  expect(versionOf('20240101000000_orders.ts')).toBe(20_240_101_000_000)
  expect(versionOf('20240101000000123_orders')).toBe(Date.UTC(2024, 0, 1, 0, 0, 0, 123))
  expect(versionOf('Migration20240101000000')).toBe(20_240_101_000_000)
  expect(versionOf('AddTable2Orders1700000000000')).toBe(1_700_000_000_000)
  expect(versionOf('0003_x')).toBe(3)
  expect(versionOf('init')).toBe(0)
  expect(versionOf('99999999999999999999_x')).toBe(0)
  await folder.write({ '5_a.sql': 'select 1', '20240101000000000_b.sql': 'select 1', '7_c.sql': 'select 1' })
  const versions = (await read()).map(({ version }) => version)
  expect(versions).toEqual(versions.toSorted((a, b) => a - b))
})

test('repeatable files are read in the order of names, and checked like others', async () => {
  const reader = createMigrationReader()
  expect(await reader.readRepeatables(folder.path)).toEqual([])
  await folder.write({
    '1_a.sql': 'select 1',
    'repeatable/10_late.sql': 'create or replace view v as select 1 as a',
    'repeatable/2_early.sql': '-- tenantry: lock-timeout 1s\ncreate or replace view w as select 2 as a',
  })
  const found = await reader.readRepeatables(folder.path)
  expect(found.map(({ name }) => name)).toEqual(['repeatable/2_early', 'repeatable/10_late'])
  expect(found[0]?.options.lockTimeoutMs).toBe(1000)
  expect((await reader.read(folder.path, true)).map(({ name }) => name)).toEqual(['1_a'])
  await folder.write({ 'repeatable/10_late.sql': 'create or replace view v as select 2 as a' })
  const [early, late] = await reader.readRepeatables(folder.path)
  expect(early?.checksum).toBe(found[0]?.checksum)
  expect(late?.checksum).not.toBe(found[1]?.checksum)
})

test.each<[text: string, message: RegExp]>([
  ['creat view', /repeatable\/v\.sql is not valid: syntax error.*\(line 1\)/],
  ['-- tenantry: after shared/x\nselect 1', /cannot ask for "tenantry: after"/],
  ['select 1;\n-- Down Migration\nselect 2', /no down part/],
  ['create index concurrently on a (id)', /CREATE INDEX CONCURRENTLY/],
  ['', /no statement/],
])('a repeatable file with %j is refused', async (text, message) => {
  await folder.write({ 'repeatable/v.sql': text })
  await expect(createMigrationReader().readRepeatables(folder.path)).rejects.toThrow(message)
})
