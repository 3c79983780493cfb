/** Folders of other tools, read without a database. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { folderOf, type MigrationFolder } from '../../../src/core/config.ts'
import { TenantryError } from '../../../src/core/errors.ts'
import type { Migration } from '../../../src/migrate/files/migration.ts'
import { createMigrationReader } from '../../../src/migrate/files/read-migrations.ts'
import { createFolder, type MigrationFolder as Folder } from '../migration-folder.ts'
import {
  DRIZZLE,
  KNEX,
  MIKRO_ORM,
  PRISMA,
  PRISMA_MULTI_SCHEMA,
  TOOL_FOLDERS,
  TYPEORM,
} from './tool-folders.ts'

type Files = Readonly<Record<string, string>>

let folder: Folder
beforeEach(async () => {
  folder = await createFolder()
})
afterEach(() => folder.drop())

const NO_SHARED = (): Promise<readonly Migration[]> => Promise.resolve([])

function read(source: MigrationFolder = folder.path, shared = NO_SHARED): Promise<readonly Migration[]> {
  return createMigrationReader().read(source, true, shared)
}

async function refusal(files: Files, format?: 'knex' | 'typeorm' | 'mikro-orm'): Promise<string> {
  await folder.write(files)
  const source = format === undefined ? folder.path : { folder: folder.path, format }
  const error: unknown = await read(source).then(
    (migrations) => migrations.map(({ up }) => up),
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(TenantryError)
  const { code, message } = error as TenantryError
  return `${code}: ${message}`
}

test.each(Object.entries(TOOL_FOLDERS))(
  '%s: the shape of the folder is enough',
  async (format, { files, names }) => {
    await folder.write(files)
    const migrations = await read()
    expect(migrations.map(({ name }) => name)).toEqual(names)
    expect(migrations.map(({ up }) => up).join('\n')).not.toMatch(/"?public"?\./)
    expect(await read({ folder: folder.path, format: format as keyof typeof TOOL_FOLDERS })).toEqual(
      migrations,
    )
  },
)

test('of shared migrations public is the schema that they run in, and stays', async () => {
  await folder.write(DRIZZLE)
  const [first] = await createMigrationReader().read(folder.path, true)
  expect(first?.up).toContain('REFERENCES "public"."customers"')
})

test('prisma: the schema that multiSchema writes is taken away, and lines stay where they were', async () => {
  await folder.write(PRISMA_MULTI_SCHEMA)
  const [migration] = await read()
  expect(migration?.up).toBe(
    PRISMA_MULTI_SCHEMA['20240101120000_init/migration.sql']
      .replace('CREATE SCHEMA IF NOT EXISTS "public"', '')
      .replaceAll('"public".', ''),
  )
})

test('drizzle: the journal says the order, and a breakpoint ends a statement without a semicolon', async () => {
  const entries = [{ tag: '0001_second' }, { tag: '0000_first' }]
  await folder.write({
    'meta/_journal.json': JSON.stringify({ dialect: 'postgresql', entries }),
    '0000_first.sql': 'drop table a--> statement-breakpoint\ndrop table b',
    '0001_second.sql': '-- Custom SQL migration file, put your code below! --',
  })
  const migrations = await read()
  expect(migrations.map(({ name }) => name)).toEqual(['0001_second', '0000_first'])
  expect(migrations.map(({ statements }) => statements.length)).toEqual([0, 2])
})

test('knex: the schema builder is compiled with its values, and statements keep their lines', async () => {
  await folder.write(KNEX)
  const [first, second] = await read()
  expect(first?.up).toContain(`insert into "customers" ("email") values ('o''hara?@example.com')`)
  expect(first?.up).toContain(`default 'it''s open'`)
  expect(second?.up).toBe(
    `alter table "orders" add column "notes" text\n;\nupdate orders set notes = 'none' where id = '1'`,
  )
  expect(first?.lines).toEqual([4, 4, 8, 8, 8, 15])
})

test('typeorm: values are written into the text', async () => {
  const up = 'await queryRunner.query("insert into t values ($1, $2, $3)", ["a\'b\\\\", null, 3])'
  await folder.write({ '1-Rows.js': `export class Rows1 { async up(queryRunner) { ${up} } }` })
  const [migration] = await read()
  expect(migration).toMatchObject({
    name: 'Rows1',
    up: String.raw`insert into t values ( E'a''b\\', NULL, '3')`,
  })
})

test('an edited file is compiled anew', async () => {
  const reader = createMigrationReader()
  const code = (table: string): string => `exports.up = (knex) => knex.schema.dropTable('${table}')`
  for (const name of ['a.cjs', 'b.js', 'c.ts']) {
    for (const table of ['one', 'two', 'three']) {
      const text = name === 'a.cjs' ? code(table) : code(table).replace('exports.up', 'export const up')
      await folder.write({ [name]: text })
      const migrations = await reader.read(folder.path, true, NO_SHARED)
      expect(migrations.at(-1)?.up).toBe(`drop table "${table}"`)
    }
  }
})

test.each<[name: string, files: Files, message: RegExp]>([
  [
    'prisma and plain files',
    { ...PRISMA, '1_a.sql': 'select 1' },
    /^TNY408: .*migration_lock\.toml of prisma and 1_a\.sql/,
  ],
  [
    'two tools in code',
    { ...KNEX, ...TYPEORM },
    /^TNY408: .*of typeorm and .*of knex|^TNY408: .*of knex and .*of typeorm/,
  ],
  [
    'another database of prisma',
    { ...PRISMA, 'migration_lock.toml': 'provider = "sqlite"' },
    /^TNY401: .*for sqlite/,
  ],
  [
    'a folder without migration.sql',
    { ...PRISMA, '2_a/x.txt': '' },
    /^TNY401: .*2_a\/migration\.sql .*missing/,
  ],
  [
    'another database of drizzle',
    { 'meta/_journal.json': '{"dialect":"mysql","entries":[]}' },
    /^TNY401: .*for mysql/,
  ],
  ['a journal that is none', { 'meta/_journal.json': '{' }, /^TNY401: .*not JSON/],
  [
    'a journal that leads elsewhere',
    { 'meta/_journal.json': '{"dialect":"postgresql","entries":[{"tag":"../a"}]}' },
    /"\.\.\/a" is not the tag/,
  ],
  [
    'a file that the journal lists',
    { 'meta/_journal.json': DRIZZLE['meta/_journal.json'] },
    /0000_brave_hulk\.sql is not valid: the journal lists it/,
  ],
  [
    'a file that the journal does not list',
    { ...DRIZZLE, '0002_lost.sql': 'select 1' },
    /0002_lost\.sql .*does not list it/,
  ],
  [
    'a file there twice',
    { 'a.ts': 'export const up = () => 1', 'a.js': 'export const up = () => 1' },
    /there twice/,
  ],
  [
    'CONCURRENTLY',
    { 'm/migration.sql': '-- a\n\ncreate index concurrently i on t (a)' },
    /^TNY401: .*CONCURRENTLY refuses.*\(line 3\)/,
  ],
  [
    'CONCURRENTLY in code',
    { 'a.js': 'export const up = (knex) =>\n  knex.raw("create index concurrently i on t (a)")' },
    /CONCURRENTLY refuses.*\(line 2\)/,
  ],
  ['a syntax error', { 'm/migration.sql': 'select 1;\nselekt' }, /^TNY401: .*syntax error.*\(line 2\)/],
  ['BEGIN', { 'm/migration.sql': 'begin; select 1' }, /^TNY401: .*cannot hold BEGIN/],
])('refused: %s', async (_, files, message) => {
  expect(await refusal(files)).toMatch(message)
})

test.each<[name: string, sql: string, message: RegExp]>([
  [
    'a table',
    'create table a ();\ninsert into "public"."plans" values (1)',
    /names public\.plans, .*\(line 2\)/,
  ],
  [
    'a reference',
    'create table a (\n  b int references public.plans (id))',
    /names public\.plans, .*\(line 2\)/,
  ],
  ['a type that is dropped', '\ndrop index "public"."IDX_1"', /names public\.IDX_1, .*\(line 2\)/],
  ['a sequence in a string', `select nextval('public.plans_id_seq')`, /names 'public\.plans_id_seq'/],
  ['a class in a string', `select 'public.plans'::regclass`, /names 'public\.plans'/],
  [
    'the body of a function',
    'create function f() returns int language sql as $$\nselect 1 from public.plans $$',
    /\(line 2\)/,
  ],
  ['a quoted body', `create function f() returns int language sql as 'select 1 from public.plans'`, /line 1/],
  ['dynamic SQL', `do $$ begin\nexecute 'drop table public.plans'; end $$`, /\(line 2\)/],
])('hard-coded public of nobody is refused: %s', async (_, sql, message) => {
  expect(await refusal({ 'm/migration.sql': sql })).toMatch(message)
  expect(await refusal({ 'm/migration.sql': sql })).toMatch(/^TNY409: /)
})

test('hard-coded public in code is refused with the line of the code', async () => {
  const text = KNEX['20240101120000_orders.ts'].replace(
    'await knex(',
    "await knex.raw('drop table public.plans')\n  await knex(",
  )
  expect(await refusal({ '1_a.ts': text })).toMatch(/1_a\.ts names public\.plans, .*\(line 15\)/)
})

test('hard-coded public is taken away wherever it means what the migrations create', async () => {
  const sql = `create table "public".orders (id serial, at public.day, note text default 'public.orders');
create domain public.day as date;
select setval('"public"."orders_id_seq"', 1), 'public.orders'::regclass, public.orders.id from public . orders;
do $$ begin alter table PUBLIC.orders add column x int; end $$;
select public.similarity(note, ''), '1'::public.citext, public.id from orders as "public";
insert into public.plans values ('public.orders');
insert into __tenant__.other values (1)`
  const shared = await createFolder({ '1_plans.sql': 'create table plans (name text, id int)' })
  const plans = await read(shared.path)
  await folder.write({ 'm/migration.sql': sql.replace('public.id', 'note') })
  const [migration] = await read(folder.path, () => Promise.resolve(plans))
  await shared.drop()
  expect(migration?.up).toBe(`create table orders (id serial, at day, note text default 'public.orders');
create domain day as date;
select setval('"orders_id_seq"', 1), 'orders'::regclass, orders.id from  orders;
do $$ begin alter table orders add column x int; end $$;
select public.similarity(note, ''), '1'::public.citext, note from orders as "public";
insert into public.plans values ('public.orders');
insert into other values (1)`)
})

test('what an earlier file created is known, what a later one creates is not', async () => {
  await folder.write({
    '1/migration.sql': 'create table public.a ()',
    '2/migration.sql': 'drop table public.a',
  })
  expect((await read()).map(({ up }) => up)).toEqual(['create table a ()', 'drop table a'])
  await folder.write({ '0/migration.sql': 'drop table public.a' })
  await expect(read()).rejects.toMatchObject({ code: 'TNY409' })
})

const MIKRO = MIKRO_ORM['Migration20240201120000.ts']
const typeorm = (body: string): string =>
  `import { MigrationInterface, QueryRunner } from "typeorm";\nexport class A1 implements MigrationInterface {\n  async up(queryRunner: QueryRunner) {\n    ${body}\n  }\n}`

test.each<[name: string, files: Files, message: RegExp]>([
  [
    'knex: rows',
    {
      'a.ts':
        'export async function up(knex) {\n  const rows = await knex("a").select()\n  for (const row of rows) await knex("b").insert(row)\n}',
    },
    /reads the rows.*\(line 3\)/,
  ],
  [
    'knex: hasTable',
    {
      'a.js':
        'export const up = async (knex) => {\n  if (!(await knex.schema.hasTable("a"))) await knex.schema.createTable("a", () => {})\n}',
    },
    /reads the rows/,
  ],
  [
    'knex: a refusal that is caught',
    { 'a.js': 'export const up = async (knex) => { try { (await knex.raw("select 1")).rows } catch {} }' },
    /reads the rows/,
  ],
  ['knex: no up', { 'a.js': 'export const down = (knex) => 1' }, /no function `up`/],
  ['it throws', { 'a.js': 'export const up = (knex) => { throw new Error("oops.") }' }, /into SQL: oops\.$/],
  [
    'it cannot be loaded',
    { 'a.ts': 'import "nowhere"\nexport enum A { b }\nexport const up = (knex) => 1' },
    /into SQL: /,
  ],
  [
    'typeorm: rows',
    { 'a.ts': typeorm('for (const row of await queryRunner.query("select 1")) throw row') },
    /reads the rows.*\(line 4\)/,
  ],
  [
    'typeorm: createTable',
    { 'a.ts': typeorm('await queryRunner.createTable()') },
    /queryRunner\.createTable\(\).*\(line 4\)/,
  ],
  ['typeorm: two classes', { 'a.ts': `${typeorm('')}\nexport class B2 { up() {} }` }, /two migrations/],
  [
    'mikro-orm: execute',
    { ...MIKRO_ORM, 'Migration20240201120000.ts': MIKRO.replace('this.addSql', 'await this.execute') },
    /this\.execute\(\).*\(line 6\)/,
  ],
  [
    'mikro-orm: the driver',
    { ...MIKRO_ORM, 'Migration20240201120000.ts': MIKRO.replace('this.addSql', 'this.driver.x') },
    /uses the driver/,
  ],
])('code that needs the database cannot be compiled: %s', async (_, files, message) => {
  const said = await refusal(files)
  expect(said).toMatch(/^TNY410: /)
  expect(said).toMatch(message)
})

test('a format that does not exist is refused', async () => {
  const source = { folder: folder.path, format: 'flyway' } as unknown as MigrationFolder
  await expect(read(source)).rejects.toMatchObject({
    code: 'TNY408',
    hint: expect.stringContaining("'prisma'"),
  })
  expect(folderOf(source)).toBe(folder.path)
})
