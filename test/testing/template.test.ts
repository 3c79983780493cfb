/** Templates and clones: made once, cloned for each file, made anew when what they are made of changes, and cleaned up. */
import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  createTestDatabase,
  type TestDatabase,
  type TestDatabaseOptions,
} from '../../src/testing/test-database.ts'
import { startOwnServer } from '../support/own-server.ts'
import type { EmbeddedServer } from '../../dev/embedded.ts'
import { customersOf, writeMigrations } from './sample-database.ts'

// Roles and databases are counted.
let server: EmbeddedServer
let owner: pg.Pool
const folder = writeMigrations()
const opened: TestDatabase[] = []
beforeAll(async () => {
  server = await startOwnServer(18)
  owner = new pg.Pool({ connectionString: server.superuserUrl, max: 2 })
  // A connection may still be closing as the server stops.
  owner.on('error', () => undefined)
})
afterEach(async () => {
  await Promise.all(opened.splice(0).map((db) => db.drop()))
})
afterAll(async () => {
  await owner.end()
  await server.stop()
  rmSync(folder, { recursive: true, force: true })
})

const seed: TestDatabaseOptions['seed'] = async (db, { key }) => {
  await db.query('insert into orders (customer) values ($1)', [`first of ${key}`])
}

async function open(options: Partial<TestDatabaseOptions> = {}): Promise<TestDatabase> {
  const db = await createTestDatabase({
    tenants: ['acme', 'globex'],
    migrations: { shared: join(folder, 'shared'), tenant: join(folder, 'tenant') },
    server: server.superuserUrl,
    seed,
    ...options,
  })
  opened.push(db)
  return db
}

async function namesOf(sql: string): Promise<string[]> {
  return (await owner.query<{ name: string }>(sql)).rows.map(({ name }) => name)
}
const templates = () =>
  namesOf(
    "select datname as name from pg_database where datistemplate and datname ~ '^tenantry_test_\\w+_template_'",
  )
const clones = () =>
  namesOf(
    "select datname as name from pg_database where datname ~ '^tenantry_test_[0-9a-f]{8}_[0-9a-f]{16}_'",
  )
const roles = () => namesOf("select rolname as name from pg_roles where rolname like 'tny_%' order by 1")

/** Clones keep the rows' identity, which says when they were written. */
async function seededAt(db: TestDatabase): Promise<unknown> {
  return (await db.tenancy.poolFor('acme').query('select xmin::text, tableoid::text from orders')).rows
}

describe('a clone', () => {
  test('has tenants with migrations and first rows, and is nobody else’s', async () => {
    const [one, two] = await Promise.all([open(), open()])
    expect(Object.keys(one.tenants).toSorted()).toEqual(['acme', 'globex'])
    expect(one.tenants['acme']).toEqual(two.tenants['acme'])
    await one.tenancy.poolFor('acme').query("insert into orders (customer) values ('mine')")
    expect(await customersOf(one, 'acme')).toEqual(['first of acme', 'mine'])
    expect(await customersOf(two, 'acme')).toEqual(['first of acme'])
    expect(await templates()).toHaveLength(1)
    expect(await clones()).toHaveLength(2)
  })

  test('is isolated as in production: the server holds each tenant in', async () => {
    const db = await open()
    expect(await db.controlPlane.tenants.enforcement('acme')).toBe('database')
    const { home } = db.tenants['globex'] ?? {}
    const foreign = db.tenancy.poolFor('acme').query(`select * from ${home?.schema}.orders`)
    await expect(foreign).rejects.toMatchObject({ code: '42501' })
  })

  test('reset() brings back the beginning, under the same tenancy and URLs', async () => {
    const db = await open()
    await db.tenancy.poolFor('acme').query("insert into orders (customer) values ('committed')")
    const created = await db.controlPlane.tenants.create({ key: 'initech' })
    expect(await customersOf(db, 'initech')).toEqual(['first of initech'])
    await db.reset()
    expect(await customersOf(db, 'acme')).toEqual(['first of acme'])
    await expect(customersOf(db, 'initech')).rejects.toMatchObject({ code: 'TNY209' })
    expect(await roles()).not.toContain(created.home.role)
  })

  test('leaves nothing but the template, whatever tests have made in it', async () => {
    await (await open()).drop()
    opened.length = 0
    const before = await roles()
    const db = await open()
    await db.controlPlane.tenants.create({ key: 'initech' })
    await db.controlPlane.tenants.create({ key: 'umbrella', model: 'database' })
    await db.controlPlane.tenants.create({ key: 'hooli', model: 'shared', tier: 'sealed' })
    expect(await customersOf(db, 'umbrella')).toEqual(['first of umbrella'])
    await db.drop()
    opened.length = 0
    expect(await clones()).toEqual([])
    expect(await roles()).toEqual(before)
    expect(
      await namesOf("select datname as name from pg_database where datname !~ '_template_' order by 1"),
    ).toEqual(['postgres', 'template0', 'template1'])
  })

  test('cannot take its tenants’ roles from the other clones', async () => {
    const { controlPlane, tenants } = await open()
    const { tenants: admin } = controlPlane
    await expect(admin.suspend('acme')).rejects.toMatchObject({ code: 'TNY041' })
    await expect(admin.delete(tenants['acme']?.id ?? '', { confirm: 'acme' })).rejects.toMatchObject({
      code: 'TNY041',
    })
    await admin.create({ key: 'initech' })
    await admin.suspend('initech')
  })
})

describe('shared and sealed tenants', () => {
  test('are cloned too', async () => {
    const tenants = [
      'acme',
      { key: 'globex', model: 'shared' },
      { key: 'initech', model: 'shared' },
      { key: 'hooli', tier: 'sealed' },
    ] as const
    for (let round = 1; round <= 2; round += 1) {
      const db = await open({ tenants, migrations: { tenant: join(folder, 'tenant') } })
      await db.inTransaction(async () => {
        for (const key of ['acme', 'globex', 'initech', 'hooli']) {
          expect(await customersOf(db, key)).toEqual([`first of ${key}`])
          await db.tenancy.poolFor(key).query("insert into orders (customer) values ('undone')")
          expect(await customersOf(db, key)).toHaveLength(2)
        }
      })()
      expect(await customersOf(db, 'globex')).toEqual(['first of globex'])
      expect(await customersOf(db, 'hooli')).toEqual(['first of hooli'])
    }
  })

  test('a tenant with a database of its own is refused before anything is made', async () => {
    const umbrella = open({ tenants: [{ key: 'umbrella', model: 'database' }] })
    await expect(umbrella).rejects.toMatchObject({ code: 'TNY041' })
  })
})

describe('a template', () => {
  test('is made anew when a migration, the seed, its version or the tenants change, and not otherwise', async () => {
    const known = new Set(await templates())
    const isNew = async (options: Partial<TestDatabaseOptions>): Promise<boolean> => {
      await open({ version: 'changes', ...options })
      const found = (await templates()).filter((name) => !known.has(name))
      for (const name of found) known.add(name)
      return found.length > 0
    }
    expect(await isNew({})).toBe(true)
    expect(await isNew({})).toBe(false)
    expect(await isNew({ seed: async () => {} })).toBe(true)
    expect(await isNew({ tenants: ['acme'] })).toBe(true)
    expect(await isNew({ version: 'other' })).toBe(true)
    const file = join(folder, 'tenant', '2_later.sql')
    writeFileSync(file, '-- Up Migration\nalter table orders add column later text;\n')
    expect(await isNew({})).toBe(true)
    const { rows } = (await opened.at(-1)?.tenancy.poolFor('acme').query('select later from orders')) ?? {}
    expect(rows).toEqual([{ later: null }])
    rmSync(file)
    expect(await isNew({})).toBe(false)
  })

  test('that somebody damaged, or whose maker died, is made anew', async () => {
    const first = await open({ version: 'damaged' })
    const before = await seededAt(first)
    await first.drop()
    opened.length = 0
    const role = first.tenants['acme']?.home.role ?? ''
    const [revoke = ''] = await namesOf(
      `select format('revoke %s from %s granted by %s', roleid::regrole, member::regrole, grantor::regrole) as name
       from pg_auth_members where roleid = '${role}'::regrole and member::regrole::text like 'tenantry_test_app_%'`,
    )
    await owner.query(revoke)
    const second = await open({ version: 'damaged' })
    expect(await customersOf(second, 'acme')).toEqual(['first of acme'])
    expect(await seededAt(second)).not.toEqual(before)
    expect(await roles()).not.toContain(role)
  })

  test('is not there where its migrations or seed failed, and the next attempt makes it', async () => {
    const failing = open({ version: 'half', seed: 'no/such/file.sql' })
    await expect(failing).rejects.toMatchObject({ code: 'ENOENT' })
    let fails = true
    const options = {
      version: 'half',
      async seed(db) {
        if (fails) throw new Error('no rows today')
        await db.query("insert into orders (customer) values ('at last')")
      },
    } satisfies Partial<TestDatabaseOptions>
    await expect(open(options)).rejects.toMatchObject({ code: 'TNY306' })
    fails = false
    expect(await customersOf(await open(options), 'acme')).toEqual(['at last'])
  })
})

test('a login with CREATEDB and CREATEROLE is enough', async () => {
  await owner.query(`create role builder login createdb createrole password 'secret';
    grant tenantry_tenants, tenantry_sealed, tenantry_owners to builder with admin option`)
  const url = Object.assign(new URL(server.superuserUrl), { username: 'builder', password: 'secret' })
  for (let round = 1; round <= 2; round += 1) {
    const db = await open({ server: url.href, version: 'builder' })
    await db.controlPlane.tenants.create({ key: 'initech' })
    expect(await customersOf(db, 'initech')).toEqual(['first of initech'])
    await db.reset()
    expect(await customersOf(db, 'acme')).toEqual(['first of acme'])
    await db.drop()
    opened.length = 0
  }
  expect(await clones()).toEqual([])
})
