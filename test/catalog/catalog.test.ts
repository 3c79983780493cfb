import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { CATALOG_CHANNEL, CATALOG_MIGRATIONS, CATALOG_VERSION } from '../../src/catalog/catalog-migrations.ts'
import { readCatalogVersion, requireCatalog } from '../../src/catalog/catalog-version.ts'
import { installCatalog } from '../../src/catalog/install-catalog.ts'
import { newTenantId } from '../../src/catalog/tenant-id.ts'
import { findTenant, tenantHomes } from '../../src/catalog/tenant-store.ts'
import { type ControlPlane, createControlPlane } from '../../src/control-plane.ts'
import type { AdminDatabase } from '../../src/core/database.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let database: TestDatabase
let admin: AdminDatabase
let app: AdminDatabase
let control: ControlPlane

beforeAll(async () => {
  database = await createTestDatabase()
  admin = createAdminDatabase(database.adminUrl)
  app = createAdminDatabase(database.appUrl)
  control = createControlPlane({ connection: database.adminUrl })
})
afterAll(async () => {
  await Promise.all([admin.close(), app.close(), control.close()])
  await database.drop()
})

describe('installing', () => {
  test('two at once are safe: one installs, the other finds nothing to do; again changes nothing', async () => {
    const empty = await createTestDatabase({ installed: false })
    const db = createAdminDatabase(empty.adminUrl)
    try {
      expect(await readCatalogVersion(db)).toBe(0)
      await expect(requireCatalog(db)).rejects.toMatchObject({ code: 'TNY005' })
      const lazy = createControlPlane({ connection: empty.adminUrl })
      await expect(lazy.tenants.list()).rejects.toMatchObject({ code: 'TNY005' })
      const runs = await Promise.all([installCatalog(db), installCatalog(db), installCatalog(db)])
      expect(runs.flat()).toHaveLength(CATALOG_VERSION)
      expect(await readCatalogVersion(db)).toBe(CATALOG_VERSION)
      const before = await empty.sql('select * from tenantry.settings order by name')
      expect(await installCatalog(db)).toEqual([])
      expect(await empty.sql('select * from tenantry.settings order by name')).toEqual(before)
      // The same control plane goes on once the catalog is there.
      expect(await lazy.tenants.list()).toEqual([])
      await lazy.close()
    } finally {
      await db.close()
      await empty.drop()
    }
  })

  test('TNY009 without the runtime login, and nothing is left; TNY002 for another one than the catalog serves', async () => {
    const empty = await createTestDatabase({ installed: false })
    const db = createAdminDatabase(empty.adminUrl)
    try {
      const nobody = installCatalog(db, { runtimeLogin: 'no_such_login' })
      await expect(nobody).rejects.toMatchObject({ code: 'TNY009' })
      expect(await readCatalogVersion(db)).toBe(0)
    } finally {
      await db.close()
      await empty.drop()
    }
    const other = installCatalog(admin, { runtimeLogin: 'tenantry_admin' })
    await expect(other).rejects.toMatchObject({ code: 'TNY002' })
  })

  test('TNY008 where the catalog is newer than this code', async () => {
    const newer = [CATALOG_VERSION + 1, 'from the future']
    await database.sql('insert into tenantry.migrations (version, name) values ($1, $2)', newer)
    try {
      await expect(installCatalog(admin)).rejects.toMatchObject({ code: 'TNY008' })
      await expect(requireCatalog(app)).rejects.toMatchObject({ code: 'TNY008' })
    } finally {
      await database.sql('delete from tenantry.migrations where version = $1', newer.slice(0, 1))
    }
    await expect(requireCatalog(app)).resolves.toBeUndefined()
  })
})

test('a catalog of version 2 keeps its tenants, and gets the newest version’s rights', async () => {
  const older = await createTestDatabase()
  const [owner, runtime] = [createAdminDatabase(older.adminUrl), createAdminDatabase(older.appUrl)]
  try {
    await older.sql('drop schema tenantry cascade')
    await owner.transaction(async (tx) => {
      await tx.query(`create schema tenantry;
        create table tenantry.migrations (
          version integer primary key, name text not null, applied_at timestamptz not null default now())`)
      for (const { version, name, sql } of CATALOG_MIGRATIONS.slice(0, 2)) {
        await tx.query(sql)
        await tx.query('insert into tenantry.migrations (version, name) values ($1, $2)', [version, name])
      }
      await tx.query(
        `insert into tenantry.tenants (id, name, status, plan, settings, model, tier, schema_name, role_name, owner_role, epoch)
         values ('t1', 'Acme', 'active', 'free', '{}', 'schema', 'guarded', 'tenant_acme', 'r', 'o', 1)`,
      )
      await tx.query(`insert into tenantry.keys (key, tenant_id, is_alias) values ('acme', 't1', false)`)
    })
    expect(await installCatalog(owner)).toEqual(CATALOG_MIGRATIONS.slice(2).map(({ name }) => name))
    await expect(requireCatalog(runtime)).resolves.toBeUndefined()
    expect(await findTenant(runtime, { key: 'acme' })).toMatchObject({ id: 't1', status: 'active' })
    expect(await findTenant(runtime, { domain: 'shop.acme.com' })).toBeUndefined()
    await expect(runtime.query('select from tenantry.api_keys')).rejects.toMatchObject({ code: '42501' })
    const { rows } = await runtime.query(`select tenantry.find_api_key('') as key`)
    expect(rows).toEqual([{ key: null }])
  } finally {
    await Promise.all([owner.close(), runtime.close()])
    await older.drop()
  }
})

test('the runtime login reads what resolving needs and nothing else; tenants and strangers nothing', async () => {
  const { home } = await control.tenants.create({ key: 'rights' })
  const rows = await database.sql<{ who: string; what: string; may: string[] }>(
    `select who, c.relname as what, array(select p from unnest(array['SELECT','INSERT','UPDATE','DELETE','TRUNCATE']) p
       where has_table_privilege(who, c.oid, p)) as may
     from pg_class c, unnest($1::text[]) who
     where c.relnamespace = 'tenantry'::regnamespace and c.relkind in ('r', 'v', 'S')`,
    [['tenantry_app', 'public', 'tenantry_tenants', home.role, home.ownerRole]],
  )
  const allowed = rows
    .filter(({ may }) => may.length > 0)
    .map(({ who, what, may }) => `${who} ${may.join()} ${what}`)
  expect(allowed.sort()).toEqual([
    'tenantry_app SELECT keys',
    'tenantry_app SELECT migrations',
    'tenantry_app SELECT tenants',
  ])
  const columns = await database.sql<{ who: string; what: string }>(
    `select who, c.relname || '.' || a.attname as what
     from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attnum > 0, unnest($1::text[]) who
     where c.relnamespace = 'tenantry'::regnamespace and c.relname in ('domains', 'api_keys')
       and has_column_privilege(who, c.oid, a.attnum, 'SELECT')
     order by 2`,
    [['tenantry_app', 'public', 'tenantry_tenants', home.role, home.ownerRole]],
  )
  expect(columns.map(({ who, what }) => `${who} ${what}`)).toEqual([
    'tenantry_app domains.domain',
    'tenantry_app domains.tenant_id',
    'tenantry_app domains.verified_at',
  ])
  const [usage] = await database.sql(
    `select has_schema_privilege($1, 'tenantry', 'USAGE') as tenant,
       has_schema_privilege('public', 'tenantry', 'USAGE') as everybody,
       array(select p.proname::text from pg_proc p where p.pronamespace = 'tenantry'::regnamespace
         and has_function_privilege($1, p.oid, 'EXECUTE')) as calls`,
    [home.role],
  )
  expect(usage).toEqual({ tenant: true, everybody: false, calls: ['current_tenant'] })
  await expect(app.query("update tenantry.tenants set plan = 'gold'")).rejects.toMatchObject({
    code: '42501',
  })
})

test('findTenant is one round trip by key, alias or id, also where the application replaced the parsers', async () => {
  const made = await control.tenants.create({ key: 'found', settings: { a: [1] } })
  const tenant = await control.tenants.rename('found', { key: 'found-now' })
  for (const ref of [{ key: 'found' }, { key: 'found-now' }, { id: made.id }]) {
    let trips = 0
    const counted: Pick<AdminDatabase, 'query'> = {
      query: (text, values) => (trips++, app.query(text, values)),
    }
    expect(await findTenant(counted, ref)).toEqual(tenant)
    expect(trips).toBe(1)
  }
  for (const ref of [{ key: 'nobody' }, { id: 'found' }, { key: made.id }, { key: 'a\0' }]) {
    expect(await findTenant(app, ref)).toBeUndefined()
  }
  const client = new pg.Client({
    connectionString: database.appUrl,
    types: { getTypeParser: () => (text: string) => text } as unknown as pg.CustomTypesConfig,
  })
  await client.connect()
  try {
    const strange = {
      query: (text: string, values?: readonly unknown[]) => client.query(text, [...(values ?? [])]),
    }
    expect(await findTenant(strange as never, { key: 'found' })).toEqual(tenant)
  } finally {
    await client.end()
  }
})

test('I8: every change of a tenant or its names is told on the channel, with the tenant’s id and the name', async () => {
  const client = new pg.Client(database.appUrl)
  await client.connect()
  const heard = new Set<string>()
  client.on('notification', ({ channel, payload }) => heard.add(`${channel} ${payload ?? ''}`))
  await client.query(`listen ${CATALOG_CHANNEL}`)
  const told = async (change: () => Promise<unknown>): Promise<string[]> => {
    heard.clear()
    await change()
    // Whatever was committed before is delivered before this is answered.
    await client.query('select 1')
    return [...heard].sort()
  }
  try {
    const { id } = await control.tenants.create({ key: 'told', id: "it's \\odd".replaceAll(' ', '_') })
    const itself = `${CATALOG_CHANNEL} ${id}`
    await told(() => Promise.resolve())
    expect(await told(() => control.tenants.rename('told', { key: 'told-now' }))).toEqual([
      itself,
      `${itself} told`,
      `${itself} told-now`,
    ])
    expect(await told(() => control.tenants.suspend('told'))).toEqual([itself])
    expect(await told(() => control.tenants.resume('told'))).toEqual([itself])
    expect(await told(() => database.sql("delete from tenantry.keys where key = 'told'"))).toEqual([
      `${itself} told`,
    ])
    expect(
      await told(() => database.sql("update tenantry.tenants set plan = 'x' where id = $1", [id])),
    ).toEqual([itself])

    // A claim is no news: whoever may claim must not be able to wake every process.
    const { record } = await control.domains.add('told-now', 'told.example')
    const lookup = (): Promise<string[][]> => Promise.resolve([[record.value]])
    expect(await told(() => control.domains.verify('told.example', { lookup }))).toEqual([
      `${itself} told.example`,
    ])
    expect(await told(() => control.domains.remove('told-now', 'told.example'))).toEqual([
      `${itself} told.example`,
    ])
    const { key } = await control.apiKeys.create('told-now', { name: 'one' })
    expect(await told(() => control.apiKeys.revoke(key.id))).toEqual([`${itself} ${key.id}`])
    // By hand: both tenants must hear of it.
    const other = await control.tenants.create({ key: 'other' })
    await told(() => Promise.resolve())
    await told(() => database.sql("insert into tenantry.keys values ('moved', $1, true)", [id]))
    const moved = await told(() =>
      database.sql("update tenantry.keys set tenant_id = $1 where key = 'moved'", [other.id]),
    )
    expect(moved).toEqual([`${itself} moved`, `${CATALOG_CHANNEL} ${other.id} moved`].sort())
    expect(await told(() => control.tenants.delete('told-now', { confirm: 'told-now' }))).toEqual(
      [itself, `${itself} ${key.id}`, `${itself} told-now`].sort(),
    )
  } finally {
    await client.end()
  }
})

test('tenantHomes pages through those whose schema is complete', async () => {
  const keys = ['home-a', 'home-b', 'home-c', 'home-d', 'home-e']
  for (const key of keys) await control.tenants.create({ key })
  await control.tenants.suspend('home-b')
  await database.sql(
    "update tenantry.tenants set status = 'provisioning' where name = 'home-c'; update tenantry.tenants set status = 'archived' where name = 'home-d'",
  )
  const seen: string[] = []
  for await (const { key, status, home } of tenantHomes(admin, 2).list()) {
    expect(home.schema).toMatch(/^tenant_/)
    if (key.startsWith('home-')) seen.push(`${key} ${status}`)
  }
  expect(seen).toEqual(['home-a active', 'home-b suspended', 'home-e active'])
})

test('uuids of version 7 sort by time', () => {
  expect(newTenantId(0x0123456789ab)).toMatch(/^01234567-89ab-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
  expect(newTenantId(1000) < newTenantId(1001)).toBe(true)
  expect(new Set(Array.from({ length: 1000 }, () => newTenantId(5))).size).toBe(1000)
})

test('a cloned catalog does not hand out roles that the original uses', async () => {
  await control.tenants.create({ key: 'original' })
  const { home } = await control.tenants.create({ key: 'used' })
  // As in a clone: the pool still lists a pair that a tenant of the other database has.
  await database.sql(
    "insert into tenantry.role_pool (role_name, owner_role, created_at) values ($1, $2, '2000-01-01'), ('tny_gone', 'tny_gone_o', '2000-01-01')",
    [home.role, home.ownerRole],
  )
  const { home: fresh } = await control.tenants.create({ key: 'fresh' })
  expect([home.role, 'tny_gone']).not.toContain(fresh.role)
})
