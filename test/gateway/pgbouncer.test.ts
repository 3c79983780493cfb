/** Tenancies through a real PgBouncer in transaction mode: an old one, which knows no prepared statements, and a new one. */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Listener } from '../../src/gateway/listener.ts'
import type { Tenancy } from '../../src/index.ts'
import {
  CARRIES_NAMES,
  findNamingPgBouncer,
  findPgBouncer,
  type PgBouncer,
  startPgBouncer,
} from '../support/pgbouncer.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { BUSY_MS, waitFor } from '../support/wait-for.ts'

const KEYS = ['acme', 'globex', 'hooli', 'initech']
/** THREATS I8: effective within a second everywhere. */
const ONE_SECOND = 1_000 + BUSY_MS

const SETUPS = [
  { pooler: 'pgbouncer', program: findPgBouncer(), preparedStatements: 0 },
  // One, so that it forgets a statement time and again.
  { pooler: CARRIES_NAMES, program: findNamingPgBouncer(), preparedStatements: 1 },
] as const

let world: TenantWorld
beforeAll(async () => {
  world = await createTenantWorld(...KEYS)
})
afterAll(() => world.close())

/** Who owns the rows that a tenant sees, and which backend said so. */
async function look(tenancy: Tenancy, key: string): Promise<{ owners: string[]; pid: number }> {
  const { rows } = await tenancy
    .poolFor(key)
    .query<{ owners: string[]; pid: number }>(
      'select array_agg(distinct owner) as owners, pg_backend_pid() as pid from orders',
    )
  return rows[0] ?? { owners: [], pid: 0 }
}

function keyAt(index: number): string {
  return KEYS[index % KEYS.length] ?? ''
}

async function codeOf(promise: Promise<unknown> | undefined): Promise<string> {
  return Promise.resolve(promise).then(
    () => 'none',
    (error: unknown) => {
      const { code, cause } = error as { code?: string; cause?: { code?: string } }
      return cause?.code ?? code ?? String(error)
    },
  )
}

describe.each(SETUPS)('through $pooler in transaction mode', ({ pooler, program, preparedStatements }) => {
  describe.skipIf(program === undefined).each([1, 8])('with %i connections to the server', (poolSize) => {
    let bouncer: PgBouncer
    let tenancy: Tenancy
    beforeAll(async () => {
      bouncer = await startPgBouncer({ program, poolSize, preparedStatements })
      tenancy = world.open({
        connection: bouncer.through(world.db.appUrl),
        direct: world.db.appUrl,
        pooler,
        max: 16,
      })
      await tenancy.ready()
    })
    afterAll(async () => {
      await tenancy.close({ timeoutMs: 1_000 })
      await bouncer.stop()
    })

    test('S23: interleaved statements, a fifth of which fail, reach their own tenants on backends that all share', async () => {
      const pids = new Map<string, Set<number>>(KEYS.map((key) => [key, new Set<number>()]))
      await Promise.all(
        Array.from({ length: 1_000 }, async (_, index) => {
          const key = keyAt(index)
          if (index % 5 === 4) {
            const failing = tenancy.poolFor(key).query('select owner, 1 / $1::int from orders', [0])
            expect(await codeOf(failing)).toBe('22012')
            return
          }
          const { owners, pid } = await look(tenancy, key)
          expect(owners).toEqual([key])
          pids.get(key)?.add(pid)
        }),
      )
      const all = new Set([...pids.values()].flatMap((set) => [...set]))
      expect(all.size).toBeLessThanOrEqual(poolSize)
      // More tenants than one used the same backend; with one backend, all of them.
      const sum = [...pids.values()].reduce((total, set) => total + set.size, 0)
      expect(sum).toBeGreaterThan(all.size)
    })

    test('transactions of many tenants at once commit and roll back as they should', async () => {
      await Promise.all(
        Array.from({ length: 40 }, async (_, index) => {
          const key = keyAt(index)
          const done = tenancy.run(key, () =>
            tenancy.transaction(
              async (client) => {
                await client.query('insert into orders (owner, note) values ($1, $2)', [key, `t${index}`])
                const result = await client.query('select distinct owner from orders')
                expect(result?.rows).toEqual([{ owner: key }])
                if (index % 4 === 0) throw new Error('changed my mind')
              },
              index % 3 === 0 ? { isolation: 'repeatable read' } : {},
            ),
          )
          expect(await codeOf(done)).toBe(index % 4 === 0 ? 'Error: changed my mind' : 'none')
        }),
      )
      for (const key of KEYS) {
        const kept = Array.from({ length: 40 }, (_, index) => index).filter(
          (index) => keyAt(index) === key && index % 4 !== 0,
        )
        const { rows } = await tenancy
          .poolFor(key)
          .query<{ note: string }>("delete from orders where note like 't%' returning note")
        expect(rows.map(({ note }) => note).sort()).toEqual(kept.map((index) => `t${index}`).sort())
      }
    })

    test('savepoints keep the context, and an error inside ends with ROLLBACK TO', async () => {
      const client = await tenancy.poolFor('acme').connect()
      await client.query('begin')
      await client.query('set transaction isolation level serializable')
      await client.query('savepoint first')
      expect(await codeOf(client.query('select 1 / 0'))).toBe('22012')
      expect(await codeOf(client.query('select 1'))).toBe('25P02')
      await client.query('rollback to savepoint first')
      const result = await client.query(
        "select owner, current_setting('transaction_isolation') as level from orders limit 1",
      )
      expect(result?.rows).toEqual([{ owner: 'acme', level: 'serializable' }])
      await client.query('rollback')
      client.release()
    })

    test('P2, P3: nothing of a tenant stays on a backend, whatever became of its transaction', async () => {
      const left = await tenancy.poolFor('globex').connect()
      await left.query('begin')
      await left.query("set local statement_timeout = '30s'")
      await left.query('delete from orders')
      left.release()
      const timedOut = await tenancy.poolFor('hooli').connect()
      await timedOut.query('begin')
      await timedOut.query("set local statement_timeout = '10ms'")
      expect(await codeOf(timedOut.query('select pg_sleep(5)'))).toBe('57014')
      timedOut.release()
      const states = await Promise.all(
        Array.from({ length: 16 }, () =>
          tenancy.central.query(`select current_user as "user", current_setting('search_path') as path,
            coalesce(current_setting('app.current_tenant', true), '') as tenant,
            current_setting('statement_timeout') as timeout`),
        ),
      )
      for (const { rows } of states) {
        expect(rows).toEqual([{ user: 'tenantry_app', path: '"$user", public', tenant: '', timeout: '0' }])
      }
      expect((await look(tenancy, 'globex')).owners).toEqual(['globex'])
    })

    test('I8: a suspension is heard over `direct` and effective within a second', async () => {
      expect((await tenancy.health()).listening).toBe(true)
      const refused = async (): Promise<boolean> =>
        (await codeOf(tenancy.poolFor('initech').query('select 1'))) !== 'none'
      expect(await refused()).toBe(false)
      await world.plane.tenants.suspend('initech')
      expect(await waitFor(refused)).toBeLessThan(ONE_SECOND)
      await world.plane.tenants.resume('initech')
      expect(await waitFor(async () => !(await refused()))).toBeLessThan(ONE_SECOND)
    })
  })
})

describe.skipIf(findPgBouncer() === undefined)('where `pooler` was forgotten', () => {
  let bouncer: PgBouncer
  let url: string
  beforeAll(async () => {
    bouncer = await startPgBouncer({ poolSize: 2 })
    url = bouncer.through(world.db.appUrl)
  })
  afterAll(() => bouncer.stop())

  /** Who got whose answer, while a third client takes one of the two backends now and then. */
  async function askInTurns(ask: Readonly<Record<string, () => Promise<string>>>): Promise<Set<string>> {
    const holder = new pg.Client(url)
    await holder.connect()
    const answers = new Set<string>()
    for (let round = 0; round < 6; round += 1) {
      if (round % 2 === 1) await holder.query('begin')
      for (const [who, question] of Object.entries(ask)) answers.add(`${who} got ${await question()}`)
      if (round % 2 === 1) await holder.query('rollback')
    }
    await holder.end()
    return answers
  }

  test('P1: the unsafe control: a name means what the backend at hand was told, and one statement runs as another', async () => {
    const [first, second, third] = [url, url, url].map((each) => new pg.Client(each))
    if (first === undefined || second === undefined || third === undefined) throw new Error('no clients')
    await Promise.all([first.connect(), second.connect(), third.connect()])
    const ask = (client: pg.Client, name: string, said: string) => (): Promise<string> =>
      client.query<{ said: string }>({ name, text: `select '${said}' as said` }).then(
        ({ rows }) => rows[0]?.said ?? '',
        (error: unknown) => (error as { code: string }).code,
      )
    // Each prepares the name on a backend of its own.
    await first.query('begin')
    await ask(first, 'a', 'first')()
    await ask(second, 'a', 'second')()
    await first.query('commit')
    const answers = await askInTurns({ first: ask(first, 'a', 'first'), second: ask(second, 'a', 'second') })
    expect([...answers].filter((answer) => /first got second|second got first/.test(answer))).not.toEqual([])
    // The name is taken, or is not there.
    expect(await ask(third, 'a', 'third')()).toBe('42P05')
    expect(await askInTurns({ third: ask(third, 'b', 'third') })).toContain('third got 26000')
    await Promise.all([first.end(), second.end(), third.end()])
  })

  test('P1: a tenancy finds the pooler out by itself, and no statement runs as another', async () => {
    const [first, second] = [1, 1].map((max) => world.open({ connection: url, direct: world.db.appUrl, max }))
    if (first === undefined || second === undefined) throw new Error('no tenancies')
    await Promise.all([first.ready(), second.ready()])
    const ask = (pool: Pick<Tenancy['pool'], 'query'>, said: string) => async (): Promise<string> => {
      const asked = pool.query<{ said: string }>(`select '${said}' as said`)
      return asked.then(({ rows }) => rows[0]?.said ?? '', codeOf.bind(undefined, asked))
    }
    const firstPool = first.poolFor('acme')
    const secondPool = second.poolFor('globex')
    const client = await firstPool.connect()
    await client.query('begin')
    // More than once: a text gets its name when it comes again.
    for (let round = 0; round < 4; round += 1) {
      await client.query("select 'first' as said")
      await ask(secondPool, 'second')()
    }
    await client.query('commit')
    client.release()
    const answers = await askInTurns({ first: ask(firstPool, 'first'), second: ask(secondPool, 'second') })
    expect(answers).toEqual(new Set(['first got first', 'second got second']))
  })
})

describe.skipIf(findPgBouncer() === undefined)('LISTEN through PgBouncer', () => {
  describe.each([1, 8])('in transaction mode with %i connections to the server', (poolSize) => {
    let bouncer: PgBouncer
    beforeAll(async () => {
      bouncer = await startPgBouncer({ poolSize })
    })
    afterAll(() => bouncer.stop())

    test('I8: the unsafe control: it answers every heartbeat, tells its own notifications, and nobody else’s', async () => {
      const url = bouncer.through(world.db.appUrl)
      const heard: string[] = []
      const [client, pooled, direct] = [url, url, world.db.appUrl].map((each) => new pg.Client(each))
      if (client === undefined || pooled === undefined || direct === undefined) throw new Error('no clients')
      await Promise.all([client.connect(), pooled.connect(), direct.connect()])
      client.on('notification', ({ payload = '' }) => heard.push(payload))
      await client.query('listen a_channel')
      for (let round = 0; round < 10; round += 1) {
        await client.query("notify a_channel, 'own'")
        await pooled.query("notify a_channel, 'through the pooler'")
        await direct.query("notify a_channel, 'direct'")
        await sleep(5)
        await client.query('select 1')
      }
      await Promise.all([client.end(), pooled.end(), direct.end()])
      expect(new Set(heard)).toEqual(new Set(['own']))
    })

    test('I8: the listener finds out, so that nothing in memory is trusted', async () => {
      const lost: unknown[] = []
      let listening = 0
      const listener = new Listener({
        config: { connectionString: bouncer.through(world.db.appUrl) },
        channel: 'tenantry_catalog',
        heartbeatMs: 100,
        onNotification: () => undefined,
        onLost: (error) => lost.push(error),
        onListening: () => (listening += 1),
      })
      await listener.start()
      await waitFor(() => lost.length >= 3)
      expect(lost).toEqual(lost.map(() => expect.objectContaining({ code: 'TNY220' })))
      expect(listening).toBe(0)
      expect(listener.silence).toBe(Infinity)
      await listener.close()
    })

    test('I8: where `direct` was forgotten, a suspension is effective at once, since each look-up asks', async () => {
      const tenancy = world.open({
        connection: bouncer.through(world.db.appUrl),
        pooler: 'pgbouncer',
        max: 4,
      })
      const told: unknown[] = []
      tenancy.on('listener:lost', ({ error }) => told.push(error))
      for (let round = 0; round < 3; round += 1) {
        expect((await look(tenancy, 'hooli')).owners).toEqual(['hooli'])
        await world.plane.tenants.suspend('hooli')
        expect(await codeOf(tenancy.poolFor('hooli').query('select 1'))).toBe('TNY211')
        await world.plane.tenants.resume('hooli')
      }
      expect((await tenancy.health()).listening).toBe(false)
      expect(told[0]).toMatchObject({ code: 'TNY220' })
    })
  })

  test('in session mode, notifications are delivered, and the listener finds that out too', async () => {
    const bouncer = await startPgBouncer({ poolSize: 8, poolMode: 'session' })
    const heard: string[] = []
    const listener = new Listener({
      config: { connectionString: bouncer.through(world.db.appUrl) },
      channel: 'tenantry_catalog',
      heartbeatMs: 200,
      onNotification: (payload) => heard.push(payload),
      onLost: () => undefined,
      onListening: () => undefined,
    })
    await listener.start()
    await waitFor(() => listener.silence < 300)
    await world.plane.tenants.suspend('acme')
    await waitFor(() => heard.includes(world.tenants['acme']?.id ?? '?'))
    await world.plane.tenants.resume('acme')
    expect(heard.filter((payload) => payload === '')).toEqual([])
    await listener.close()
    await bouncer.stop()
  })
})
