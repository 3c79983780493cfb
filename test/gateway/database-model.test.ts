/** Tenants with a database each, and a tenancy over them: what one pool promises holds across databases. */
import { randomBytes } from 'node:crypto'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { from } from 'pg-copy-streams'
import Cursor from 'pg-cursor'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  type ControlPlane,
  createControlPlane,
  createTenancy,
  type GatewayPool,
  type Tenancy,
  type TenancyOptions,
  type Tenant,
} from '../../src/index.ts'
import { createKeyring } from '../../src/isolation/master-key.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { findPgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { BUSY_MS, waitFor } from '../support/wait-for.ts'

const MASTER_KEY = 'a master key for tests and long enough to be one'
/** Databases belong to the whole server. */
const suffix = randomBytes(4).toString('hex')
const KEYS = {
  sealed: `sealed-${suffix}`,
  second: `second-${suffix}`,
  guarded: `guarded-${suffix}`,
  schema: 'plain',
}
const folder = mkdtempSync(join(tmpdir(), 'tenantry-databases-'))

let db: TestDatabase
let plane: ControlPlane
let tenants: Record<keyof typeof KEYS, Tenant>
const opened: Tenancy[] = []

function open(options: TenancyOptions = {}): Tenancy {
  const tenancy = createTenancy({ connection: db.appUrl, masterKey: MASTER_KEY, ...options })
  opened.push(tenancy)
  return tenancy
}

beforeAll(async () => {
  mkdirSync(join(folder, 'tenant'))
  writeFileSync(
    join(folder, 'tenant', '1_orders.sql'),
    '-- Up Migration\ncreate table orders (id bigint generated always as identity primary key, owner text, note text)',
  )
  db = await createTestDatabase()
  plane = createControlPlane({
    connection: db.adminUrl,
    migrations: { tenant: join(folder, 'tenant') },
    masterKey: MASTER_KEY,
    seed: async (tx, { key }) => {
      await tx.query('insert into orders (owner) select $1 from generate_series(1, 3)', [key])
    },
  })
  const create = (key: string, more: object): Promise<Tenant> => plane.tenants.create({ key, ...more })
  tenants = {
    sealed: await create(KEYS.sealed, { model: 'database' }),
    second: await create(KEYS.second, { model: 'database' }),
    guarded: await create(KEYS.guarded, { model: 'database', tier: 'guarded' }),
    schema: await create(KEYS.schema, {}),
  }
  await db.sql(`
    set role tenantry_admin;
    create table public.plans (name text primary key, price int);
    insert into public.plans values ('free', 0), ('pro', 20);
    grant select on public.plans to tenantry_tenants;
    create table public.users (id int primary key, tenant_id text not null, email text);
    select tenantry.protect('public.users');
    reset role`)
})
afterAll(async () => {
  await Promise.all(opened.map((tenancy) => tenancy.close({ timeoutMs: 1_000 })))
  await plane.close()
  await db.drop()
  rmSync(folder, { recursive: true })
})

async function codeOf(promise: Promise<unknown> | undefined): Promise<string> {
  return Promise.resolve(promise).then(
    () => 'none',
    (error: unknown) => (error as { code: string }).code,
  )
}

async function place(pool: Pick<GatewayPool, 'query'>): Promise<unknown> {
  const { rows } = await pool.query(`select current_database() as database, session_user as login,
    current_user as role, array_agg(distinct owner) as owners from orders`)
  return rows[0]
}

function placeOf(name: keyof typeof KEYS): object {
  const { home, key } = tenants[name]
  return {
    database: home.database ?? db.name,
    login: home.tier === 'sealed' ? home.role : 'tenantry_app',
    role: home.role,
    owners: [key],
  }
}

/** Sessions that a tenant's database has, as the server says. */
async function sessionsOf(name: keyof typeof KEYS): Promise<number> {
  const [row] = await db.sql<{ n: number }>(
    'select count(*)::int as n from pg_stat_activity where datname = $1 and usename = any ($2)',
    [tenants[name].home.database, [tenants[name].home.role, 'tenantry_app']],
  )
  return row?.n ?? -1
}

describe('one tenancy over many databases', () => {
  test('a statement goes to its tenant’s database, by the login that may be there', async () => {
    const tenancy = open({ max: 3 })
    for (const name of ['sealed', 'schema', 'guarded', 'second', 'sealed'] as const) {
      expect(await place(tenancy.poolFor(KEYS[name]))).toEqual(placeOf(name))
    }
    expect(await tenancy.run(KEYS.sealed, () => place(tenancy.pool))).toEqual(placeOf('sealed'))
  })

  test('more databases than connections: all are served, and no tenant has another’s rows', async () => {
    const tenancy = open({ max: 2 })
    await Promise.all(
      Array.from({ length: 60 }, async (_, index) => {
        const name = (['sealed', 'second', 'guarded', 'schema'] as const)[index % 4] ?? 'schema'
        expect(await place(tenancy.poolFor(KEYS[name]))).toEqual(placeOf(name))
      }),
    )
    expect((await tenancy.health()).connections.total).toBeLessThanOrEqual(2)
  })

  test('its connections are opened on demand and closed when they rest', async () => {
    const tenancy = open({ idleTimeoutMs: 200 })
    await tenancy.ready()
    const before = await sessionsOf('second')
    await place(tenancy.poolFor(KEYS.second))
    expect(await sessionsOf('second')).toBe(before + 1)
    await waitFor(async () => (await sessionsOf('second')) <= before)
    expect(await place(tenancy.poolFor(KEYS.second))).toEqual(placeOf('second'))
  })

  test.each(['sealed', 'guarded'] as const)(
    'S16: transactions, cursors, COPY and a cancel work in a %s tenant’s database; LISTEN is refused',
    async (name) => {
      const tenancy = open({ max: 2 })
      const pool = tenancy.poolFor(KEYS[name])
      await tenancy.run(KEYS[name], () =>
        tenancy
          .transaction(
            async (client) => {
              await client.query('savepoint here')
              expect(await codeOf(client.query('select 1 / 0'))).toBe('22012')
              await client.query('rollback to savepoint here')
              await client.query("insert into orders (owner, note) values ('x', 'undone')")
              await client.query('rollback')
            },
            { isolation: 'serializable' },
          )
          .catch(() => undefined),
      )
      expect((await pool.query("select from orders where note = 'undone'")).rowCount).toBe(0)
      const client = await pool.connect()
      const cursor = client.query(new Cursor<{ id: number }>('select id::int from orders order by id'))
      expect(await cursor.read(2)).toEqual([{ id: 1 }, { id: 2 }])
      await cursor.close()
      await pipeline(
        Readable.from(['copied\tone\n', 'copied\ttwo\n']),
        client.query(from('copy orders (owner, note) from stdin')),
      )
      client.release()
      expect((await pool.query("delete from orders where owner = 'copied'")).rowCount).toBe(2)
      const slow = pool.query({ text: 'select pg_sleep(30)', signal: AbortSignal.timeout(100) })
      const startedAt = performance.now()
      expect(await codeOf(slow)).not.toBe('none')
      expect(performance.now() - startedAt).toBeLessThan(3_000 + BUSY_MS)
      expect(await codeOf(pool.query('listen a_channel'))).toBe('TNY210')
      expect(await place(pool)).toEqual(placeOf(name))
    },
  )

  test('S1: no login reaches the database of a tenant that is not its own', async () => {
    const keyring = createKeyring(MASTER_KEY)
    const { id, home } = tenants.sealed
    const own = { user: home.role, password: keyring.secretOf(id, home.keyId ?? '') }
    const outcome = async (login: { user: string; password: string }, database = ''): Promise<string> => {
      const { hostname, port } = new URL(db.appUrl)
      const client = new pg.Client({ host: hostname, port: Number(port), ...login, database })
      const code = await codeOf(client.connect())
      if (code === 'none') await client.end()
      return code
    }
    const app = { user: 'tenantry_app', password: new URL(db.appUrl).password }
    // What is its own shows that the others are refused for what they are.
    expect(await outcome(own, home.database)).toBe('none')
    expect(await outcome(own, tenants.second.home.database)).toBe('42501')
    expect(await outcome(own, tenants.guarded.home.database)).toBe('42501')
    expect(await outcome(app, home.database)).toBe('42501')
    expect(await outcome(app, tenants.guarded.home.database)).toBe('none')
  })

  test('S4: after an escape from its role there is nothing of another tenant in a guarded one’s database', async () => {
    const victim = tenants.schema.home
    /** What the application's login reads of the schema tenant, once it has left its tenant's role. */
    const escape = async (database: string): Promise<string | number> => {
      const client = new pg.Client(Object.assign(new URL(db.appUrl), { pathname: `/${database}` }).href)
      await client.connect()
      try {
        await client.query(`set role ${tenants.guarded.home.role}; reset role; set role ${victim.role}`)
        return (await client.query(`select * from ${victim.schema}.orders`)).rows.length
      } catch (error) {
        return (error as { code: string }).code
      } finally {
        await client.end()
      }
    }
    expect(await escape(tenants.guarded.home.database ?? '')).toBe('42P01')
    // The unsafe control: where tenants have a schema each, the same words read its rows.
    expect(await escape(db.name)).toBe(3)
  })

  test.each(['second', 'guarded'] as const)(
    'I8: the suspension of the %s one is effective within a second, and so is its end',
    async (name) => {
      const tenancy = open()
      const refused = async (): Promise<boolean> =>
        (await codeOf(tenancy.poolFor(KEYS[name]).query('select 1'))) === 'TNY211'
      expect(await refused()).toBe(false)
      await plane.tenants.suspend(KEYS[name])
      expect(await waitFor(refused)).toBeLessThan(1_000 + BUSY_MS)
      await plane.tenants.resume(KEYS[name])
      expect(await waitFor(async () => !(await refused()))).toBeLessThan(1_000 + BUSY_MS)
      expect(await place(tenancy.poolFor(KEYS[name]))).toEqual(placeOf(name))
    },
  )
})

describe('tables that all tenants share', () => {
  test.each(['sealed', 'guarded', 'schema'] as const)(
    'S27: the %s one reaches them through `shared`, as itself: what is granted, and its own rows',
    async (name) => {
      const tenancy = open()
      await tenancy.run(KEYS[name], async ({ id }) => {
        expect((await tenancy.shared.query('select name from plans order by name')).rows).toEqual([
          { name: 'free' },
          { name: 'pro' },
        ])
        expect(await codeOf(tenancy.shared.query('delete from plans'))).toBe('42501')
        const number = id.charCodeAt(id.length - 1) * 1000 + id.charCodeAt(id.length - 2)
        await tenancy.shared.query('insert into users (id, email) values ($1, $2)', [number, name])
        const { rows } = await tenancy.shared.query('select tenant_id, email from users')
        expect(rows).toEqual([{ tenant_id: id, email: name }])
        // Its own tables are not in reach there: two places with one name each are never taken for each other.
        expect(await codeOf(tenancy.shared.query('select * from orders'))).toBe('42P01')
      })
    },
  )

  test('a tenant with a database cannot join them to its own, and is told what is not there', async () => {
    const tenancy = open()
    const join = 'select count(*)::int as n from orders cross join plans'
    for (const name of ['sealed', 'guarded'] as const) {
      await expect(tenancy.poolFor(KEYS[name]).query(join)).rejects.toMatchObject({
        code: '42P01',
        message: 'relation "plans" does not exist',
      })
    }
    expect((await tenancy.poolFor(KEYS.schema).query(join)).rows).toEqual([{ n: 6 }])
  })
})

describe('a migration of the fleet', () => {
  test('reaches every database, and processes that serve them use no plan of before', async () => {
    const tenancy = open({ max: 1 })
    const columns = async (name: keyof typeof KEYS): Promise<number> => {
      const { fields } = await tenancy.poolFor(KEYS[name]).query('select * from orders')
      return fields.length
    }
    for (const name of ['sealed', 'guarded', 'schema'] as const) {
      // Often enough to get a name on the connection.
      for (let turn = 0; turn < 3; turn += 1) expect(await columns(name)).toBe(3)
    }
    writeFileSync(
      join(folder, 'tenant', '2_total.sql'),
      '-- Up Migration\nalter table orders add column total int',
    )
    const { tenants: done, failed } = await plane.migrate.up()
    expect(failed).toEqual([])
    expect(done.every(({ applied }) => applied.length === 1)).toBe(true)
    for (const name of ['sealed', 'guarded', 'schema', 'sealed'] as const) {
      await waitFor(async () => (await columns(name).catch(() => 0)) === 4)
    }
  })
})

describe.skipIf(findPgBouncer() === undefined)('through PgBouncer', () => {
  test('every database is reached by one wildcard, each tenant by its own login', async () => {
    const keyring = createKeyring(MASTER_KEY)
    const moreLogins = [tenants.sealed, tenants.second].map(({ id, home }) => {
      const parts = { username: home.role, password: keyring.secretOf(id, home.keyId ?? '') }
      return Object.assign(new URL(db.appUrl), parts).href
    })
    const bouncer = await startPgBouncer({ poolSize: 2, moreLogins })
    const tenancy = open({
      connection: bouncer.through(db.appUrl),
      direct: db.appUrl,
      pooler: 'pgbouncer',
      max: 4,
    })
    await Promise.all(
      Array.from({ length: 80 }, async (_, index) => {
        const name = (['sealed', 'second', 'guarded', 'schema'] as const)[index % 4] ?? 'schema'
        expect(await place(tenancy.poolFor(KEYS[name]))).toEqual(placeOf(name))
      }),
    )
    await tenancy.run(KEYS.sealed, async () => {
      expect((await tenancy.shared.query('select count(*)::int as n from plans')).rows).toEqual([{ n: 2 }])
    })
    await tenancy.close({ timeoutMs: 1_000 })
    await bouncer.stop()
  })
})
