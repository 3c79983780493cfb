import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { CATALOG_CHANNEL } from '../../src/catalog/catalog-migrations.ts'
import type { AdminDatabase } from '../../src/core/database.ts'
import type { TenantHome, TenantHomes } from '../../src/core/homes.ts'
import { createControlPlane } from '../../src/control-plane.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { createTenantSchema } from '../../src/isolation/tenant-roles.ts'
import { createMigrations, type Migrations } from '../../src/migrate/migrations.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { BUSY_MS } from '../support/wait-for.ts'
import { createFolder, type MigrationFolder } from './migration-folder.ts'
import { createSharedWorld, type SharedWorld } from './shared-world.ts'
import { homesOf, makeTenants } from './tenant-schemas.ts'

let database: TestDatabase
let own: TestDatabase
let admin: AdminDatabase
let folder: MigrationFolder
let shared: MigrationFolder

beforeAll(async () => {
  database = await createTestDatabase()
  own = await createTestDatabase({ installed: false })
  admin = createAdminDatabase(database.adminUrl)
  folder = await createFolder({ '1_log.sql': 'create table log (step text)' })
  shared = await createFolder()
})
afterAll(async () => {
  await admin.close()
  await own.drop()
  await database.drop()
  await folder.drop()
  await shared.drop()
})

function migrationsOf(homes: TenantHomes): Migrations {
  return createMigrations({ db: admin, homes, folders: { tenant: folder.path, shared: shared.path } })
}

/** The roles are the server's; the schema is made in the tenant's own database. */
async function makeDatabaseTenant(key: string, name: string): Promise<TenantHome> {
  const [tenant] = await makeTenants(admin, [key])
  if (tenant === undefined) throw new Error('there is no tenant')
  const home = { ...tenant.home, model: 'database', database: name, schema: 'tenant' } as const
  if (name === own.name) await admin.inDatabase(name).transaction((tx) => createTenantSchema(tx, home))
  return { ...tenant, home }
}

test(
  'tenants in databases of their own are migrated there, told of here, and fail alone',
  { timeout: 60_000 },
  async () => {
    const [beside] = await makeTenants(admin, ['beside'])
    const away = await makeDatabaseTenant('away', own.name)
    const lost = await makeDatabaseTenant('lost', `${own.name}_lost`)
    const migrations = migrationsOf(homesOf([away, ...(beside === undefined ? [] : [beside]), lost]))
    const listener = new pg.Client(database.adminUrl)
    await listener.connect()
    const heard: (string | undefined)[] = []
    listener.on('notification', ({ payload }) => heard.push(payload))
    await listener.query(`listen ${CATALOG_CHANNEL}`)

    expect(
      (await migrations.status()).tenants.map(({ key, applied, error }) => [key, applied, error?.code]),
    ).toEqual([
      ['beside', 0, undefined],
      ['away', 0, undefined],
      ['lost', 0, expect.stringMatching(/^TNY/)],
    ])
    const report = await migrations.up()
    expect(report.tenants).toEqual([
      { key: 'beside', applied: ['1_log'] },
      { key: 'away', applied: ['1_log'] },
    ])
    expect(report.failed).toMatchObject([{ key: 'lost', applied: [] }])
    expect(await own.sql("select to_regclass('tenant.log')::text as name")).toEqual([{ name: 'tenant.log' }])
    expect((await migrations.status()).tenants[1]).toEqual({
      key: 'away',
      status: 'active',
      applied: 1,
      pending: [],
    })
    await expect.poll(() => heard, { timeout: BUSY_MS }).toEqual(['beside', 'away'])
    await listener.end()
  },
)

test('tenants that share tables are one line, first, and fail as one', { timeout: 60_000 }, async () => {
  const world: SharedWorld = await createSharedWorld(admin)
  const sharing = ['s1', 's2'].map((id) => ({
    id,
    key: id,
    status: 'active',
    home: {
      model: 'shared',
      tier: 'guarded',
      schema: world.home.schema,
      role: world.home.role,
      ownerRole: world.home.ownerRole,
      epoch: 1,
    },
  })) as TenantHome[]
  const homes: TenantHomes = {
    ...world.homes,
    ...homesOf([...sharing, world.twin]),
    findShared: world.homes.findShared,
  }
  const progress: string[] = []
  const report = await migrationsOf(homes).up({
    onProgress: ({ done, total, tenant }) => void progress.push(`${done}/${total} ${tenant}`),
  })
  expect(progress).toEqual(['1/3 shared', '2/3 shared tenants', `3/3 ${world.twin.key}`])
  expect(report.tenants).toEqual([
    { key: 'shared tenants', applied: ['1_log'], members: 2 },
    { key: world.twin.key, applied: ['1_log'] },
  ])
  await folder.write({ '2_bad.sql': 'create materialized view m as select * from log' })
  const { failed, tenants, unchanged, heldBack } = await migrationsOf(homes).up()
  expect(failed).toMatchObject([{ key: 'shared tenants', members: 2, error: { code: 'TNY407' } }])
  // Its file is going to change: a tenant that had the former text would be another one for ever.
  expect(heldBack).toBe('2_bad')
  expect(tenants).toEqual([])
  expect(unchanged).toBe(1)
  expect((await migrationsOf(homes).status()).tenants).toEqual([
    { key: 'shared tenants', status: 'active', applied: 1, pending: ['2_bad'], members: 2 },
    { key: world.twin.key, status: 'active', applied: 1, pending: ['2_bad'] },
  ])
  await folder.write({
    '2_bad.sql': 'create view m as select * from log',
    '3_more.sql': 'create table more ()',
  })
  expect((await migrationsOf(homes).up()).tenants).toEqual([
    { key: 'shared tenants', applied: ['2_bad', '3_more'], members: 2 },
    { key: world.twin.key, applied: ['2_bad', '3_more'] },
  ])
  await folder.write({ '4_bad.sql': 'create materialized view n as select * from log' })
  const nobodyShares = { ...homes, list: homesOf([world.twin]).list.bind(homes) }
  expect(await migrationsOf(nobodyShares).up()).toMatchObject({
    tenants: [{ key: world.twin.key, applied: ['4_bad'] }],
    failed: [],
  })
  await folder.remove('3_more.sql', '4_bad.sql')
  await world.drop()
})

test(
  'suspended tenants are migrated, new ones have the rows, erased ones leave none',
  { timeout: 60_000 },
  async () => {
    const plane = createControlPlane({
      connection: database.adminUrl,
      migrations: { tenant: folder.path, shared: shared.path },
      seed: async (db) => void (await db.query("insert into plans values ('own')")),
    })
    await folder.remove('2_bad.sql')
    await folder.write({
      '2_plans.sql': "create table plans (name text primary key); insert into plans values ('free')",
    })
    const { id: first, home } = await plane.tenants.create({ key: 'first', model: 'shared' })
    const { id: idle } = await plane.tenants.create({ key: 'idle', model: 'shared' })
    await plane.tenants.suspend('idle')
    await folder.write({ '3_pro.sql': "insert into plans values ('pro')" })
    expect((await plane.migrate.up()).tenants).toEqual([
      { key: 'shared tenants', applied: ['3_pro'], members: 2 },
    ])
    const { id: late } = await plane.tenants.create({ key: 'late', model: 'shared' })
    const plansOf = async (id: string): Promise<unknown> =>
      (await database.sql(`select name from ${home.schema}.plans where tenant_id = '${id}' order by 1`)).map(
        ({ name }) => name as string,
      )
    for (const id of [first, idle, late]) expect(await plansOf(id)).toEqual(['free', 'own', 'pro'])
    await plane.tenants.delete('first', { confirm: 'first' })
    expect(await plansOf(first)).toEqual([])
    expect(await plansOf(late)).toEqual(['free', 'own', 'pro'])
    await plane.close()
  },
)
