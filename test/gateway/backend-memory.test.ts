import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { createEvents } from '../../src/core/events.ts'
import { readBackendMemory } from '../../src/gateway/pool/backend-memory.ts'
import { ConnectionPool, type ConnectionPoolOptions } from '../../src/gateway/pool/connection-pool.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { asker, BOUNDS, run, settingsFor } from '../support/pools.ts'
import { waitFor } from '../support/wait-for.ts'

/** A new backend holds some 1.5 MB, and one that has met these tables some 4 MB. */
const TABLES = 150
const BOUND_MB = 3
const ALL_TABLES = Array.from({ length: TABLES }, (_, n) => `select id from grown_${n}`).join(' union all ')

let db: TestDatabase
beforeAll(async () => {
  db = await createTestDatabase()
  const tables = Array.from(
    { length: TABLES },
    (_, n) => `create table grown_${n} (id int primary key, t text)`,
  )
  await db.sql(`${tables.join(';')}; grant select on all tables in schema public to tenantry_app`)
})
afterAll(() => db.drop())

const opened: ConnectionPool[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map((pool) => pool.end(1_000)))
})

interface Opened {
  readonly pool: ConnectionPool
  /** Why connections were closed. */
  readonly reasons: string[]
  /** Round trips of nobody's statements: whether each went well. */
  readonly looks: boolean[]
}

function open(options: Partial<ConnectionPoolOptions> = {}, named = true, url = db.appUrl): Opened {
  const events = createEvents()
  const reasons: string[] = []
  const looks: boolean[] = []
  events.on('connection:close', ({ reason }) => reasons.push(reason))
  events.on('flight:done', ({ ok }) => looks.push(ok))
  const bounds = { ...BOUNDS, max: 1, maxMemoryMb: BOUND_MB, memoryLookMs: 30, ...options }
  const pool = new ConnectionPool({ ...settingsFor(url, events), named }, bounds, events)
  opened.push(pool)
  return { pool, reasons, looks }
}

async function memoryOf(pool: ConnectionPool): Promise<number | string> {
  const connection = await pool.acquire()
  const bytes = await readBackendMemory(connection)
  pool.release(connection)
  return bytes
}

test('a backend that has grown is closed once it rests; the next one is new', async () => {
  const { pool, reasons } = open()
  const first = await run(pool, asker('acme'))
  await sleep(100)
  expect(await run(pool, asker('acme'))).toBe(first)
  expect(reasons).toEqual([])
  expect(await run(pool, asker('acme'), ALL_TABLES)).toBe('')
  await waitFor(() => reasons.length > 0)
  expect(reasons).toEqual(['memory'])
  expect(await memoryOf(pool)).toBeLessThan(BOUND_MB * 1_048_576)
})

test('without the watch it grows on', async () => {
  const { pool, reasons } = open({ memoryLookMs: 3_600_000 })
  const first = await run(pool, asker('acme'))
  await run(pool, asker('acme'), ALL_TABLES)
  await sleep(200)
  expect(await memoryOf(pool)).toBeGreaterThan(BOUND_MB * 1_048_576)
  expect(await run(pool, asker('acme'))).toBe(first)
  expect(reasons).toEqual([])
})

test('a connection that never rests is looked at all the same', async () => {
  const { pool, reasons } = open({ memoryLookMs: 20 })
  await run(pool, asker('acme'), ALL_TABLES)
  let busy = true
  const queues = Array.from({ length: 3 }, async (_, n) => {
    while (busy) await run(pool, asker(`t${n}`))
  })
  await waitFor(() => reasons.includes('memory')).finally(() => (busy = false))
  await Promise.all(queues)
})

test('a login that may not know is not asked again, and keeps its connection', async () => {
  const grant = (verb: string): Promise<unknown> =>
    db.sql(
      `${verb} execute on function pg_get_backend_memory_contexts() ${verb === 'grant' ? 'to' : 'from'} tenantry_app`,
    )
  await grant('revoke')
  try {
    const { pool, reasons, looks } = open()
    const first = await run(pool, asker('acme'), `${ALL_TABLES} union all select 1`)
    await waitFor(() => looks.length > 1)
    await sleep(200)
    expect(looks).toEqual([true, false])
    expect(await run(pool, asker('acme'))).toBe(first)
    expect(reasons).toEqual([])
  } finally {
    await grant('grant')
  }
})

test('behind a pooler nobody is asked: another backend would answer', async () => {
  const { pool, looks } = open({}, false)
  await run(pool, asker('acme'))
  await sleep(200)
  expect(looks).toEqual([true])
})

test('one connection at a time is held for it, however long the answer takes', async () => {
  const proxy = await startFaultProxy(db.appUrl)
  try {
    const { pool } = open({ max: 4, maxMemoryMb: 128, memoryLookMs: 40 }, true, proxy.url)
    await Promise.all(Array.from({ length: 8 }, (_, n) => run(pool, asker(`t${n}`), 'select pg_sleep(0.05)')))
    proxy.all((connection) => connection.slow(20))
    await waitFor(() => pool.idle === pool.total)
    const idle: number[] = []
    for (let n = 0; n < 200; n += 1) {
      idle.push(pool.idle)
      await sleep(2)
    }
    expect(Math.min(...idle)).toBe(3)
  } finally {
    await proxy.close()
  }
})
