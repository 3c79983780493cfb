/** node-pg-migrate's migrations in code: what its own runner makes of a folder, and what ours does. */
import { runner } from 'node-pg-migrate'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { AdminDatabase } from '../../../src/core/database.ts'
import type { TenantHome } from '../../../src/core/homes.ts'
import { createAdminDatabase } from '../../../src/gateway/admin-database.ts'
import type { Migration } from '../../../src/migrate/files/migration.ts'
import { createMigrationReader } from '../../../src/migrate/files/read-migrations.ts'
import { planReplay } from '../../../src/migrate/shared-form/shared-replay.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { createFolder, type MigrationFolder } from '../migration-folder.ts'
import { makeTenants } from '../tenant-schemas.ts'

const FILES = {
  '1_orders.cjs': `exports.shorthands = { id: { type: 'bigint', primaryKey: true, sequenceGenerated: { precedence: 'ALWAYS' } } }
exports.up = (pgm) => {
  pgm.createTable('orders', { id: 'id', note: { type: 'text', default: 'it\\'s' } })
  pgm.createIndex('orders', 'note')
}
`,
  '2_customers.ts': `import { ColumnDefinitions, MigrationBuilder } from 'node-pg-migrate'
export const shorthands: ColumnDefinitions = { name: { type: 'varchar(80)', notNull: true } }
export async function up(pgm: MigrationBuilder): Promise<void> {
  pgm.createTable('customers', { id: 'id', name: 'name' })
  await Promise.resolve()
  pgm.sql("insert into customers (name) values ('ann'), ('bob')")
  pgm.addColumns('orders', { customer: { type: 'bigint', references: 'customers' } })
}
export async function down(pgm: MigrationBuilder): Promise<void> {
  pgm.dropColumns('orders', ['customer'])
  pgm.dropTable('customers')
}
`,
  '3_status.sql':
    "-- Up Migration\nalter table orders add status text default 'open';\n-- Down Migration\nalter table orders drop status;\n",
  '4_callback.mjs': `export const up = (pgm, done) => {
  setTimeout(() => { pgm.createView('open_orders', {}, "select id from orders where status = 'open'"); done() }, 1)
}
export const down = (pgm) => pgm.dropView('open_orders')
`,
  '5_rows.js': `exports.up = async (pgm) => {
  const people = await pgm.db.select('select name from customers order by id')
  for (const { name } of people) pgm.addColumns('orders', { ['by_' + name]: 'name' })
  const { rows } = await pgm.db.query({ text: 'select count(*)::int as count from customers where id > $1', values: [0] })
  pgm.sql("comment on table orders is '{count} people'", { count: rows[0].count })
}
exports.down = async (pgm) => {
  for (const { name } of await pgm.db.select('select name from customers order by id desc')) {
    pgm.dropColumns('orders', 'by_' + name)
  }
  pgm.sql('comment on table orders is null')
}
`,
  '20240101000000000_last.js': `exports.up = (pgm) => pgm.createType('state', ['a', 'b'])\n`,
}
const NAMES = ['1_orders', '2_customers', '3_status', '4_callback', '5_rows', '20240101000000000_last']

let database: TestDatabase
let admin: AdminDatabase
let folder: MigrationFolder
beforeAll(async () => {
  database = await createTestDatabase()
  admin = createAdminDatabase(database.adminUrl)
})
afterAll(async () => {
  await admin.close()
  await database.drop()
})
beforeEach(async () => {
  folder = await createFolder()
})
afterEach(() => folder.drop())

function read(): Promise<readonly Migration[]> {
  return createMigrationReader().read(folder.path, true)
}

async function theirs({ home }: TenantHome, direction: 'up' | 'down'): Promise<void> {
  const quiet = (): void => undefined
  await runner({
    databaseUrl: { connectionString: database.adminUrl, options: `-c role=${home.ownerRole}` },
    dir: folder.path,
    schema: home.schema,
    migrationsTable: 'pgmigrations',
    direction,
    count: Infinity,
    logger: { debug: quiet, info: quiet, warn: quiet, error: quiet },
  })
}

/** As the docstrings of `Migration` ask: one transaction, the owner, its path. */
async function ours({ home }: TenantHome, direction: 'up' | 'down'): Promise<void> {
  const migrations = await read()
  for (const migration of direction === 'up' ? migrations : migrations.toReversed()) {
    await admin.transaction(async (tx) => {
      await tx.query(`set local role "${home.ownerRole}"; set local search_path = "${home.schema}"`)
      await tx.query(
        'create table if not exists pgmigrations (id serial primary key, name varchar(255) not null, run_on timestamp not null)',
      )
      const { down } = migration
      if (direction === 'down' && down === undefined) throw migration.downRefusal ?? new Error('no way down')
      const perTenant = direction === 'up' ? migration.perTenant : down?.perTenant
      const sql = perTenant === undefined ? undefined : (await perTenant(tx)).sql
      await tx.query(sql ?? (direction === 'up' ? migration.up : (down?.sql ?? '')))
      await (direction === 'up'
        ? tx.query('insert into pgmigrations (name, run_on) values ($1, now())', [migration.name])
        : tx.query('delete from pgmigrations where name = $1', [migration.name]))
    })
  }
}

async function shape({ home }: TenantHome): Promise<unknown> {
  const { schema } = home
  const { rows } = await admin.query<{ shape: string }>(
    `select json_build_array(
      (select json_agg(t order by t::text) from (
        select c.relname, c.relkind, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
          pg_get_expr(d.adbin, d.adrelid), obj_description(c.oid, 'pg_class')
        from pg_class c left join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
          left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
        where c.relnamespace = $1::text::regnamespace) t),
      (select json_agg(conname || pg_get_constraintdef(oid) order by conname) from pg_constraint where connamespace = $1::text::regnamespace),
      (select json_agg(typname order by typname) from pg_type where typnamespace = $1::text::regnamespace)
    )::text as shape`,
    [schema],
  )
  return JSON.parse((rows[0]?.shape ?? '').replaceAll(schema, 'tenant'))
}

async function ledger({ home }: TenantHome): Promise<string[]> {
  const { rows } = await admin.query<{ names: string }>(
    `select coalesce(json_agg(name order by run_on, id), '[]')::text as names from "${home.schema}".pgmigrations`,
  )
  return JSON.parse(rows[0]?.names ?? '[]') as string[]
}

/** The admin reads as it likes: rights on schemas are the owner's. */
async function open(tenants: readonly TenantHome[]): Promise<void> {
  for (const { home } of tenants) {
    await database.sql(`grant usage on schema "${home.schema}" to public`)
    await database.sql(`grant select on all tables in schema "${home.schema}" to public`)
  }
}

test('its own runner and ours leave the same schema and the same ledger, up and down', async () => {
  await folder.write(FILES)
  const [their, our] = await makeTenants(admin, ['theirs', 'ours'])
  if (their === undefined || our === undefined) throw new Error('no tenants')
  await theirs(their, 'up')
  await ours(our, 'up')
  await open([their, our])
  expect(await ledger(our)).toEqual(NAMES)
  expect(await ledger(their)).toEqual(NAMES)
  expect(JSON.stringify(await shape(our))).toContain('by_ann')
  expect(await shape(our)).toEqual(await shape(their))

  // Each of them goes down what the other one did.
  await theirs(our, 'down')
  await ours(their, 'down')
  expect(await ledger(our)).toEqual([])
  expect(await shape(their)).toEqual(await shape(our))
  expect(JSON.stringify(await shape(our))).not.toContain('orders')
})

test('pure code is SQL, once, with the lines that asked for it', async () => {
  await folder.write(FILES)
  const [orders, customers, , , rows] = await read()
  expect(orders?.perTenant).toBeUndefined()
  expect(orders?.lines).toEqual([3, 4])
  expect(orders?.up).toContain(`DEFAULT $pga$it's$pga$`)
  expect(orders?.down?.sql).toMatch(/^DROP INDEX "orders_note_index";\n;\nDROP TABLE "orders";$/)
  expect(orders?.down?.lines).toEqual([4, 3])
  expect(customers?.lines).toEqual([4, 6, 7])
  expect(customers?.up).toContain('GENERATED ALWAYS AS IDENTITY')
  expect(rows).toMatchObject({ up: '', statements: [] })
  expect(rows?.perTenant).toBeInstanceOf(Function)
  expect(rows?.down).toMatchObject({ sql: '' })
  expect(rows?.down?.perTenant).toBeInstanceOf(Function)
  if (rows === undefined) throw new Error('unread')
  expect(() => planReplay(rows)).toThrow(/5_rows\.js cannot run for shared tenants: it is code that reads/)
})

test('what code sends for a tenant is checked like a file', async () => {
  const select = 'const [{ n }] = await pgm.db.select("select 1 as n");'
  await folder.write({
    '1_a.js': `exports.up = async (pgm) => { ${select} await pgm.db.query('commit') }`,
    '2_b.js': `exports.up = async (pgm) => { ${select}\npgm.sql('set role postgres') }`,
    '3_c.js': `exports.up = async (pgm) => { ${select} pgm.noTransaction() }`,
  })
  for (const [index, message] of [
    /1_a\.js is not valid: .*cannot hold BEGIN, COMMIT/,
    /2_b\.js is not valid: changing role.*\(line 2\)/,
    /3_c\.js cannot be turned into SQL: it reads rows, and asks for no transaction/,
  ].entries()) {
    const { perTenant } = (await read())[index] ?? {}
    await expect(admin.transaction(async (tx) => perTenant?.(tx))).rejects.toThrow(message)
  }
})

test('no way down is a reason, kept until somebody asks', async () => {
  await folder.write({
    '1_never.js': 'exports.up = (pgm) => pgm.sql("select 1"); exports.down = false',
    '2_unknown.js': 'exports.up = (pgm) => pgm.sql("select 1")',
    '3_bad.js': 'exports.up = (pgm) => pgm.sql("select 1"); exports.down = (pgm) => pgm.sql("begin")',
    '4_rows.js': 'exports.up = async (pgm) => void (await pgm.db.select("select 1"))',
  })
  const migrations = await read()
  expect(migrations.map(({ down }) => down !== undefined)).toEqual([false, false, false, false])
  expect(migrations.map(({ downRefusal }) => downRefusal?.message ?? '')).toEqual([
    '',
    expect.stringMatching(/Impossible to automatically infer down migration/),
    expect.stringMatching(/cannot hold BEGIN.*\(line 1\)/),
    expect.stringMatching(/Impossible to automatically infer down migration/),
  ])
})

test('without a transaction, as code says it', async () => {
  await folder.write({
    '1_a.js': `exports.up = (pgm) => { pgm.noTransaction(); pgm.createIndex('a', 'b', { concurrently: true }) }`,
    '2_b.js': `// tenantry: lock-timeout 3s\nexports.up = (pgm) => pgm.createTable('a', {})`,
    '3_c.js': `exports.up = (pgm) => pgm.createIndex('a', 'b', { concurrently: true })`,
  })
  await expect(read()).rejects.toThrow(/3_c\.js is not valid: CREATE INDEX CONCURRENTLY.*\(line 1\)/)
  await folder.remove('3_c.js')
  const [first, second] = await read()
  expect(first?.options.transaction).toBe(false)
  expect(second?.options).toEqual({ transaction: true, batch: false, lockTimeoutMs: 3000 })
})

test('what code makes up is no edit, what it says is', async () => {
  const sum = async (text: string): Promise<string> => {
    await folder.write({ '1_a.js': text })
    return (await createMigrationReader().read(folder.path, true))[0]?.checksum ?? ''
  }
  const code = (more: string): string =>
    `exports.up = (pgm) => pgm.sql("insert into a values ('" + Math.random() + "', 7)${more}")`
  const first = await sum(code(''))
  expect(await sum(code(''))).toBe(first)
  expect(await sum(code(', (null, null)'))).not.toBe(first)
  const steady = await sum('exports.up = (pgm) => pgm.sql("select 1")')
  expect(await sum('// formatted\nexports.up = (pgm) => {\n  pgm.sql("select 1")\n}')).toBe(steady)
  expect(await sum('exports.up = (pgm) => pgm.sql("select 2")')).not.toBe(steady)
})

test('two files for each migration', async () => {
  await folder.write({
    '1_a.up.sql': 'create table a ();',
    '1_a.down.sql': 'drop table a;',
    '2_b.up.sql': 'create table b ();',
    '3_c.sql': 'create table c ()',
  })
  const migrations = await read()
  expect(migrations.map(({ name, file, down }) => [name, file.replace(/.*\//, ''), down?.sql])).toEqual([
    ['1_a', '1_a.up.sql', 'drop table a;'],
    ['2_b', '2_b.up.sql', undefined],
    ['3_c', '3_c.sql', undefined],
  ])
  await folder.write({ '1_a.down.sql': 'drop tabel a;' })
  await expect(read()).rejects.toThrow(/1_a\.down\.sql is not valid: syntax error.*\(line 1\)/)
  await folder.write({ '1_a.down.sql': '', '4_d.down.sql': 'select 1' })
  await expect(read()).rejects.toThrow(/4_d\.down\.sql is not valid: there is no 4_d\.up\.sql/)
  await folder.remove('4_d.down.sql')
  expect((await read())[0]?.down).toBeUndefined()
  await folder.write({ '1_a.sql': 'select 1' })
  await expect(read()).rejects.toThrow(/cannot be told from/)
})

test('names as the project writes them', async () => {
  await folder.write({ '1_a.js': "exports.up = (pgm) => pgm.createTable('fooBar', { someId: 'int' })" })
  const reader = createMigrationReader()
  const source = { folder: folder.path, format: 'node-pg-migrate' } as const
  expect((await reader.read(source, true))[0]?.up).toContain('"fooBar"')
  const [snake] = await reader.read({ ...source, decamelize: true }, true)
  expect(snake?.up).toMatch(/"foo_bar" \(\s*"some_id" int/)
})
