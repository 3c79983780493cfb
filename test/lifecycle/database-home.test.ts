import { randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ControlPlane, createControlPlane, type Tenant } from '../../src/index.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { createLogins } from '../../src/isolation/logins.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { describeOnVersions } from '../support/versions.ts'
import { residueOf, tracesOf } from './residue.ts'

const MASTER_KEY = 'a master key for tests and long enough to be one'

describeOnVersions('a database of a tenant’s own', [15, 18], (version) => {
  /** Databases belong to the whole server, so that the keys of this file are nobody else's. */
  const suffix = randomBytes(4).toString('hex')
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-databases-'))
  let database: TestDatabase
  let control: ControlPlane

  beforeAll(async () => {
    mkdirSync(join(folder, 'tenant'))
    writeFileSync(
      join(folder, 'tenant', '1_orders.sql'),
      '-- Up Migration\ncreate table orders (id bigint generated always as identity primary key, customer text)',
    )
    database = await createTestDatabase({ version })
    control = createControlPlane({
      connection: database.adminUrl,
      migrations: { tenant: join(folder, 'tenant') },
      seed: async (db, { key }) => {
        await db.query('insert into orders (customer) values ($1)', [key])
      },
      masterKey: MASTER_KEY,
    })
  })
  afterAll(async () => {
    await control.close()
    await database.drop()
    rmSync(folder, { recursive: true })
  })

  const keyOf = (name: string): string => `${name}-${suffix}`
  const databaseOf = ({ home }: Tenant): string => home.database ?? ''
  const create = (name: string, more: Partial<Parameters<ControlPlane['tenants']['create']>[0]> = {}) =>
    control.tenants.create({ key: keyOf(name), model: 'database', ...more })

  /** As the superuser, in the tenant's database. */
  async function inside(name: string, text: string): Promise<unknown[]> {
    const client = new pg.Client(Object.assign(new URL(database.superuserUrl), { pathname: `/${name}` }).href)
    await client.connect()
    try {
      return (await client.query<Record<string, unknown>>(text)).rows
    } finally {
      await client.end()
    }
  }

  async function connectOutcome(url: string, name: string): Promise<string> {
    const client = new pg.Client(Object.assign(new URL(url), { pathname: `/${name}` }).href)
    return client.connect().then(
      async () => {
        await client.end()
        return 'connected'
      },
      (error: unknown) => (error as { code: string }).code,
    )
  }

  test('is made from the template, with the tenant’s tables, its rows, and nobody’s right to connect', async () => {
    const tenant = await create('acme')
    expect(tenant.home).toMatchObject({
      model: 'database',
      tier: 'sealed',
      database: `tenant_acme_${suffix}`,
      schema: 'tenant',
    })
    expect(await inside(databaseOf(tenant), 'select customer from tenant.orders')).toEqual([
      { customer: tenant.key },
    ])
    const [facts] = await database.sql(
      `select rolname as owner, datistemplate as template, datallowconn as open, datconnlimit as limit,
         array(select coalesce(g.rolname, 'PUBLIC') || ' ' || a.privilege_type
           from aclexplode(datacl) a left join pg_roles g on g.oid = a.grantee order by 1) as rights
       from pg_database d join pg_roles r on r.oid = d.datdba where datname = $1`,
      [databaseOf(tenant)],
    )
    expect(facts).toEqual({
      owner: 'tenantry_admin',
      template: false,
      open: true,
      limit: -1,
      rights: [
        'tenantry_admin CONNECT',
        'tenantry_admin CREATE',
        'tenantry_admin TEMPORARY',
        `${tenant.home.role} CONNECT`,
      ],
    })
    expect(await control.tenants.enforcement(tenant.key)).toBe('database')
    const other = await create('globex')
    expect(await connectOutcome(database.appUrl, databaseOf(tenant))).toBe('42501')
    expect(await connectOutcome(database.adminUrl, databaseOf(other))).toBe('connected')
    // The unsafe control: with PostgreSQL's own defaults everybody may.
    await database.sql(`create database "open_${suffix}"`)
    expect(await connectOutcome(database.appUrl, `open_${suffix}`)).toBe('connected')
    await database.sql(`drop database "open_${suffix}" with (force)`)
  })

  test('of the guarded tier lets the runtime login in, which enters the tenant’s role', async () => {
    const tenant = await create('guarded', { tier: 'guarded' })
    const client = new pg.Client(
      Object.assign(new URL(database.appUrl), { pathname: `/${databaseOf(tenant)}` }).href,
    )
    await client.connect()
    await client.query(`set role ${tenant.home.role}`)
    expect((await client.query('select customer from tenant.orders')).rows).toEqual([
      { customer: tenant.key },
    ])
    await client.end()
    // Rights are per database, and here the admin alone has hardened.
    expect(await control.tenants.enforcement(tenant.key)).toBe('guard')
    await control.tenants.suspend(tenant.key)
    const again = new pg.Client(
      Object.assign(new URL(database.appUrl), { pathname: `/${databaseOf(tenant)}` }).href,
    )
    await again.connect()
    await expect(again.query(`set role ${tenant.home.role}`)).rejects.toMatchObject({ code: '42501' })
    await again.end()
    await control.tenants.delete(tenant.key, { confirm: tenant.key })
  })

  test('I5: a database of that name which is somebody else’s is never taken', async () => {
    await database.sql(`create database "tenant_taken_${suffix}" owner tenantry_admin`)
    const tenant = await create('taken')
    expect(tenant.home.database).toBe(`tenant_taken_${suffix}_2`)
    await control.tenants.delete(tenant.key, { confirm: tenant.key })
    expect(await connectOutcome(database.adminUrl, `tenant_taken_${suffix}`)).toBe('connected')
    await database.sql(`drop database "tenant_taken_${suffix}" with (force)`)
  })

  test('I5: neither is one that appears after the name was chosen, closed as ours are', async () => {
    const key = keyOf('late')
    const tenant = await create('late', {
      onStep: () => undefined,
      seed: async () => {
        throw new Error('stop')
      },
    }).then(
      () => undefined,
      async () => control.tenants.get(key),
    )
    expect(tenant?.status).toBe('provisioning')
    const name = tenant?.home.database ?? ''
    // As if CREATE DATABASE had not run yet, and another catalog's tenant had the name now.
    await database.sql('update tenantry.operations set steps = $2 where tenant_id = $1', [
      tenant?.id,
      ['reserve'],
    ])
    await database.sql(`drop database "${name}" with (force)`)
    await database.sql(
      `create database "${name}" owner tenantry_admin allow_connections false connection limit 1073741825`,
    )
    const made = await control.tenants.create({ key, model: 'database' })
    expect(made.id).toBe(tenant?.id)
    expect(made.home.database).toBe(`${name}_2`)
    await control.tenants.delete(key, { confirm: key })
    expect(
      await database.sql('select datconnlimit as limit from pg_database where datname = $1', [name]),
    ).toEqual([{ limit: 1073741825 }])
    await database.sql(`drop database "${name}"`)
  })

  test.for(['sealed', 'guarded'] as const)(
    'V3: erasing a %s one leaves neither database, role nor right, though connections rest in it',
    async (tier) => {
      const tenant = await create(`gone-${tier}`, { tier })
      const traces = await tracesOf(database, tenant)
      // What pools and poolers keep; the runtime login's cannot be ended by just anybody.
      const resting = new pg.Client(
        Object.assign(new URL(tier === 'guarded' ? database.appUrl : database.adminUrl), {
          pathname: `/${databaseOf(tenant)}`,
        }).href,
      )
      const ended = new Promise((resolve) => resting.on('error', resolve))
      await resting.connect()
      await control.tenants.delete(tenant.key, { confirm: tenant.key })
      expect(await ended).toMatchObject({ code: '57P01' })
      expect(await residueOf(database, traces)).toEqual([])
      expect(
        await database.sql('select 1 from pg_database where datname = $1', [databaseOf(tenant)]),
      ).toEqual([])
    },
  )

  test(
    'work that is under way is waited for, and told of where it does not end',
    { timeout: 60_000 },
    async () => {
      const tenant = await create('busy', { tier: 'guarded' })
      const worker = new pg.Client(
        Object.assign(new URL(database.appUrl), { pathname: `/${databaseOf(tenant)}` }).href,
      )
      await worker.connect()
      await worker.query('begin')
      const { rows } = await worker.query<{ pid: number }>('select pg_backend_pid() as pid')
      await expect(control.tenants.delete(tenant.key, { confirm: tenant.key })).rejects.toMatchObject({
        code: 'TNY306',
        message: expect.stringContaining(`in use by the server processes ${rows[0]?.pid}`),
      })
      expect((await worker.query("select 'still here' as answer")).rows).toEqual([{ answer: 'still here' }])
      await worker.end()
      await control.tenants.delete(tenant.key, { confirm: tenant.key })
      await expect(control.tenants.get(tenant.key)).rejects.toMatchObject({ code: 'TNY302' })
    },
  )

  test('one that is marked for another catalog is not dropped, and the tenant not called erased', async () => {
    const tenant = await create('copied')
    const name = databaseOf(tenant)
    const [mark] = await database.sql<{ mark: string }>(
      "select shobj_description(oid, 'pg_database') as mark from pg_database where datname = $1",
      [name],
    )
    expect(mark?.mark).toContain(tenant.id)
    // What a copy of the catalog's database finds: the same ids, in a database of another name.
    await database.sql(`comment on database "${name}" is '${mark?.mark.replace(database.name, 'original')}'`)
    const refused = control.tenants.delete(tenant.key, { confirm: tenant.key })
    await expect(refused).rejects.toMatchObject({ code: 'TNY306', cause: { code: 'TNY311' } })
    expect(await inside(name, 'select customer from tenant.orders')).toHaveLength(1)
    expect((await control.tenants.get(tenant.key)).status).toBe('archived')
    const hint = await refused.catch((error: { cause: { hint: string } }) => error.cause.hint)
    await database.sql(String(hint).slice(String(hint).indexOf('comment on')))
    await control.tenants.delete(tenant.key, { confirm: tenant.key })
    expect(await database.sql('select 1 from pg_database where datname = $1', [name])).toEqual([])
  })

  test('has the trusted extensions of the catalog’s database, and its way of sorting', async () => {
    await database.sql(
      'create extension if not exists citext; create schema ext; create extension pg_trgm schema ext',
    )
    const tenant = await create('extended')
    expect(
      await inside(
        databaseOf(tenant),
        `select e.extname as name, n.nspname as schema from pg_extension e
         join pg_namespace n on n.oid = e.extnamespace order by 1`,
      ),
    ).toEqual([
      { name: 'citext', schema: 'public' },
      { name: 'pg_trgm', schema: 'ext' },
      { name: 'plpgsql', schema: 'pg_catalog' },
    ])
    const locale = `select pg_encoding_to_char(encoding) as encoding, datcollate, datctype, datlocprovider from pg_database
      where datname = current_database()`
    expect(await inside(databaseOf(tenant), locale)).toEqual(await database.sql(locale))
  })

  test('the template is made once, is closed to everybody, and is made anew after an end in the middle', async () => {
    await create('first')
    const find = (): Promise<{ oid: string; name: string; open: boolean; template: boolean }[]> =>
      database.sql(
        `select oid::text, datname as name, datallowconn as open, datistemplate as template from pg_database
         where shobj_description(oid, 'pg_database') like 'tenantry: template % in ' || $1`,
        [database.name],
      )
    const [before, ...others] = await find()
    expect(others).toEqual([])
    expect(before).toMatchObject({ open: false, template: true })
    await Promise.all([create('second'), create('third')])
    expect(await find()).toEqual([before])
    // As it is left by an end in the middle: open to its owner, and not finished.
    const name = before?.name ?? ''
    await database.sql(`comment on database ${name} is 'tenantry: template, being made'`)
    await database.sql(`alter database ${name} is_template false allow_connections true`)
    const plane = createControlPlane({ connection: database.adminUrl, masterKey: MASTER_KEY, migrations: {} })
    await Promise.all([create('fourth'), plane.tenants.create({ key: keyOf('fifth'), model: 'database' })])
    await plane.close()
    const [after] = await find()
    expect(after).toMatchObject({ name, open: false, template: true })
    expect(after?.oid).not.toBe(before?.oid)
  })

  test('a login that may create no database is told so, before anything is reserved', async () => {
    const other = await createTestDatabase({ version })
    await other.sql(`create role no_db_${suffix} login createrole password 'secret' in role tenantry_admin`)
    const connection = Object.assign(new URL(other.adminUrl), {
      username: `no_db_${suffix}`,
      password: 'secret',
    }).href
    const plane = createControlPlane({ connection, masterKey: MASTER_KEY, migrations: {} })
    await expect(plane.tenants.create({ key: keyOf('never'), model: 'database' })).rejects.toMatchObject({
      code: 'TNY310',
      hint: expect.stringContaining(`alter role "no_db_${suffix}" createdb`),
    })
    expect(await other.sql('select from tenantry.tenants')).toEqual([])
    await plane.close()
    await other.sql(`drop role no_db_${suffix}`)
    await other.drop()
  })

  test.for([
    { may: 'createdb', given: true },
    // From 16 on only who may create databases lets others do so.
    { may: 'nocreatedb', given: version === 15 },
  ])('an owner with $may, no superuser, makes an admin that may or may not', async ({ may, given }) => {
    const other = await createTestDatabase({ version, installed: false })
    const [owner, admin, app] = ['owner', 'admin', 'app'].map((name) => `${name}_${may}_${suffix}`)
    if (owner === undefined || admin === undefined || app === undefined) throw new Error('no names')
    await other.sql(`create role ${owner} login createrole ${may} password 'secret'`)
    await other.sql(`alter database ${other.name} owner to ${owner}`)
    await other.sql(`grant tenantry_tenants, tenantry_owners, tenantry_sealed to ${owner} with admin option`)
    const url = Object.assign(new URL(other.superuserUrl), { username: owner, password: 'secret' }).href
    const connection = createAdminDatabase(url, 1)
    await createLogins(connection, { admin, app })
    await connection.close()
    const [facts] = await other.sql(
      `select rolcreatedb as able, pg_has_role($1, $2, 'MEMBER WITH ADMIN OPTION') as ends,
         pg_has_role($1, $2, 'USAGE') as inherits from pg_roles where rolname = $1`,
      [admin, app],
    )
    expect(facts).toEqual({ able: given, ends: version > 15, inherits: false })
    await other.sql(
      `drop owned by ${admin}, ${app} cascade; alter database ${other.name} owner to tenantry_admin`,
    )
    await other.sql(`drop role ${app}, ${admin}`)
    await other.sql(`drop owned by ${owner} cascade; drop role ${owner}`)
    await other.drop()
  })
})
