import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { from, to } from 'pg-copy-streams'
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { type ProjectServer, prepareEmbedded } from '../../dev/project.ts'
import { createControlPlane, createTenancy, type Tenancy, type TenancyOptions } from '../../src/index.ts'
import { type FaultProxy, type ProxiedConnection, startFaultProxy } from '../support/fault-proxy.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { waitFor } from '../support/wait-for.ts'

/** What a statement may take on the server, and how long a connection may be silent at most. */
const LIMIT_MS = 1_000
const SILENCE_MS = LIMIT_MS + 5_000
/** What a busy machine may add. */
const MARGIN_MS = 3_000
const OPTIONS: TenancyOptions = { max: 2, statementTimeoutMs: LIMIT_MS, waitTimeoutMs: 3_000 }

let world: TenantWorld
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
})
afterAll(() => world.close())
beforeEach(async () => {
  for (const { home } of Object.values(world.tenants))
    await world.db.sql(`update ${home.schema}.orders set note = null`)
})

interface Line {
  readonly tenancy: Tenancy
  readonly proxy: FaultProxy
}

/** A tenancy behind a proxy, ready; the listener goes directly, so that only the pool is disturbed. */
async function openLine(options: TenancyOptions = {}): Promise<Line> {
  const proxy = await startFaultProxy(world.db.appUrl)
  const tenancy = world.open({ ...OPTIONS, connection: proxy.url, direct: world.db.appUrl, ...options })
  onTestFinished(async () => {
    await tenancy.close({ timeoutMs: 200 })
    await proxy.close()
  })
  await tenancy.poolFor('acme').query('select 1')
  return { tenancy, proxy }
}

interface Outcome {
  readonly code: string | undefined
  readonly error: unknown
  readonly ms: number
}

/** Listens from the start, so that no rejection goes unheard meanwhile. */
async function outcomeOf(work: Promise<unknown> | undefined): Promise<Outcome> {
  const startedAt = performance.now()
  const error: unknown = await work?.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  const { code } = (error ?? {}) as { code?: string }
  return { code, error, ms: performance.now() - startedAt }
}

/** Nobody waits, everything was given back, and the pool counts what is really open. */
async function expectSane({ tenancy, proxy }: Line, max = 2): Promise<void> {
  const { pool } = tenancy
  const counts = (): object => ({
    waiting: pool.waitingCount,
    busy: pool.totalCount - pool.idleCount,
    uncounted: proxy.connections.length - pool.totalCount,
  })
  await waitFor(() => Object.values(counts()).every((count) => count === 0), 3_000).catch(() => undefined)
  expect(counts()).toEqual({ waiting: 0, busy: 0, uncounted: 0 })
  expect(pool.totalCount).toBeLessThanOrEqual(max)
}

/** Both tenants are served, each with its own rows. */
async function expectHealed(line: Line): Promise<void> {
  for (const key of ['acme', 'globex', 'acme', 'globex']) {
    const { rows } = await line.tenancy.poolFor(key).query('select distinct owner from orders')
    expect(rows).toEqual([{ owner: key }])
  }
  await expectSane(line)
}

function expectDeadline({ code, error, ms }: Outcome, expected = 'TNY212'): void {
  expect(code, String((error as Error | undefined)?.stack)).toBe(expected)
  expect((error as Error).cause).toMatchObject({ message: expect.stringMatching(/no answer for \d+ ms/) })
  expect(ms).toBeGreaterThan(LIMIT_MS)
  expect(ms).toBeLessThan(SILENCE_MS + MARGIN_MS)
}

async function notesOf(key: string): Promise<string[]> {
  const { schema = '' } = world.tenants[key]?.home ?? {}
  const rows = await world.db.sql<{ note: string }>(
    `select note from ${schema}.orders where note is not null`,
  )
  return rows.map(({ note }) => note)
}

describe('silence', () => {
  test('P7: a statement in flight whose connection goes silent gets one clear error in time, and later ones heal', async () => {
    const line = await openLine()
    line.proxy.all((connection) => connection.silence())
    expectDeadline(await outcomeOf(line.tenancy.poolFor('acme').query('select * from orders')))
    await expectHealed(line)
  })

  test('P7: half-open connections cost at most one error each', async () => {
    const line = await openLine({ waitTimeoutMs: 15_000 })
    const pool = line.tenancy.poolFor('acme')
    await Promise.all([pool.query('select pg_sleep(0.05)'), pool.query('select pg_sleep(0.05)')])
    expect(pool.idleCount).toBe(2)
    line.proxy.all((connection) => connection.loseServer())
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => outcomeOf(pool.query('select 1'))))
    const failed = outcomes.filter(({ code }) => code !== undefined)
    expect(failed.length).toBeLessThanOrEqual(2)
    for (const outcome of failed) expectDeadline(outcome)
    await expectHealed(line)
  })

  test('P7: a transaction whose connection goes silent ends for its client, and nothing runs outside of it', async () => {
    const line = await openLine()
    const client = await line.tenancy.poolFor('acme').connect()
    await client.query('begin')
    await client.query("update orders set note = 'inside'")
    line.proxy.all((connection) => connection.silence())
    expectDeadline(await outcomeOf(client.query("update orders set note = 'in silence'")))
    const after = await outcomeOf(client.query("update orders set note = 'outside'"))
    expect(after.code).toBe('TNY212')
    expect(after.ms).toBeLessThan(LIMIT_MS)
    await client.query('rollback')
    client.release()
    await expectHealed(line)
    expect(await notesOf('acme')).toEqual([])
  })

  test.each(['TO STDOUT', 'FROM STDIN'] as const)(
    'P7: a COPY %s whose connection goes silent in the middle ends in time',
    async (direction) => {
      const line = await openLine()
      const client = await line.tenancy.poolFor('acme').connect()
      await client.query('begin')
      await client.query('select 1')
      const silence = (): void => line.proxy.all((connection) => connection.silence())
      const copied =
        direction === 'TO STDOUT'
          ? pipeline(
              client.query(to("copy (select repeat('x', 1000) from generate_series(1, 100000)) to stdout")),
              new Writable({
                write(_chunk, _encoding, done) {
                  silence()
                  done()
                },
              }),
            )
          : pipeline(
              async function* () {
                yield 'first\n'
                await sleep(300)
                silence()
                yield 'second\n'
              },
              client.query(from('copy orders (owner) from stdin')),
            )
      expectDeadline(await outcomeOf(copied))
      client.release()
      await expectHealed(line)
    },
  )

  test('P3, P7: releasing a client inside a silent transaction blocks nobody for long', async () => {
    const line = await openLine({ max: 1, waitTimeoutMs: 10_000 })
    const client = await line.tenancy.poolFor('acme').connect()
    await client.query('begin')
    await client.query('select 1')
    line.proxy.all((connection) => connection.silence())
    client.release()
    const { code, ms } = await outcomeOf(line.tenancy.poolFor('globex').query('select 1'))
    expect(code).toBeUndefined()
    expect(ms).toBeLessThan(5_000 + MARGIN_MS)
    await expectSane(line, 1)
  })

  test('P7: what a silent network leaves open on the server is ended by the plan’s limit', async () => {
    const { tenancy, proxy } = await openLine({ limits: () => ({ idleInTransactionTimeoutMs: 400 }) })
    const client = await tenancy.poolFor('acme').connect()
    await client.query('begin')
    await client.query("update orders set note = 'locked'")
    proxy.all((connection) => connection.silence())
    client.release(true)
    // The server never hears of that, and holds the rows' locks.
    const { code, ms } = await outcomeOf(tenancy.poolFor('acme').query('update orders set note = null'))
    expect(code).toBeUndefined()
    expect(ms).toBeLessThan(LIMIT_MS)
  })

  test('P7: new connections that nobody answers: everything fails in time, and heals', async () => {
    const line = await openLine({ waitTimeoutMs: 1_000 })
    line.proxy.arriving((connection) => connection.silence())
    line.proxy.all((connection) => connection.reset())
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, () => outcomeOf(line.tenancy.poolFor('acme').query('select 1'))),
    )
    for (const { code, ms } of outcomes) {
      expect(['TNY202', 'TNY203', 'TNY212']).toContain(code)
      expect(ms).toBeLessThan(1_000 + MARGIN_MS)
    }
    line.proxy.arriving()
    await waitFor(async () => (await outcomeOf(line.tenancy.pool.query('select 1'))).code === 'TNY201', 3_000)
    await waitFor(async () => (await line.tenancy.health()).ok, 3_000)
    await expectHealed(line)
  })

  test('health() and close() hang on no silent server', async () => {
    const { tenancy, proxy } = await openLine({ max: 1 })
    proxy.arriving((connection) => connection.silence())
    proxy.all((connection) => connection.silence())
    const startedAt = performance.now()
    expect((await tenancy.health()).ok).toBe(false)
    expect(performance.now() - startedAt).toBeLessThan(SILENCE_MS + MARGIN_MS)
    const inFlight = outcomeOf(tenancy.poolFor('acme').query('select 1'))
    const closing = await outcomeOf(tenancy.close({ timeoutMs: 300 }))
    expect(closing.ms).toBeLessThan(300 + MARGIN_MS)
    expect((await inFlight).code).toMatch(/^TNY2(02|03|08|12)$/)
    // One that was being opened ends with its own deadline.
    await waitFor(
      () => tenancy.pool.totalCount === 0 && proxy.connections.length === 0,
      SILENCE_MS + MARGIN_MS,
    )
  })

  test('a slow line is no silent one', async () => {
    const line = await openLine()
    line.proxy.arriving((connection) => connection.slow(150))
    line.proxy.all((connection) => connection.slow(150))
    const outcomes = await Promise.all(
      Array.from({ length: 6 }, () => outcomeOf(line.tenancy.poolFor('acme').query('select 1'))),
    )
    expect(outcomes.map(({ code }) => code)).toEqual(Array(6).fill(undefined))
    await expectHealed(line)
  })
})

describe('deadlines', () => {
  test('the server ends a statement at its limit, and the connection lives on', async () => {
    const line = await openLine({ max: 1 })
    const pool = line.tenancy.poolFor('acme')
    const { rows: before } = await pool.query('select pg_backend_pid() as pid')
    const { code, ms } = await outcomeOf(pool.query('select pg_sleep(20)'))
    expect(code).toBe('57014')
    expect(ms).toBeGreaterThan(LIMIT_MS * 0.9)
    expect(ms).toBeLessThan(LIMIT_MS + MARGIN_MS)
    expect((await pool.query('select pg_backend_pid() as pid')).rows).toEqual(before)
    await expectSane(line, 1)
  })

  test('so it does inside a transaction, which then rolls back', async () => {
    const line = await openLine()
    const client = await line.tenancy.poolFor('acme').connect()
    await client.query('begin')
    await client.query("update orders set note = 'too slow'")
    expect((await outcomeOf(client.query('select pg_sleep(20)'))).code).toBe('57014')
    expect((await outcomeOf(client.query('select 1'))).code).toBe('25P02')
    await client.query('rollback')
    client.release()
    expect(await notesOf('acme')).toEqual([])
    await expectHealed(line)
  })

  test('P4: a COMMIT that hangs in a deferred trigger ends in time, and its outcome is not claimed', async () => {
    const line = await openLine()
    const { schema = '' } = world.tenants['acme']?.home ?? {}
    await world.db.sql(`
      create function ${schema}.hang() returns trigger language plpgsql as 'begin perform pg_sleep(9); return null; end';
      grant execute on function ${schema}.hang() to public;
      create constraint trigger hang after insert on ${schema}.orders deferrable initially deferred
        for each row execute function ${schema}.hang()`)
    onTestFinished(async () => {
      await world.db.sql(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where datname = current_database() and wait_event = 'PgSleep'`,
      )
      await world.db.sql(`drop trigger hang on ${schema}.orders`)
    })
    const client = await line.tenancy.poolFor('acme').connect()
    await client.query('begin')
    await client.query("insert into orders (owner) values ('acme')")
    const { code, ms } = await outcomeOf(client.query('commit'))
    client.release()
    // 57014 is the server's word that it rolled back; TNY206 says that nobody knows.
    expect(['57014', 'TNY206']).toContain(code)
    expect(ms).toBeLessThan(SILENCE_MS + MARGIN_MS)
    await expectHealed(line)
  })
})

describe('cuts', () => {
  test.each(['reset', 'close'] as const)(
    'P7: an answer cut in the middle (%s) is an error, never half of its rows',
    async (cut) => {
      const line = await openLine()
      line.proxy.all((connection) => connection.cutAnswerAfter(20_000, cut))
      const pool = line.tenancy.poolFor('acme')
      const { code } = await outcomeOf(pool.query("select repeat('x', 1000) from generate_series(1, 1000)"))
      expect(code).toBe('TNY212')
      await expectHealed(line)
    },
  )

  test('P4: a COMMIT that never reached the server, and one that did, both say that the outcome is unknown', async () => {
    const line = await openLine()
    for (const when of ['before', 'after'] as const) {
      const client = await line.tenancy.poolFor('globex').connect()
      await client.query('begin')
      await client.query('insert into orders (owner, note) values ($1, $2)', ['globex', when])
      line.proxy.all((connection) => connection.onStatement(/^commit/i, when))
      const { code } = await outcomeOf(client.query('commit'))
      expect(code, when).toBe('TNY206')
      client.release()
      await expectHealed(line)
    }
    expect(await notesOf('globex')).toEqual(['after'])
  })

  test('P4: so does tenancy.transaction, and it does the work once', async () => {
    const line = await openLine()
    let runs = 0
    const transaction = line.tenancy.run('globex', () =>
      line.tenancy.transaction(async (client) => {
        runs += 1
        await client.query("update orders set note = 'once'")
        line.proxy.all((connection) => connection.onStatement(/^commit/i, 'after'))
      }),
    )
    expect((await outcomeOf(transaction)).code).toBe('TNY206')
    expect(runs).toBe(1)
    await expectHealed(line)
  })

  test('P4: a COMMIT whose connection goes silent is unknown too, in time', async () => {
    const line = await openLine()
    const client = await line.tenancy.poolFor('acme').connect()
    await client.query('begin')
    await client.query("update orders set note = 'silent'")
    line.proxy.all((connection) => connection.onStatement(/^commit/i, 'after', (silent) => silent.silence()))
    expectDeadline(await outcomeOf(client.query('commit')), 'TNY206')
    client.release()
    expect(new Set(await notesOf('acme'))).toEqual(new Set(['silent']))
    await expectHealed(line)
  })

  test('P4: cut at each byte of the answer, an INSERT and a COMMIT are done once and never claimed', async () => {
    const line = await openLine({ max: 1 })
    const pool = line.tenancy.poolFor('acme')
    const expected: string[] = []
    for (let bytes = 0; bytes < 36; bytes += 1) {
      await pool.query('select 1')
      // The answer to the context comes first, and makes this one twice as long.
      line.proxy.all((connection) => connection.cutAnswerAfter(bytes * 2, 'close'))
      const insert = await outcomeOf(
        pool.query('insert into orders (owner, note) values ($1, $2)', ['acme', `insert ${bytes}`]),
      )
      expected.push(`insert ${bytes}`)
      if (insert.code !== undefined) expect(insert.code).toBe('TNY212')
      // Where the answer was shorter, the cut would come in the next one.
      line.proxy.all((connection) => connection.cutAnswerAfter(Number.POSITIVE_INFINITY, 'close'))
      const client = await pool.connect()
      await client.query('begin')
      await client.query('insert into orders (owner, note) values ($1, $2)', ['acme', `commit ${bytes}`])
      line.proxy.all((connection) => connection.cutAnswerAfter(bytes, 'close'))
      const commit = await outcomeOf(client.query('commit'))
      client.release()
      expected.push(`commit ${bytes}`)
      if (commit.code !== undefined) expect(commit.code).toBe('TNY206')
      if (bytes === 0) expect([insert.code, commit.code]).toEqual(['TNY212', 'TNY206'])
    }
    expect((await notesOf('acme')).sort()).toEqual(expected.sort())
    await expectSane(line, 1)
  })
})

describe('outages', () => {
  /** Twenty callers that never give up, for as long as `during` takes. @returns codes and times of what failed */
  async function underLoad(tenancy: Tenancy, during: () => Promise<void>): Promise<Outcome[]> {
    const failed: Outcome[] = []
    let over = false
    const callers = Array.from({ length: 20 }, async (_, n) => {
      while (!over) {
        const outcome = await outcomeOf(tenancy.poolFor(n % 2 === 0 ? 'acme' : 'globex').query('select 1'))
        if (outcome.code !== undefined) failed.push(outcome)
        await sleep(5)
      }
    })
    await during()
    over = true
    await Promise.all(callers)
    return failed
  }

  /** How long until a statement succeeds again. */
  function healing(tenancy: Tenancy): Promise<number> {
    return waitFor(
      async () => (await outcomeOf(tenancy.poolFor('acme').query('select 1'))).code === undefined,
      10_000,
    )
  }

  test('P7: connections that are refused for 3 s are tried with patience, and it heals within about a second', async () => {
    const line = await openLine({ max: 4 })
    let attempts = 0
    let healedMs = 0
    const failed = await underLoad(line.tenancy, async () => {
      line.proxy.arriving((connection) => connection.reset())
      line.proxy.all((connection) => connection.reset())
      const before = line.proxy.attempts
      await sleep(3_000)
      attempts = line.proxy.attempts - before
      line.proxy.arriving()
      healedMs = await healing(line.tenancy)
    })
    // Four at a time without a pause would be thousands.
    expect(attempts).toBeGreaterThan(2)
    expect(attempts).toBeLessThan(60)
    expect(healedMs).toBeLessThan(1_000 + MARGIN_MS)
    for (const { code, ms } of failed) {
      expect(['TNY202', 'TNY203', 'TNY212']).toContain(code)
      expect(ms).toBeLessThan(3_000 + MARGIN_MS)
    }
    await expectHealedWith(line, 4)
  })

  test('P7: so with a port on which nobody listens', async () => {
    const line = await openLine({ max: 4 })
    let healedMs = 0
    const failed = await underLoad(line.tenancy, async () => {
      await line.proxy.refuse()
      line.proxy.all((connection) => connection.reset())
      await sleep(1_500)
      await line.proxy.accept()
      healedMs = await healing(line.tenancy)
    })
    expect(failed.length).toBeGreaterThan(0)
    expect(healedMs).toBeLessThan(1_000 + MARGIN_MS)
    await expectHealedWith(line, 4)
  })

  async function expectHealedWith(line: Line, max: number): Promise<void> {
    const { rows } = await line.tenancy.poolFor('globex').query('select distinct owner from orders')
    expect(rows).toEqual([{ owner: 'globex' }])
    await expectSane(line, max)
  }
})

describe('servers of their own', () => {
  let folder: string
  const settings = { fsync: 'off', synchronous_commit: 'off', full_page_writes: 'off' }
  const servers: ProjectServer[] = []

  async function start(name: string, port?: number): Promise<ProjectServer> {
    const server = await prepareEmbedded({
      dir: join(folder, name),
      settings,
      ...(port !== undefined && { port }),
    })
    servers.push(server)
    return server
  }

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'tenantry-faults-'))
    const first = await start('first')
    const plane = createControlPlane({ connection: first.adminUrl })
    await plane.tenants.create({ key: 'acme' })
    await plane.close()
    await first.stop()
    // What a replica is in the moment of fail-over: the same data under another address.
    execFileSync('cp', ['-a', join(folder, 'first'), join(folder, 'second')])
  }, 60_000)
  afterAll(async () => {
    await Promise.all(servers.map((server) => server.stop()))
    rmSync(folder, { recursive: true, force: true })
  }, 60_000)

  /** How many backends of that server are in pg_sleep. */
  async function sleeping({ superuserUrl }: ProjectServer): Promise<number> {
    const client = new pg.Client(superuserUrl)
    await client.connect()
    try {
      const { rowCount } = await client.query("select from pg_stat_activity where wait_event = 'PgSleep'")
      return rowCount ?? 0
    } finally {
      await client.end()
    }
  }

  test('P7: a restart costs one error for each statement in flight, and nothing hangs', async () => {
    const server = await start('first')
    const tenancy = createTenancy({ ...OPTIONS, connection: server.appUrl, statementTimeoutMs: 20_000 })
    onTestFinished(() => tenancy.close({ timeoutMs: 200 }))
    const pool = tenancy.poolFor('acme')
    await pool.query('select 1')
    const inFlight = [1, 2].map(() => outcomeOf(pool.query('select pg_sleep(20)')))
    await waitFor(async () => (await sleeping(server)) === 2)
    await server.stop()
    for (const { code } of await Promise.all(inFlight)) expect(code).toBe('TNY212')
    const away = await outcomeOf(pool.query('select 1'))
    expect(['TNY202', 'TNY203']).toContain(away.code)
    expect(away.ms).toBeLessThan(3_000 + MARGIN_MS)
    await start('first', server.server.port)
    expect(
      await waitFor(async () => (await outcomeOf(pool.query('select 1'))).code === undefined),
    ).toBeLessThan(1_000 + MARGIN_MS)
    await waitFor(async () => (await tenancy.health()).listening, 5_000)
    expect(pool.waitingCount).toBe(0)
    expect(pool.totalCount).toBe(pool.idleCount)
    await servers.at(-1)?.stop()
  }, 60_000)

  test('P7: after a fail-over statements reach the new server, whether the old one fell silent or reset', async () => {
    const [first, second] = [await start('first'), await start('second')]
    const port = async (tenancy: Tenancy): Promise<unknown> =>
      (await tenancy.poolFor('acme').query('select inet_server_port() as port')).rows[0]?.['port']
    const failOver = async (fault: (connection: ProxiedConnection) => void): Promise<void> => {
      const proxy = await startFaultProxy(first.appUrl)
      const tenancy = createTenancy({ ...OPTIONS, connection: proxy.url })
      onTestFinished(async () => {
        await tenancy.close({ timeoutMs: 200 })
        await proxy.close()
      })
      expect(await port(tenancy)).toBe(first.server.port)
      proxy.failOver(second.appUrl)
      proxy.all(fault)
      const startedAt = performance.now()
      const failed: Outcome[] = []
      await waitFor(async () => {
        const outcome = await outcomeOf(port(tenancy))
        if (outcome.code !== undefined) failed.push(outcome)
        return outcome.code === undefined
      })
      expect(await port(tenancy)).toBe(second.server.port)
      // One idle connection, one error at most.
      expect(failed.length).toBeLessThanOrEqual(1)
      expect(performance.now() - startedAt).toBeLessThan(SILENCE_MS + MARGIN_MS)
      await waitFor(async () => (await tenancy.health()).listening, 5_000)
      await expectSaneWithListener(tenancy, proxy)
    }
    await Promise.all([
      failOver((connection) => connection.silence()),
      failOver((connection) => connection.loseServer()),
      failOver((connection) => connection.reset()),
    ])
  }, 60_000)

  async function expectSaneWithListener(tenancy: Tenancy, proxy: FaultProxy): Promise<void> {
    const { pool } = tenancy
    await waitFor(
      () => pool.totalCount === pool.idleCount && proxy.connections.length === pool.totalCount + 1,
    )
  }
})

test('the same silence holds a plain pg.Pool for good: the attack works without the defence', async () => {
  const proxy = await startFaultProxy(world.db.appUrl)
  const pool = new pg.Pool({ connectionString: proxy.url, max: 1 })
  pool.on('error', () => undefined)
  onTestFinished(async () => {
    await proxy.close()
    await pool.end()
  })
  await pool.query('select 1')
  proxy.all((connection) => connection.silence())
  const hanging = outcomeOf(pool.query('select 1')).then(() => 'answered')
  expect(await Promise.race([hanging, sleep(SILENCE_MS, 'hangs')])).toBe('hangs')
})
