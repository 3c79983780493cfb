import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { from, to } from 'pg-copy-streams'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { GatewayPool, Tenancy } from '../../src/index.ts'
import { findPgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

const KEYS = ['acme', 'globex', 'initech']
const ROWS = 'select owner, pg_backend_pid() as pid from orders, generate_series(1, 200)'

interface Row {
  owner: string
  pid: number
}

let world: TenantWorld
/** Which tenants each backend has served. */
const served = new Map<number, Set<string>>()
beforeAll(async () => {
  world = await createTenantWorld(...KEYS)
})
afterAll(() => world.close())

function note(key: string, rows: readonly Row[]): void {
  for (const { owner, pid } of rows) {
    expect(owner).toBe(key)
    served.set(pid, (served.get(pid) ?? new Set()).add(key))
  }
}

/** Ways to begin something, of which half end badly. */
const WAYS: Record<string, (pool: GatewayPool, key: string) => Promise<unknown>> = {
  async single(pool, key) {
    note(key, (await pool.query<Row>(ROWS)).rows)
  },
  async 'cursor, closed early'(pool, key) {
    const cursor = pool.query(new Cursor<Row>(ROWS))
    note(key, await cursor.read(7))
    await cursor.close()
  },
  async 'cursor, never read'(pool) {
    await pool.query(new Cursor(ROWS)).close()
  },
  async 'cursor that fails'(pool) {
    await expect(pool.query(new Cursor(`${ROWS} where 1 / 0 = 1`)).read(1)).rejects.toThrow(
      'division by zero',
    )
  },
  async stream(pool, key) {
    for await (const row of pool.query(new QueryStream(ROWS, [], { batchSize: 50 }))) note(key, [row as Row])
  },
  async 'stream, left early'(pool, key) {
    for await (const row of pool.query(new QueryStream(ROWS))) {
      note(key, [row as Row])
      break
    }
  },
  async 'stream, its client released'(pool) {
    const client = await pool.connect()
    const stream = client.query(new QueryStream(ROWS, [], { batchSize: 5 }))
    stream.on('error', () => undefined)
    await new Promise((resolve) => stream.once('data', resolve))
    client.release()
  },
  async 'transaction with a cursor, released inside'(pool, key) {
    const client = await pool.connect()
    await client.query('begin')
    await client.query("update orders set note = 'wrong'")
    const cursor = client.query(new Cursor<Row>(ROWS))
    note(key, await cursor.read(3))
    client.release()
  },
  async 'copy in'(pool, key) {
    await pipeline(
      Readable.from([`${key}\tgood\n`]),
      pool.query(from('copy orders (owner, note) from stdin')),
    )
    await pool.query("delete from orders where note = 'good'")
  },
  async 'copy in that fails'(pool) {
    const lines = Readable.from(['x\twrong\n', 'x\ty\tz\n'])
    const copying = pipeline(lines, pool.query(from('copy orders (owner, note) from stdin')))
    await expect(copying).rejects.toMatchObject({ code: '22P04' })
  },
  async 'copy out'(pool, key) {
    let text = ''
    for await (const chunk of pool.query(to('copy orders (owner) to stdout'))) text += String(chunk)
    for (const line of text.trimEnd().split('\n')) expect(line).toBe(key)
  },
  async 'copy out, left early'(pool, key) {
    for await (const chunk of pool.query(to(`copy (${ROWS}) to stdout`))) {
      expect(String(chunk).startsWith(key)).toBe(true)
      break
    }
  },
}

async function mix(tenancy: Tenancy, max: number): Promise<void> {
  const kinds = Object.keys(WAYS)
  const lane = async (seed: number): Promise<void> => {
    for (let n = 0; n < 50; n += 1) {
      const key = KEYS[(seed + n) % KEYS.length] ?? ''
      const kind = kinds[(seed * 7 + n * 5) % kinds.length] ?? ''
      await tenancy
        .run(key, () => WAYS[kind]?.(tenancy.pool, key))
        .catch((error: unknown) => {
          throw new Error(`${kind} of ${key}`, { cause: error })
        })
    }
  }
  served.clear()
  await Promise.all(Array.from({ length: 12 }, (_, seed) => lane(seed)))
  await vi.waitFor(() => expect(tenancy.pool.idleCount).toBe(tenancy.pool.totalCount))
  expect(tenancy.pool.waitingCount).toBe(0)
  expect(tenancy.pool.totalCount).toBeLessThanOrEqual(max)
  for (const key of KEYS) {
    const { rows } = await tenancy
      .poolFor(key)
      .query('select count(*)::int as n, count(note)::int as notes from orders')
    expect(rows).toEqual([{ n: 3, notes: 0 }])
  }
  // They did share backends, or this would show nothing.
  expect(Math.max(...[...served.values()].map(({ size }) => size))).toBe(KEYS.length)
}

test('A1, A3, P3: 600 cursors, streams and COPYs of three tenants over two connections: no foreign row, no lost client', async () => {
  await mix(world.open({ max: 2, waitTimeoutMs: 20_000 }), 2)
})

test.skipIf(findPgBouncer() === undefined)(
  'P1, P3: the same through PgBouncer, four connections on two of the server',
  async () => {
    const bouncer = await startPgBouncer({ poolSize: 2 })
    const connection = bouncer.through(world.db.appUrl)
    const direct = world.db.appUrl
    const tenancy = world.open({ connection, direct, pooler: 'pgbouncer', max: 4, waitTimeoutMs: 20_000 })
    await mix(tenancy, 4)
    await tenancy.close()
    await bouncer.stop()
  },
)
