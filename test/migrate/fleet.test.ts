import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { AdminDatabase } from '../../src/core/database.ts'
import type { TenantHome } from '../../src/core/homes.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { createMigrations, type Migrations } from '../../src/migrate/migrations.ts'
import { reportFailure } from '../../src/migrate/fleet/migration-report.ts'
import type { MigrationProgress } from '../../src/migrate/fleet/run-events.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { createFolder, type MigrationFolder } from './migration-folder.ts'
import { homesOf, makeTenants, withStatus } from './tenant-schemas.ts'

const RUNNER = fileURLToPath(new URL('fixtures/run-fleet.ts', import.meta.url))

let database: TestDatabase
let admin: AdminDatabase
let superuser: AdminDatabase
let folder: MigrationFolder
let shared: MigrationFolder
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
  folder = await createFolder({ '1_log.sql': 'create table log (step text)' })
  shared = await createFolder()
})
afterEach(async () => {
  await folder.drop()
  await shared.drop()
})

function makeFleet(size: number): Promise<TenantHome[]> {
  return makeTenants(
    admin,
    Array.from({ length: size }, (_, index) => `f${run}-${index}`),
  )
}

function migrationsOf(tenants: readonly TenantHome[], db = admin): Migrations {
  return createMigrations({
    db,
    homes: homesOf(tenants),
    folders: { tenant: folder.path, shared: shared.path },
  })
}

async function logOf(tenant: TenantHome): Promise<string> {
  const { rows } = await superuser.query<{ log: string }>(
    `select coalesce(string_agg(step, ' ' order by step), '') as log from ${tenant.home.schema}.log`,
  )
  return rows[0]?.log ?? ''
}

test('the shared set runs first, then every active and suspended tenant', async () => {
  const made = await makeFleet(4)
  const tenants = made.map((tenant, index) =>
    withStatus(tenant, (['active', 'suspended', 'moving', 'active'] as const)[index] ?? 'active'),
  )
  await shared.write({
    '1_plans.sql': "create table public.plans (name text); insert into plans values ('free')",
  })
  await folder.write({ '2_copy.sql': 'insert into log select current_schema()' })
  const progress: MigrationProgress[] = []
  const migrations = migrationsOf(tenants)
  const report = await migrations.up({ workers: 1, onProgress: (step) => void progress.push(step) })
  const keys = tenants.map(({ key }) => key)
  expect(report).toMatchObject({
    shared: ['1_plans'],
    tenants: [keys[0], keys[1], keys[3]].map((key) => ({ key, applied: ['1_log', '2_copy'] })),
    unchanged: 0,
    failed: [],
    quarantined: [],
    waves: [{ name: 'all', tenants: 3, migrated: 3, failed: 0 }],
  })
  expect(reportFailure(report)).toBeUndefined()
  expect(progress.map(({ done, total, tenant }) => `${done}/${total} ${tenant}`)).toEqual([
    '1/4 shared',
    `2/4 ${keys[0]}`,
    `3/4 ${keys[1]}`,
    `4/4 ${keys[3]}`,
  ])
  expect(await migrations.status()).toEqual({
    shared: { applied: ['1_plans'], pending: [] },
    tenants: tenants.map(({ key, status }) =>
      status === 'moving'
        ? { key, status, applied: 0, pending: ['1_log', '2_copy'] }
        : { key, status, applied: 2, pending: [] },
    ),
  })
  await superuser.query('drop table public.plans, public.pgmigrations')
})

test('a shared migration that fails stops the run before any tenant', async () => {
  const tenants = await makeFleet(1)
  await shared.write({ '1_bad.sql': 'select 1 / 0' })
  const migrations = migrationsOf(tenants)
  await expect(migrations.up()).rejects.toThrow(/1_bad\.sql failed for shared: division by zero/)
  expect((await migrations.status()).tenants[0]?.applied).toBe(0)
  // The lock went with the session.
  await shared.write({ '1_bad.sql': 'select 1' })
  await expect(migrations.up()).resolves.toMatchObject({ shared: ['1_bad'] })
  await superuser.query('drop table public.pgmigrations')
})

test('nothing runs where one file cannot', async () => {
  const tenants = await makeFleet(1)
  await folder.write({ '2_bad.sql': 'selekt' })
  await expect(migrationsOf(tenants).up()).rejects.toMatchObject({ code: 'TNY401' })
  await folder.remove('2_bad.sql')
  expect((await migrationsOf(tenants).status()).tenants[0]).toMatchObject({ applied: 0, pending: ['1_log'] })
})

test('M8: one tenant fails, the others go on, and it is named', async () => {
  const tenants = await makeFleet(5)
  const bad = tenants[2]
  await migrationsOf(tenants).up()
  await superuser.query(`insert into ${bad?.home.schema}.log values (null)`)
  await folder.write({
    '2_before.sql': "insert into log values ('before')",
    '3_strict.sql': 'alter table log alter column step set not null',
    '4_after.sql': "insert into log values ('after')",
  })
  const report = await migrationsOf(tenants).up()
  expect(report.tenants.map(({ key }) => key).sort()).toEqual(
    tenants.filter((t) => t !== bad).map(({ key }) => key),
  )
  expect(report.failed).toMatchObject([{ key: bad?.key, applied: ['2_before'], error: { code: 'TNY402' } }])
  expect(report.failed[0]?.error.message).toMatch(/contains null values/)
  expect(reportFailure(report)).toMatchObject({
    code: 'TNY405',
    message: `1 of 5 tenants could not be migrated: ${bad?.key}.`,
  })
  await superuser.query(`delete from ${bad?.home.schema}.log where step is null`)
  const second = await migrationsOf(tenants).up({ retry: true })
  expect(second.tenants.flatMap(({ applied }) => applied)).toEqual(['3_strict', '4_after'])
  for (const tenant of tenants) expect(await logOf(tenant)).toBe('after before')
})

test('M8: a tenant whose ledger cannot even be read fails alone', async () => {
  const tenants = await makeFleet(3)
  await migrationsOf(tenants).up()
  await folder.write({ '2_more.sql': "insert into log values ('more')" })
  const bad = tenants[1]
  const { schema = '', ownerRole = '' } = bad?.home ?? {}
  await superuser.query(`set role ${ownerRole}; revoke all on schema ${schema} from tenantry_admin; reset role;
    alter role ${ownerRole} rename to ${ownerRole}_lost`)
  const report = await migrationsOf(tenants).up()
  expect(report.failed).toMatchObject([{ key: bad?.key, error: { code: 'TNY402' } }])
  expect(report.failed[0]?.error.message).toMatch(/role ".*" does not exist/)
  expect(report.tenants.map(({ applied }) => applied)).toEqual([['2_more'], ['2_more']])
  const status = await migrationsOf(tenants).status()
  expect(status.tenants.map(({ error }) => error?.code)).toEqual([undefined, 'TNY402', undefined])
})

test('M8: a schema dropped between two statements does not hide the others', async () => {
  const tenants = await makeFleet(3)
  await migrationsOf(tenants).up()
  await folder.write({ '2_more.sql': "insert into log values ('more')" })
  const dropping: AdminDatabase = {
    ...admin,
    session: (fn) =>
      admin.session((session) =>
        fn({
          query: async (text, values) => {
            if (text.includes('union all'))
              await superuser.query(`drop schema ${tenants[1]?.home.schema} cascade`)
            return session.query(text, values)
          },
        }),
      ),
  }
  const report = await migrationsOf(tenants, dropping).up()
  expect(report.tenants.map(({ applied }) => applied)).toEqual([['2_more'], ['2_more']])
  expect(report.failed).toMatchObject([{ key: tenants[1]?.key, error: { code: 'TNY402' } }])
})

test('a tenant that is deleted meanwhile is no failure', async () => {
  const tenants = await makeFleet(3)
  const gone = tenants[1]
  let listed = 0
  const migrations = createMigrations({
    db: admin,
    homes: {
      ...homesOf([]),
      list: () => homesOf(listed++ === 0 ? tenants : tenants.filter((tenant) => tenant !== gone)).list(),
    },
    folders: { tenant: folder.path },
  })
  await superuser.query(`drop schema ${gone?.home.schema}`)
  const report = await migrations.up()
  expect(report.failed).toEqual([])
  expect(report.tenants.map(({ key }) => key).sort()).toEqual([tenants[0]?.key, tenants[2]?.key])
})

test('what a migration prepares or sets for one tenant is not there for the next', async () => {
  const tenants = await makeFleet(2)
  await folder.write({
    '2_session.sql': `create temp table names (name text); prepare note as insert into log values ('note');
      execute note; set bytea_output = 'escape'; listen anything`,
  })
  await superuser.query(`grant temp on database ${database.name} to public`)
  const report = await migrationsOf(tenants).up()
  expect(report.failed).toEqual([])
  for (const tenant of tenants) expect(await logOf(tenant)).toBe('note')
})

test('who is behind is asked in two statements, however many tenants', async () => {
  const tenants = await makeFleet(60)
  await migrationsOf(tenants).up()
  let statements = 0
  const count = (db: AdminDatabase): AdminDatabase => ({
    ...db,
    session: (fn) =>
      db.session((session) =>
        fn({
          query: (text, values) => {
            statements++
            return session.query(text, values)
          },
        }),
      ),
    apart: (max) => count(db.apart(max)),
  })
  const counting = count(admin)
  const report = await migrationsOf(tenants, counting).up()
  expect(report).toMatchObject({ unchanged: 60, tenants: [] })
  // Its name, the lock, the server's setting, the shared ledger (located; it is missing), the fleet (located, read), who is in
  // quarantine, the lock again.
  expect(statements).toBe(8)
  await folder.write({ '2_more.sql': "insert into log values ('more')" })
  await migrationsOf(tenants, counting).up()
  // One message a tenant.
  expect(statements).toBe(16 + 60)
})

test('M3: a second runner is told so, and the first goes on', async () => {
  const tenants = await makeFleet(10)
  await folder.write({ '2_step.sql': "insert into log values ('2'); select pg_sleep(0.05)" })
  const other = createAdminDatabase(database.adminUrl)
  const results = await Promise.allSettled([
    migrationsOf(tenants).up({ wait: false }),
    migrationsOf(tenants, other).up({ wait: false }),
  ])
  await other.close()
  const refused = results.filter((result) => result.status === 'rejected')
  expect(refused.map(({ reason }) => (reason as { code: string }).code)).toEqual(['TNY406'])
  for (const tenant of tenants) expect(await logOf(tenant)).toBe('2')
})

test('M3: provisioning one tenant goes on while the fleet migrates, each step exactly once', async () => {
  const tenants = await makeFleet(8)
  for (let step = 2; step <= 6; step++)
    await folder.write({ [`${step}_s.sql`]: `insert into log values ('${step}'); select pg_sleep(0.005)` })
  const migrations = migrationsOf(tenants)
  const fleet = migrations.up()
  const homes = [...tenants].reverse().map((tenant) => migrations.migrateHome(admin, tenant.home, tenant.key))
  const [report, ...single] = await Promise.all([fleet, ...homes])
  expect(report.failed).toEqual([])
  expect(report.tenants.flatMap(({ applied }) => applied).length + single.flat().length).toBe(8 * 6)
  for (const tenant of tenants) expect(await logOf(tenant)).toBe('2 3 4 5 6')
})

/** Starts a runner and kills it hard after so many targets; `undefined` lets it end. */
async function runAndKill(
  tenants: readonly TenantHome[],
  killAfter: number | undefined,
): Promise<number | null> {
  const folders = { tenant: folder.path, shared: shared.path }
  const job = JSON.stringify({ url: database.adminUrl, folders, tenants })
  const child = spawn(process.execPath, [RUNNER, job], { stdio: ['ignore', 'pipe', 'inherit'] })
  let finished = 0
  child.stdout.on('data', (data: Buffer) => {
    finished += data.toString().split('\n').length - 1
    if (killAfter !== undefined && finished >= killAfter) child.kill('SIGKILL')
  })
  const [code] = (await once(child, 'close')) as [number | null]
  return code
}

/** A killed runner's backend first ends the message that it is at. */
async function runnerGone(): Promise<void> {
  await expect
    .poll(
      async () =>
        (
          await superuser.query(
            "select 1 from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())",
          )
        ).rows.length,
    )
    .toBe(0)
}

test('M2: a runner killed at tenant k is resumed; each step exactly once', async () => {
  const tenants = await makeFleet(30)
  const steps = Array.from({ length: 5 }, (_, index) => String(index + 2))
  await folder.write(
    Object.fromEntries(
      steps.map((step) => [`${step}_s.sql`, `insert into log values ('${step}'); create table s${step} ()`]),
    ),
  )
  const kills = [1, 3, 9]
  for (const killAfter of kills) {
    expect(await runAndKill(tenants, killAfter)).toBeNull()
    await runnerGone()
    const { tenants: state } = await migrationsOf(tenants).status()
    for (const [index, tenant] of tenants.entries()) {
      // Whole migrations only: what the ledger says is what is there.
      const applied = state[index]?.applied ?? 0
      if (applied > 0) expect(await logOf(tenant)).toBe(steps.slice(0, applied - 1).join(' '))
    }
  }
  const { tenants: between } = await migrationsOf(tenants).status()
  const behind = between.filter(({ pending }) => pending.length > 0)
  expect(behind.length).toBeGreaterThan(0)
  expect(behind.length).toBeLessThan(tenants.length)
  expect(await runAndKill(tenants, undefined)).toBe(0)
  for (const tenant of tenants) expect(await logOf(tenant)).toBe(steps.join(' '))
})

test('processes are told of each migration as it commits: of which tenant, or of what all share', async () => {
  const tenants = await makeFleet(2)
  const listener = new pg.Client(database.superuserUrl)
  await listener.connect()
  const told: (string | undefined)[] = []
  listener.on('notification', ({ payload }) => told.push(payload))
  await listener.query('listen tenantry_catalog')
  await shared.write({ '1_plans.sql': 'create table plans (name text)' })
  await folder.write({ '2_step.sql': "insert into log values ('2')" })
  const migrations = migrationsOf(tenants)
  expect((await migrations.up({ workers: 1 })).failed).toHaveLength(0)
  await listener.query('select 1')
  const ids = tenants.map(({ id }) => id)
  expect(told).toEqual(['', ...ids.flatMap((id) => [id, id])])
  told.length = 0
  await folder.write({ '3_fails.sql': 'select 1 / 0' })
  expect((await migrations.up()).failed).toHaveLength(2)
  await listener.query('select 1')
  expect(told).toEqual([])
  await listener.end()
})
