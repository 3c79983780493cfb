import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { findNamingPgBouncer, findPgBouncer, type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { waitFor } from '../support/wait-for.ts'
import { createSealedWorld, MASTER_KEY, type SealedWorld } from './sealed-world.ts'

describe('many sealed tenants on few connections', () => {
  const COUNT = 50
  let world: SealedWorld
  beforeAll(async () => {
    world = await createSealedWorld()
    for (let n = 0; n < COUNT; n++) await world.create(`many-${n}`)
    await world.create('guarded', { tier: 'guarded' })
  }, 120_000)
  afterAll(() => world?.close(), 120_000)

  test('P6: all are served, never by more connections than `max`, and none much less than another', async () => {
    const max = 4
    const tenancy = world.open({ max, waitTimeoutMs: 30_000 })
    await tenancy.ready()
    let [working, most] = [true, 0]
    const watching = (async () => {
      while (working) {
        const [now] = await world.db.sql<{ count: number }>(
          `select count(*)::int as count from pg_stat_activity where datname = current_database()
             and application_name = 'tenantry' and query not like 'listen%' and backend_type = 'client backend'
             and usename <> 'tenantry_admin'`,
        )
        most = Math.max(most, now?.count ?? 0)
      }
    })()
    const served = new Map<string, number>()
    const until = performance.now() + 6_000
    const longest: number[] = []
    await Promise.all(
      Array.from({ length: COUNT + 1 }, async (_, n) => {
        const key = n === COUNT ? 'guarded' : `many-${n}`
        while (performance.now() < until) {
          const since = performance.now()
          const { rows } = await tenancy.poolFor(key).query<{ text: string }>('select text from notes')
          expect(rows).toEqual([{ text: `canary of ${key}` }])
          longest.push(performance.now() - since)
          served.set(key, (served.get(key) ?? 0) + 1)
        }
      }),
    )
    working = false
    await watching
    expect(served.size).toBe(COUNT + 1)
    // One more listens to the catalog.
    expect(most).toBeLessThanOrEqual(max + 1)
    const counts = [...served.values()].toSorted((a, b) => a - b)
    expect(counts[0]).toBeGreaterThan((counts[COUNT / 2] ?? 0) / 10)
    expect(Math.max(...longest)).toBeLessThan(5_000)
  }, 60_000)
})

describe('a few sealed tenants that are always in use', () => {
  let world: SealedWorld
  const keys = Array.from({ length: 8 }, (_, n) => `hot-${n}`)
  beforeAll(async () => {
    world = await createSealedWorld()
    for (const key of keys) await world.create(key)
  })
  afterAll(() => world?.close())

  test('keep their connections, however their demand changes from moment to moment', async () => {
    const tenancy = world.open({ max: 16 })
    await tenancy.ready()
    let [opened, done] = [0, 0]
    tenancy.on('connection:open', () => (opened += 1))
    const until = performance.now() + 3_000
    await Promise.all(
      Array.from({ length: 32 }, async () => {
        while (performance.now() < until) {
          const key = keys[Math.floor(Math.random() * keys.length)] ?? ''
          await tenancy.poolFor(key).query('select text from notes')
          done += 1
        }
      }),
    )
    expect(done).toBeGreaterThan(200)
    // Each place may change hands a few times before all have their share.
    expect(opened).toBeLessThan(60)
  })
})

const PROGRAMS = [
  ['the installed PgBouncer', findPgBouncer()],
  ['a PgBouncer that carries names', findNamingPgBouncer()],
] as const

describe.each(PROGRAMS)('%s', (_, program) => {
  describe.skipIf(program === undefined)('with sealed logins', () => {
    let world: SealedWorld
    let pooler: PgBouncer
    const login = `pooler_${randomBytes(6).toString('hex')}`

    beforeAll(async () => {
      world = await createSealedWorld()
      // As docs/guides/poolers.md has it.
      await world.db.sql(`
        create role ${login} login password 'not a secret';
        create schema pooler authorization ${login};
        create function pooler.find_login(name text) returns table (username text, secret text)
          language sql stable security definer set search_path = pg_catalog, pg_temp as $$
            select r.rolname::text, r.rolpassword from pg_authid r
            where r.rolname = find_login.name and r.rolcanlogin and pg_has_role(r.oid, 'tenantry_sealed', 'MEMBER')
              and not r.rolsuper $$;
        revoke execute on function pooler.find_login from public;
        grant execute on function pooler.find_login to ${login}`)
      pooler = await startPgBouncer({
        poolSize: 1,
        program,
        moreLogins: [
          Object.assign(new URL(world.db.appUrl), { username: login, password: 'not a secret' }).href,
        ],
        settings: {
          server_login_retry: '1',
          query_wait_timeout: '3',
          auth_user: login,
          auth_query: 'select username, secret from pooler.find_login($1)',
        },
      })
    })
    afterAll(async () => {
      await pooler?.stop()
      await world?.close()
      const client = new pg.Client(world.db.superuserUrl.replace(/\/[^/]*$/, '/postgres'))
      await client.connect()
      await client.query(`drop role if exists ${login}`)
      await client.end()
    })

    test('P1: each tenant has server connections of its own, in transaction mode too', async () => {
      for (const key of ['acme', 'globex']) await world.create(key)
      await world.create('initech', { tier: 'guarded' })
      const tenancy = world.open({
        connection: pooler.through(world.db.appUrl),
        direct: world.db.appUrl,
        pooler: program?.carriesNames === true ? 'pgbouncer-prepared' : 'pgbouncer',
      })
      const users = new Map<string, Set<string>>()
      await Promise.all(
        Array.from({ length: 60 }, async (__, turn) => {
          const key = ['acme', 'globex', 'initech'][turn % 3] ?? ''
          const { rows } = await tenancy
            .poolFor(key)
            .query<{ pid: string; who: string; text: string }>(
              'select pg_backend_pid()::text as pid, session_user::text as who, text from notes',
            )
          expect(rows[0]?.text).toBe(`canary of ${key}`)
          const { pid, who } = rows[0] ?? { pid: '', who: '' }
          users.set(pid, (users.get(pid) ?? new Set()).add(who))
        }),
      )
      expect(users.size).toBe(3)
      for (const of of users.values()) expect(of.size).toBe(1)
    })

    test('suspended, resumed and rotated tenants are answered as on direct connections', async () => {
      const pools = {
        connection: pooler.through(world.db.appUrl),
        direct: world.db.appUrl,
        pooler: 'pgbouncer' as const,
      }
      await world.create('hooli')
      const newer = `one more master key of these tests and long enough,${MASTER_KEY}`
      const tenancy = world.open({ ...pools, masterKey: newer })
      const pool = tenancy.poolFor('hooli')
      const read = async (): Promise<unknown[]> => (await pool.query('select text from notes')).rows
      const canary = [{ text: 'canary of hooli' }]
      expect(await read()).toEqual(canary)
      await world.plane.tenants.suspend('hooli')
      await expect(read()).rejects.toMatchObject({ code: 'TNY211' })
      await world.plane.tenants.resume('hooli')
      await waitFor(() => read().then(Boolean, () => false))
      expect(await read()).toEqual(canary)
      await world.openPlane(newer).secrets.rotate()
      expect(await read()).toEqual(canary)
      const { home } = await world.plane.tenants.get('hooli')
      await world.db.sql('select pg_terminate_backend(pid) from pg_stat_activity where usename = $1', [
        home.role,
      ])
      expect(await read()).toEqual(canary)
      expect(await Promise.all(Array.from({ length: 5 }, read))).toEqual(
        Array.from({ length: 5 }, () => canary),
      )
    })
  })
})
