import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createEvents } from '../../src/core/events.ts'
import { ConnectionPool } from '../../src/gateway/pool/connection-pool.ts'
import { DatabasePools, type DatabasePoolsOptions } from '../../src/gateway/pool/database-pools.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { asker, BOUNDS, run, settingsFor } from '../support/pools.ts'
import { BUSY_MS, waitFor } from '../support/wait-for.ts'

const SLOW = 'select pg_sleep(0.03)'

let catalog: TestDatabase
let other: TestDatabase
beforeAll(async () => {
  ;[catalog, other] = await Promise.all([createTestDatabase(), createTestDatabase()])
})
afterAll(() => Promise.all([catalog.drop(), other.drop()]))

const opened: { end(timeoutMs: number): Promise<void> }[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map((pools) => pools.end(1_000)))
})

interface Opened {
  readonly pools: DatabasePools
  /** Why connections were closed, in this order. */
  readonly reasons: string[]
}

function open(options: Partial<DatabasePoolsOptions> = {}): Opened {
  const events = createEvents()
  const reasons: string[] = []
  events.on('connection:close', ({ reason }) => reasons.push(reason))
  const pools = new DatabasePools(settingsFor(catalog.appUrl, events), { ...BOUNDS, ...options }, events)
  opened.push(pools)
  return { pools, reasons }
}

/** Sessions that the server has, in each of the two databases. */
async function sessions(): Promise<{ catalog: number; other: number }> {
  const rows = await catalog.sql<{ datname: string; count: string }>(
    `select datname, count(*) from pg_stat_activity
     where datname = any ($1) and usename = 'tenantry_app' group by datname`,
    [[catalog.name, other.name]],
  )
  const of = (name: string): number => Number(rows.find(({ datname }) => datname === name)?.count ?? 0)
  return { catalog: of(catalog.name), other: of(other.name) }
}

/** Runs a function again and again while work goes on. */
async function during<T>(work: Promise<unknown>, look: () => Promise<T>): Promise<T[]> {
  const seen: T[] = []
  let over = false
  const ended = work.finally(() => (over = true))
  while (!over) {
    seen.push(await look())
    await sleep(5)
  }
  await ended
  return seen
}

/** Statements of several tenants, all at once. */
function flood(
  pools: Pick<DatabasePools, 'acquire' | 'release'>,
  count: number,
  database?: string,
): Promise<unknown> {
  return Promise.all(
    Array.from({ length: count }, (_, n) => run(pools, asker(`${database}-${n % 8}`, database), SLOW)),
  )
}

describe('the cap of a server', () => {
  test('holds over its databases, on the server too, while both are flooded and connections are replaced', async () => {
    const { pools, reasons } = open({ max: 5, maxAgeMs: 100 })
    const work = Promise.all([flood(pools, 60), flood(pools, 60, other.name)])
    const seen = await during(work, sessions)
    expect(Math.max(...seen.map((now) => now.catalog + now.other))).toBe(5)
    expect(reasons).toContain('aged')
  })

  test('without it each database would have as many', async () => {
    const each = [catalog, other].map(
      ({ appUrl }) => new ConnectionPool(settingsFor(appUrl), { ...BOUNDS, max: 5 }, createEvents()),
    )
    opened.push(...each)
    const seen = await during(Promise.all(each.map((pool) => flood(pool, 60))), sessions)
    expect(Math.max(...seen.map((now) => now.catalog + now.other))).toBe(10)
  })

  test('goes beside one for each database', async () => {
    const { pools } = open({ max: 5, maxPerDatabase: 2 })
    const seen = await during(Promise.all([flood(pools, 30), flood(pools, 30, other.name)]), sessions)
    expect(Math.max(...seen.map((now) => now.catalog))).toBe(2)
    expect(Math.max(...seen.map((now) => now.other))).toBe(2)
  })
})

describe('places move', () => {
  test('from connections that rest, to a database that has none', async () => {
    const { pools, reasons } = open({ max: 3 })
    await flood(pools, 12)
    expect(pools.idle).toBe(3)
    const startedAt = performance.now()
    await run(pools, asker('acme', other.name))
    expect(performance.now() - startedAt).toBeLessThan(BUSY_MS)
    expect(reasons).toEqual(['yielded'])
    expect(await sessions()).toEqual({ catalog: 2, other: 1 })
  })

  test('from a database that is flooded, until both have their share', async () => {
    const { pools } = open({ max: 6 })
    const done: string[] = []
    const first = flood(pools, 240).then(() => done.push('catalog'))
    await waitFor(() => pools.total === 6)
    const second = flood(pools, 60, other.name).then(() => done.push('other'))
    const seen = await during(second, sessions)
    // It waits for nobody's backlog, and has half of the places soon.
    expect(done).toEqual(['other'])
    expect(seen.filter((now) => now.other >= 3).length).toBeGreaterThan(seen.length / 2)
    expect(Math.max(...seen.map((now) => now.other))).toBe(3)
    await first
  })

  test('in turn, where there are more databases than places', async () => {
    const { pools } = open({ max: 1 })
    const order: string[] = []
    await Promise.all([
      ...Array.from({ length: 20 }, () => run(pools, asker('a'), SLOW).then(() => order.push('catalog'))),
      ...Array.from({ length: 20 }, () =>
        run(pools, asker('b', other.name), SLOW).then(() => order.push('other')),
      ),
    ])
    // One after the other, the second would begin with the 21st statement.
    expect(order.indexOf('other')).toBeLessThan(15)
    expect(order.lastIndexOf('catalog')).toBeGreaterThan(20)
  })

  test('never while one database has all it needs: nothing is closed', async () => {
    const { pools, reasons } = open({ max: 4 })
    for (let round = 0; round < 3; round += 1) {
      await Promise.all([flood(pools, 2), flood(pools, 2, other.name)])
      await flood(pools, 2)
    }
    expect(reasons).toEqual([])
  })
})

describe('a pool of another database', () => {
  test('is there while it is used, and closed after', async () => {
    const { pools, reasons } = open({ idleTimeoutMs: 50 })
    await Promise.all([run(pools, asker('acme')), run(pools, asker('acme', other.name))])
    expect(pools.size).toBe(2)
    await waitFor(() => pools.size === 1)
    expect(reasons).toEqual(['idle', 'idle'])
    await waitFor(async () => (await sessions()).other === 0)
    await run(pools, asker('acme', other.name))
    expect(pools.size).toBe(2)
  })

  test('is the catalog’s where it bears the name of that', async () => {
    const { pools } = open({ max: 2 })
    const first = await run(pools, asker('acme', catalog.name))
    expect(await run(pools, asker('acme'))).toBe(first)
    expect(pools.size).toBe(1)
  })

  test('of a database that is not there fails as PostgreSQL says it, and takes no place from others', async () => {
    const { pools } = open({ max: 1 })
    const answers = await Promise.allSettled([
      run(pools, asker('acme', `${other.name}_gone`)),
      run(pools, asker('globex')),
    ])
    expect(answers.map(({ status }) => status)).toEqual(['rejected', 'fulfilled'])
    expect(answers[0]).toMatchObject({ reason: { code: '3D000' } })
  })

  test('ends with the others, and serves nobody afterwards', async () => {
    const { pools } = open()
    const late = run(pools, asker('acme', other.name), SLOW)
    await pools.end(5_000)
    await expect(late).resolves.toBeDefined()
    expect(await sessions()).toEqual({ catalog: 0, other: 0 })
    for (const database of [undefined, other.name, 'new']) {
      await expect(run(pools, asker('acme', database))).rejects.toMatchObject({ code: 'TNY208' })
    }
  })
})
