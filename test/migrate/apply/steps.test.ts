import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { AdminDatabase, Queryable } from '../../../src/core/database.ts'
import type { TenantHome } from '../../../src/core/homes.ts'
import { createAdminDatabase } from '../../../src/gateway/admin-database.ts'
import { applyMigrations, type ApplyOptions } from '../../../src/migrate/apply/apply-migrations.ts'
import { revertMigrations } from '../../../src/migrate/apply/revert-migrations.ts'
import { USUAL_OPTIONS, type Migration } from '../../../src/migrate/files/migration.ts'
import { createMigrationReader } from '../../../src/migrate/files/read-migrations.ts'
import { targetOf } from '../../../src/migrate/fleet/fleet-members.ts'
import { chainOf } from '../../../src/migrate/ledger/chain.ts'
import { readHeads } from '../../../src/migrate/ledger/heads.ts'
import { verifyHeads } from '../../../src/migrate/ledger/verify-heads.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { waitFor } from '../../support/wait-for.ts'
import { createFolder, type MigrationFolder } from '../migration-folder.ts'
import { makeTenants } from '../tenant-schemas.ts'

let database: TestDatabase
let admin: AdminDatabase
let folder: MigrationFolder
let tenant: TenantHome
let count = 0
beforeAll(async () => {
  database = await createTestDatabase()
  admin = createAdminDatabase(database.adminUrl, 8)
})
afterAll(async () => {
  await admin.close()
  await database.drop()
})
beforeEach(async () => {
  const [made] = await makeTenants(admin, [`t${++count}`])
  if (made === undefined) throw new Error('no tenant')
  tenant = made
  folder = await createFolder()
})
afterEach(() => folder.drop())

const target = () => targetOf(tenant.home, tenant.key, tenant.id)
const read = (): Promise<readonly Migration[]> => createMigrationReader().read(folder.path, true)
async function apply(migrations: readonly Migration[], options: Partial<ApplyOptions> = {}): Promise<void> {
  await admin.session((session) =>
    applyMigrations(session, target(), migrations, { lockTimeoutMs: 300, database: admin, ...options }),
  )
}
async function head(session: Queryable = admin): Promise<string | undefined> {
  return (await readHeads(session, [tenant.home.schema])).get(tenant.home.schema)?.digest
}

test('a head moves with each step, up and down, and a rolled back step leaves it', async () => {
  await folder.write({
    '1_a.sql': '-- Up Migration\ncreate table a (id int);\n-- Down Migration\ndrop table a;',
    '2_b.sql': '-- Up Migration\ncreate table b (id int);\n-- Down Migration\ndrop table b;',
  })
  const migrations = await read()
  const chain = chainOf(migrations)
  await apply(migrations)
  expect(await head()).toBe(chain.head)
  await folder.write({ '3_c.sql': 'create table c (id int); select 1 / 0' })
  await expect(apply(await read())).rejects.toMatchObject({ code: 'TNY402' })
  expect(await head()).toBe(chain.head)
  await admin.session((session) =>
    revertMigrations(session, target(), migrations, { keep: () => 1, lockTimeoutMs: 300 }),
  )
  expect(await head()).toBe(chain.digests[0])
  const versions = await database.sql(
    `select version from tenantry.migration_heads where schema_name = '${tenant.home.schema}'`,
  )
  expect(versions).toEqual([{ version: '1' }])
})

test('TNY415: a file that was edited after it ran is named, for whom it ran', async () => {
  await folder.write({ '1_a.sql': 'create table a (id int)', '2_b.sql': 'create table b (id int)' })
  await apply(await read())
  await folder.write({ '1_a.sql': 'create table a (id bigint)', '3_c.sql': 'create table c (id int)' })
  await expect(apply(await read())).rejects.toMatchObject({
    code: 'TNY415',
    message: expect.stringMatching(
      new RegExp(`1_a\\.sql was edited after it ran for ${tenant.key}`),
    ) as string,
  })
})

test('tenants that were there before there were heads, and what another tool ran, are taken in by verify', async () => {
  await folder.write({ '1_a.sql': 'create table a (id int)', '2_b.sql': 'create table b (id int)' })
  const migrations = await read()
  const chain = chainOf(migrations)
  await apply(migrations)
  await database.sql(`delete from tenantry.migration_heads where schema_name = '${tenant.home.schema}'`)
  const members = [{ key: tenant.key, target: target() }]
  const verify = () => admin.session((session) => verifyHeads(admin, session, members, chain))
  expect(await verify()).toEqual([{ key: tenant.key, kind: 'mended' }])
  expect(await head()).toBe(chain.head)
  await database.sql(`delete from ${tenant.home.schema}.pgmigrations where name = '2_b'`)
  expect(await verify()).toEqual([{ key: tenant.key, kind: 'mended' }])
  expect(await head()).toBe(chain.digests[0])
  expect(await verify()).toEqual([])
})

test('DDL that fails without a position has the line of its statement', async () => {
  await folder.write({
    '1_bad.sql': 'create table a (id int);\n\nalter table nowhere add column x int;\nselect 1;',
  })
  await expect(apply(await read())).rejects.toThrow(/"nowhere" does not exist \(line 3\)/)
})

test('M1: a step gives way to the traffic behind it, and comes back when the reader has gone', async () => {
  await folder.write({ '1_a.sql': 'create table a (id int)' })
  await apply(await read())
  await folder.write({ '2_b.sql': 'alter table a add column b int' })
  const migrations = await read()
  const order: string[] = []
  const reader = admin.transaction(async (tx) => {
    await tx.query(
      `set local role ${tenant.home.ownerRole}; lock table ${tenant.home.schema}.a in access share mode`,
    )
    const migrating = apply(migrations, {
      retry: { attempts: 50, pauseMs: 50 },
      onRetry: () => order.push('gave way'),
    }).then(() => order.push('migrated'))
    // Asked while the step waits: it queues behind the step, and is answered before the reader ends.
    await waitFor(async () => order.includes('gave way'))
    for (let n = 0; n < 3; n += 1) {
      await database.sql(`select from ${tenant.home.schema}.a`)
      order.push('answered')
    }
    return { migrating }
  })
  const { migrating } = await reader
  await migrating
  expect(order.filter((what) => what === 'answered')).toHaveLength(3)
  expect(order.indexOf('answered')).toBeLessThan(order.indexOf('migrated'))
  expect(order.at(-1)).toBe('migrated')
})

const OUTSIDE = { options: { ...USUAL_OPTIONS, transaction: false } }

test('M5: an index whose building was killed is invalid, and is dropped and built again', async () => {
  await folder.write({ '1_a.sql': 'create table a (id int); insert into a values (1), (2)' })
  const [first] = await read()
  if (first === undefined) throw new Error('no migration')
  await apply([first])
  const sql = 'create index concurrently a_id on a (id)'
  const second: Migration = {
    ...first,
    ...OUTSIDE,
    name: '2_index',
    file: '2_index.sql',
    up: sql,
    statements: [0],
    version: 2,
  }
  const { schema } = tenant.home
  // Whoever reads keeps the build from ending.
  await database.sql(`create table if not exists public.hold (id int)`)
  const invalid = () =>
    database.sql(`select from pg_index i join pg_class c on c.oid = i.indexrelid
      where c.relname = 'a_id' and c.relnamespace = '${schema}'::regnamespace and not i.indisvalid`)
  await admin.transaction(async (tx) => {
    await tx.query(`set local role ${tenant.home.ownerRole}; insert into ${schema}.a values (3)`)
    const building = apply([first, second], { lockTimeoutMs: 0, retry: { attempts: 1, pauseMs: 0 } }).catch(
      (error: unknown) => error,
    )
    await waitFor(async () => (await invalid()).length === 1)
    await database.sql(
      `select pg_terminate_backend(pid) from pg_stat_activity where query ilike 'create index concurrently a_id%' and datname = current_database() and pid <> pg_backend_pid()`,
    )
    expect(await building).toBeInstanceOf(Error)
  })
  expect(await invalid()).toHaveLength(1)
  await apply([first, second])
  expect(await invalid()).toHaveLength(0)
  expect(
    await database.sql(
      `select from pg_class where relname = 'a_id' and relnamespace = '${schema}'::regnamespace`,
    ),
  ).toHaveLength(1)
  expect(await head()).toBe(chainOf([first, second]).head)
})

test('a data migration in batches ends when no row is left, and is recorded once', async () => {
  await folder.write({
    '1_a.sql':
      'create table a (id int, done bool); insert into a select n, false from generate_series(1, 25) n',
  })
  const [first] = await read()
  if (first === undefined) throw new Error('no migration')
  const second: Migration = {
    ...first,
    options: { ...USUAL_OPTIONS, batch: true },
    name: '2_fill',
    file: '2_fill.sql',
    up: 'update a set done = true where id in (select id from a where not done limit 10)',
    statements: [0],
  }
  const rows: number[] = []
  await apply([first, second], { onBatch: (progress) => rows.push(progress.rows) })
  expect(rows).toEqual([10, 10, 5])
  expect(await database.sql(`select name from ${tenant.home.schema}.pgmigrations order by id`)).toEqual([
    { name: '1_a' },
    { name: '2_fill' },
  ])
})
