import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { createEvents, type Events } from '../../src/core/events.ts'
import { ConnectionPool, type ConnectionPoolOptions } from '../../src/gateway/pool/connection-pool.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { asker, BOUNDS, run, settingsFor } from '../support/pools.ts'
import { BUSY_MS, waitFor } from '../support/wait-for.ts'

let db: TestDatabase
beforeAll(async () => {
  db = await createTestDatabase()
})
afterAll(() => db.drop())

const opened: ConnectionPool[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map((pool) => pool.end(1_000)))
})

function open(options: Partial<ConnectionPoolOptions> = {}, events: Events = createEvents()): ConnectionPool {
  const pool = new ConnectionPool(settingsFor(db.appUrl, events), { ...BOUNDS, ...options }, events)
  opened.push(pool)
  return pool
}

async function sessions(): Promise<number> {
  const rows = await db.sql(
    "select from pg_stat_activity where datname = current_database() and usename = 'tenantry_app'",
  )
  return rows.length
}

test('a connection that is free is there without a promise, with the same bookkeeping and events', async () => {
  const events = createEvents()
  const acquired: unknown[] = []
  events.on('connection:acquired', (event) => acquired.push(event))
  const pool = open({ max: 2 }, events)
  const acme = { ...asker('acme'), maxConnections: 1 }
  expect(pool.tryAcquire(acme)).toBeUndefined()
  expect([pool.total, pool.waiting]).toEqual([0, 0])
  await run(pool, acme)
  const connection = pool.tryAcquire(acme)
  expect(connection).toBeDefined()
  expect([pool.total, pool.idle]).toEqual([1, 0])
  if (connection !== undefined) pool.release(connection)
  expect(acquired).toEqual([
    { tenantId: 'acme', waitedMs: expect.any(Number) as number, warm: false },
    { tenantId: 'acme', waitedMs: 0, warm: false },
  ])
  await pool.end(1_000)
  expect(() => pool.tryAcquire(acme)).toThrow(expect.objectContaining({ code: 'TNY208' }))
})

test('nobody passes the queue, or its own bound, by not waiting', async () => {
  const pool = open({ max: 2 })
  const central = { ...asker(''), maxConnections: 1 }
  await Promise.all([
    run(pool, asker('acme'), 'select pg_sleep(0.05)'),
    run(pool, asker('globex'), 'select 1'),
  ])
  await waitFor(() => pool.idle === 2)
  const held = pool.tryAcquire(central)
  expect(held).toBeDefined()
  expect([pool.idle, pool.tryAcquire(central)]).toEqual([1, undefined])
  const waiting = pool.acquire(central)
  if (held !== undefined) pool.release(held)
  expect(pool.tryAcquire(central)).toBeUndefined()
  pool.release(await waiting)
})

test('connections that nobody uses are closed, one that is used stays', async () => {
  const pool = open({ max: 3, idleTimeoutMs: 400 })
  await Promise.all(Array.from({ length: 3 }, (_, n) => run(pool, asker(`t${n}`), 'select pg_sleep(0.05)')))
  expect(pool.total).toBe(3)
  const held = await pool.acquire(asker('t0'))
  await waitFor(() => pool.total === 1)
  await waitFor(async () => (await sessions()) === 1)
  pool.release(held)
  expect(pool.idle).toBe(1)
})

test('the cap is the server’s too: a connection is closed there before another one takes its place', async () => {
  const pool = open({ max: 2, maxAgeMs: 1 })
  let over = false
  const work = Promise.all(Array.from({ length: 60 }, (_, n) => run(pool, asker(`t${n % 4}`)))).finally(
    () => (over = true),
  )
  const seen: number[] = []
  while (!over) seen.push(await sessions())
  await work
  expect(Math.max(...seen)).toBeLessThanOrEqual(2)
})

test('whoever waits too long is told so: the oldest first, each in its time', async () => {
  const pool = open({ max: 1, waitTimeoutMs: 200 })
  const held = await pool.acquire(asker('acme'))
  const startedAt = performance.now()
  const told: string[] = []
  const wait = async (name: string): Promise<void> => {
    await expect(pool.acquire(asker(name))).rejects.toMatchObject({ code: 'TNY203' })
    told.push(name)
    expect(performance.now() - startedAt).toBeGreaterThan(195)
  }
  const first = wait('first')
  await sleep(50)
  const second = wait('second')
  await first
  expect(told).toEqual(['first'])
  await second
  expect(performance.now() - startedAt).toBeLessThan(250 + BUSY_MS)
  expect(pool.waiting).toBe(0)
  pool.release(held)
})

test('who gives up while waiting leaves the queue, and the connection to others', async () => {
  const pool = open({ max: 1 })
  const held = await pool.acquire(asker('acme'))
  const abort = new AbortController()
  const waiting = pool.acquire(asker('acme'), abort.signal)
  abort.abort(new Error('no longer wanted'))
  await expect(waiting).rejects.toThrow('no longer wanted')
  await expect(pool.acquire(asker('acme'), abort.signal)).rejects.toThrow('no longer wanted')
  expect(pool.waiting).toBe(0)
  pool.release(held)
  expect(pool.idle).toBe(1)
})
