/** Ledgers that the tools themselves wrote, taken over. */
import { createHash } from 'node:crypto'
import { drizzle } from 'drizzle-orm/node-postgres'
import { migrate } from 'drizzle-orm/node-postgres/migrator'
import knex from 'knex'
import { runner } from 'node-pg-migrate'
import pg from 'pg'
import { DataSource } from 'typeorm'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import { type ControlPlane, createControlPlane } from '../../../src/index.ts'
import type { BaselineReport } from '../../../src/migrate/fleet/take-over-fleet.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { createFolder, type MigrationFolder } from '../migration-folder.ts'
import { TOOL_FOLDERS } from '../formats/tool-folders.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let db: TestDatabase
let folder: MigrationFolder
let plane: ControlPlane
let run = 0
beforeAll(async () => {
  db = await createTestDatabase()
})
afterAll(() => db.drop())
beforeEach(async () => {
  folder = await createFolder()
  plane = createControlPlane({ connection: db.adminUrl, migrations: { tenant: folder.path } })
})
afterEach(async () => {
  for (const { key } of await plane.tenants.list()) {
    await plane.tenants.delete(key, { confirm: key })
  }
  await plane.close()
  await folder.drop()
})

interface Made {
  readonly key: string
  readonly schema: string
  /** A login that works in the schema as its owner, as the tool did before. */
  readonly url: string
}

/** A tenant whose schema the tool fills: nothing ran for it yet. */
async function makeTenant(): Promise<Made> {
  const key = `t${++run}`
  await plane.tenants.create({ key })
  const schema = `tenant_${key}`
  await db.sql(`drop table if exists ${schema}.pgmigrations`)
  const [row] = await db.sql<{ owner: string }>(
    'select nspowner::regrole::text as owner from pg_namespace where nspname = $1',
    [schema],
  )
  const url = new URL(db.adminUrl)
  url.searchParams.set('options', `-c role=${row?.owner ?? ''} -c search_path=${schema}`)
  return { key, schema, url: url.href }
}

async function recorded(schema: string): Promise<string[]> {
  const rows = await db.sql<{ name: string }>(`select name from ${schema}.pgmigrations order by run_on, id`)
  return rows.map(({ name }) => name)
}

/** Takes one tenant over, twice, after a look; then runs the rest. */
async function takeOver(
  { key, schema }: Made,
  names: readonly string[],
  options: object = {},
): Promise<void> {
  const dry = await plane.migrate.baseline({ ...options, dryRun: true })
  expect(dry).toEqual({ targets: [{ key, recorded: names }], failed: [] })
  const [ledger] = await db.sql<{ there: boolean }>('select to_regclass($1) is not null as there', [
    `${schema}.pgmigrations`,
  ])
  expect(ledger?.there).toBe(false)
  expect(await plane.migrate.baseline(options)).toEqual(dry)
  expect(await recorded(schema)).toEqual(names)
  // The catalog knows of it at once: there is nothing to mend, and nobody counts as behind.
  expect((await plane.migrate.status({ verify: true })).found).toEqual([])
  const [head] = await db.sql<{ known: boolean }>(
    'select digest is not null as known from tenantry.migration_heads where schema_name = $1',
    [schema],
  )
  expect(head?.known).toBe(true)
  expect(await plane.migrate.baseline(options)).toEqual({ targets: [{ key, recorded: [] }], failed: [] })
  const { failed, tenants } = await plane.migrate.up()
  expect(failed).toEqual([])
  expect(tenants.flatMap(({ applied }) => applied)).toEqual([])
}

async function refusal(options: object = {}): Promise<string> {
  const { targets, failed }: BaselineReport = await plane.migrate.baseline(options)
  expect(targets).toEqual([])
  return failed.map(({ error }) => `${error.code}: ${error.message}`).join('\n')
}

test('knex: what it recorded is recorded, and the rest runs', async () => {
  const { files, names } = TOOL_FOLDERS.knex
  const made = await makeTenant()
  await folder.write(files)
  const tool = knex({ client: 'pg', connection: made.url })
  await tool.migrate.latest({ directory: folder.path })
  await tool.destroy()
  await takeOver(made, names)
})

test('typeorm: its own ledger', async () => {
  const { names } = TOOL_FOLDERS.typeorm
  const made = await makeTenant()
  class Create1700000000000 {
    async up(queryRunner: { query(sql: string): Promise<unknown> }): Promise<void> {
      await queryRunner.query('create table anything (id int)')
    }
    async down(): Promise<void> {}
  }
  Object.defineProperty(Create1700000000000, 'name', { value: names[0] })
  const source = new DataSource({
    type: 'postgres',
    url: made.url,
    schema: made.schema,
    migrations: [Create1700000000000],
  })
  await source.initialize()
  await source.runMigrations()
  await source.destroy()
  await folder.write(TOOL_FOLDERS.typeorm.files)
  expect(await plane.migrate.baseline()).toEqual({
    targets: [{ key: made.key, recorded: [names[0]] }],
    failed: [],
  })
})

test('drizzle: by the text of the files, of which one may not be another one now', async () => {
  const { files, names } = TOOL_FOLDERS.drizzle
  const made = await makeTenant()
  const local = Object.fromEntries(
    Object.entries(files).map(([file, text]) => [file, String(text).replaceAll('"public".', '')]),
  )
  await folder.write(local)
  // It makes its schema whether or not that is there, which an owner of a schema may not.
  const url = new URL(db.superuserUrl)
  url.searchParams.set('options', `-c search_path=${made.schema}`)
  const pool = new pg.Pool({ connectionString: url.href, max: 1 })
  await migrate(drizzle(pool), { migrationsFolder: folder.path, migrationsSchema: made.schema })
  await pool.end()
  await db.sql(`grant select on all tables in schema ${made.schema} to public`)
  await takeOver(made, names)

  const other = await makeTenant()
  await db.sql(
    `create table ${other.schema}.__drizzle_migrations as table ${made.schema}.__drizzle_migrations`,
  )
  await db.sql(`grant select on ${other.schema}.__drizzle_migrations to public`)
  await folder.write({ [`${names[0]}.sql`]: `${local[`${names[0]}.sql`]}\n-- edited` })
  expect(await refusal({ only: [other.key] })).toMatch(
    new RegExp(`^TNY413: .*${names[0]}\\.sql is not the text that ran as number 1`),
  )
})

test('plain node-pg-migrate: another table, or one in another schema', async () => {
  const made = await makeTenant()
  await folder.write({ '1_a.sql': 'create table a ()', '2_b.sql': 'create table b ()' })
  const quiet = (): void => undefined
  const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet }
  await runner({
    databaseUrl: made.url,
    dir: folder.path,
    schema: made.schema,
    migrationsTable: 'ran',
    direction: 'up',
    logger,
  })
  expect(await refusal({ table: 'elsewhere' })).toMatch(/TNY413: .*there is no table tenant_\w+\.elsewhere/)
  await takeOver(made, ['1_a', '2_b'], { table: 'ran' })
  const other = await makeTenant()
  await db.sql(`grant usage on schema ${made.schema} to public`)
  await db.sql(`grant select on ${made.schema}.ran to public`)
  await takeOver(other, ['1_a', '2_b'], { table: `${made.schema}.ran`, only: [other.key] })
})

/** The columns of Prisma's schema engine, and of MikroORM's migrator: neither runs without a download here. */
const PRISMA_TABLE = `(id varchar(36) primary key, checksum varchar(64) not null, finished_at timestamptz,
  migration_name varchar(255) not null, logs text, rolled_back_at timestamptz, started_at timestamptz not null default now(),
  applied_steps_count integer not null default 0)`

async function prismaLedger(
  { schema }: Made,
  rows: readonly (readonly [name: string, text: string, state: 'done' | 'failed' | 'rolled back'])[],
): Promise<void> {
  await db.sql(`create table ${schema}._prisma_migrations ${PRISMA_TABLE}`)
  for (const [index, [name, text, state]] of rows.entries()) {
    const hash = createHash('sha256').update(text).digest('hex')
    await db.sql(
      `insert into ${schema}._prisma_migrations (id, checksum, migration_name, started_at, finished_at, rolled_back_at)
       values ($1, $2, $3, now() + $4 * interval '1 second', case when $5 = 'done' then now() end, case when $5 = 'rolled back' then now() end)`,
      [String(index), hash, name, index, state],
    )
  }
  await db.sql(`grant select on ${schema}._prisma_migrations to public`)
}

test('prisma: what ran; never what failed, was rolled back, or was edited', async () => {
  const { files } = TOOL_FOLDERS.prisma
  const names = TOOL_FOLDERS.prisma.names as readonly [string, string]
  const text = (name: string): string => (files as Record<string, string>)[`${name}/migration.sql`] ?? ''
  const made = await makeTenant()
  await folder.write(files)
  await prismaLedger(made, [
    [names[0], text(names[0]), 'done'],
    [names[1], text(names[1]), 'failed'],
  ])
  expect(await refusal()).toMatch(new RegExp(`TNY413: What ran for ${made.key} .*${names[1]} failed`))
  await db.sql(`update ${made.schema}._prisma_migrations set rolled_back_at = now() where id = '1'`)
  expect(await refusal()).toMatch(/was rolled back/)
  await db.sql(
    `insert into ${made.schema}._prisma_migrations (id, checksum, migration_name, started_at, finished_at)
     select 'again', checksum, migration_name, now() + interval '1 minute', now() from ${made.schema}._prisma_migrations where id = '1'`,
  )
  await folder.write({ [`${names[0]}/migration.sql`]: `${text(names[0])}\n` })
  expect(await refusal()).toMatch(new RegExp(`${names[0]}/migration\\.sql was edited after it ran`))
  await folder.write(files)
  await takeOver(made, names)
})

test('what ran must be the beginning of the files', async () => {
  const { files, names } = TOOL_FOLDERS['mikro-orm']
  const made = await makeTenant()
  await folder.write(files)
  await db.sql(
    `create table ${made.schema}.mikro_orm_migrations (id serial primary key, name varchar(255), executed_at timestamptz default now())`,
  )
  await db.sql(`insert into ${made.schema}.mikro_orm_migrations (name) values ($1)`, [names[1]])
  await db.sql(`grant select on ${made.schema}.mikro_orm_migrations to public`)
  expect(await refusal()).toMatch(/^TNY403: .*has not run, but comes before/)
  await db.sql(`update ${made.schema}.mikro_orm_migrations set name = 'Migration1'`)
  expect(await refusal()).toMatch(/^TNY403: .*Migration1 ran, but its file is gone/)
  await db.sql(`update ${made.schema}.mikro_orm_migrations set name = $1`, [names[0]])
  expect(await plane.migrate.baseline()).toEqual({
    targets: [{ key: made.key, recorded: [names[0]] }],
    failed: [],
  })
})

test('what node-pg-migrate ran by itself is taken into the heads by verify, and by baseline', async () => {
  const made = await makeTenant()
  await folder.write({ '1_a.sql': 'create table a (id int);' })
  const runTool = (): Promise<unknown> =>
    runner({
      databaseUrl: made.url,
      dir: folder.path,
      direction: 'up',
      migrationsTable: 'pgmigrations',
      migrationsSchema: made.schema,
      log: () => undefined,
    })
  await runTool()
  expect(await plane.migrate.baseline()).toMatchObject({ targets: [{ recorded: [] }], failed: [] })
  expect((await plane.migrate.status({ verify: true })).found).toEqual([])
  await folder.write({ '2_b.sql': 'create table b (id int);' })
  await runTool()
  expect((await plane.migrate.status({ verify: true })).found).toEqual([{ key: made.key, kind: 'mended' }])
  expect((await plane.migrate.status({ verify: true })).found).toEqual([])
  expect(await plane.migrate.up()).toMatchObject({ tenants: [], unchanged: 1, failed: [] })
})

test('without a ledger a name says what ran; an empty schema is no such database', async () => {
  const made = await makeTenant()
  await folder.write({ '1_a.sql': 'create table a ()', '2_b.sql': 'create table b ()' })
  expect(await refusal({ to: '1_a' })).toMatch(/TNY413: .*its schema is empty/)
  await db.sql(`create table ${made.schema}.a ()`)
  expect(await refusal({ to: '1_c' })).toMatch(/there is no migration 1_c/)
  expect(await refusal({ from: 'prisma' })).toMatch(/there is no table .*_prisma_migrations/)
  expect((await plane.migrate.baseline({ to: '1_a' })).targets).toEqual([
    { key: made.key, recorded: ['1_a'] },
  ])
  expect((await plane.migrate.up()).tenants).toEqual([{ key: made.key, applied: ['2_b'] }])
  expect((await plane.migrate.baseline({ to: '1_a' })).targets).toEqual([{ key: made.key, recorded: [] }])
  await expect(plane.migrate.baseline({ only: ['nobody'] })).rejects.toMatchObject({ code: 'TNY302' })
})

test('a view in the place of the ledger is not read, since it runs functions as its reader', async () => {
  const made = await makeTenant()
  await folder.write(TOOL_FOLDERS.knex.files)
  await db.sql(`create view ${made.schema}.knex_migrations as select 1 as id, current_user::text as name`)
  await db.sql(`grant select on ${made.schema}.knex_migrations to public`)
  expect(await refusal()).toMatch(/there is no table/)
})
