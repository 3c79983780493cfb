import pg from 'pg'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { GatewayPool, Tenancy } from '../../src/index.ts'
import { memoryHeld } from '../support/memory.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { recordWire, type WireRecorder } from '../support/wire-recorder.ts'

const MANY = 'select n, owner from generate_series(1, $1::int) n, (select distinct owner from orders) o'

let world: TenantWorld
let tenancy: Tenancy
let acme: GatewayPool
let globex: GatewayPool
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  // One connection: whatever one tenant leaves on it, the next one meets.
  tenancy = world.open({ max: 1, waitTimeoutMs: 20_000 })
  acme = tenancy.poolFor('acme')
  globex = tenancy.poolFor('globex')
})
afterAll(() => world.close())

/** The one connection is free, rests, and shows its next tenant nothing but its own. */
async function expectClean(): Promise<void> {
  expect((await globex.query('select distinct owner from orders')).rows).toEqual([{ owner: 'globex' }])
  const { rows } = await tenancy.central.query(
    "select current_user as login, (select count(*)::int from pg_cursors where name like 'C\\_%') as portals",
  )
  expect(rows).toEqual([{ login: 'tenantry_app', portals: 0 }])
  expect(tenancy.pool.idleCount).toBe(1)
}

async function collect<T>(stream: AsyncIterable<T>): Promise<T[]> {
  const rows: T[] = []
  for await (const row of stream) rows.push(row)
  return rows
}

describe('pg-cursor', () => {
  test('reads in pieces, through the pool and through a client', async () => {
    const client = await acme.connect()
    for (const target of [acme, client]) {
      const cursor = target.query(new Cursor<{ n: number; owner: string }>(MANY, [5]))
      expect((await cursor.read(2)).map(({ n }) => n)).toEqual([1, 2])
      expect(await cursor.read(2)).toHaveLength(2)
      expect(await cursor.read(2)).toEqual([{ n: 5, owner: 'acme' }])
      expect(await cursor.read(2)).toEqual([])
      await cursor.close()
      await expectClean()
    }
    client.release()
  })

  test('closed early, unread, and twice: the connection is free again', async () => {
    const early = acme.query(new Cursor(MANY, [1000]))
    expect(await early.read(1)).toHaveLength(1)
    await early.close()
    await expectClean()
    const unread = acme.query(new Cursor(MANY, [1000]))
    await unread.close()
    await unread.close()
    await expectClean()
  })

  test('of a statement that writes: what it wrote stays, closed early or not, as with node-postgres', async () => {
    const cursor = acme.query(
      new Cursor("insert into orders (owner, note) values ('acme', 'c'), ('acme', 'c') returning id"),
    )
    expect(await cursor.read(1)).toHaveLength(1)
    await cursor.close()
    const update = acme.query(new Cursor("update orders set note = 'd' where note = 'c'"))
    expect(await update.read(1)).toEqual([])
    expect((await acme.query("delete from orders where note = 'd'")).rowCount).toBe(2)
  })

  test('an error, at once or in the middle, reaches the reader, and leaves nothing', async () => {
    const wrong = acme.query(new Cursor('select * from nothing'))
    await expect(wrong.read(1)).rejects.toMatchObject({ code: '42P01' })
    await wrong.close()
    await expectClean()
    const late = acme.query(new Cursor('select 1 / (3 - n) from generate_series(1, 5) n'))
    expect(await late.read(2)).toHaveLength(2)
    await expect(late.read(2)).rejects.toMatchObject({ code: '22012' })
    await expect(late.read(2)).rejects.toMatchObject({ code: '22012' })
    await late.close()
    await expectClean()
  })

  test('inside a transaction it sees what that wrote, and is part of it', async () => {
    const client = await acme.connect()
    await client.query('begin')
    await client.query("insert into orders (owner, note) values ('acme', 'mine')")
    const cursor = client.query(new Cursor("select note from orders where note = 'mine'"))
    expect(await cursor.read(10)).toEqual([{ note: 'mine' }])
    await cursor.close()
    expect(client.getTransactionStatus()).toBe('T')
    await client.query('rollback')
    await client.query('begin')
    const first = client.query(new Cursor('select count(*)::int as n from orders'))
    // As on a real client, what follows waits for the cursor.
    const next = client.query('select 2 as n')
    expect(await first.read(1)).toEqual([{ n: 3 }])
    await first.close()
    expect((await next).rows).toEqual([{ n: 2 }])
    expect(client.getTransactionStatus()).toBe('T')
    await client.query('commit')
    client.release()
    await expectClean()
  })

  test('an error inside a transaction fails it until ROLLBACK', async () => {
    const client = await acme.connect()
    await client.query('begin')
    const cursor = client.query(new Cursor('select 1 / 0'))
    await expect(cursor.read(1)).rejects.toMatchObject({ code: '22012' })
    await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' })
    await client.query('rollback')
    client.release()
    await expectClean()
  })

  test('S4, S6: the guard sees its text, also where the object lies about it', async () => {
    for (const text of ['reset role', 'select 1; reset role', "select set_config('role', 'none', false)"]) {
      const cursor = acme.query(new Cursor(text))
      await expect(cursor.read(1), text).rejects.toMatchObject({ code: 'TNY204' })
    }
    const liar = new Cursor('select 1')
    const submitted = acme.query(
      Object.assign(liar, {
        submit(connection: { parse(message: { text: string }): void; sync(): void }) {
          Reflect.set(liar, 'connection', connection)
          connection.parse({ text: 'reset role' })
          connection.sync()
        },
      }),
    )
    await expect(submitted.read(1)).rejects.toMatchObject({ code: 'TNY204' })
    const begun = acme.query(new Cursor('begin'))
    await expect(begun.read(1)).rejects.toMatchObject({ code: 'TNY210' })
    const copy = acme.query(new Cursor('copy orders to stdout'))
    await expect(copy.read(1)).rejects.toMatchObject({ code: 'TNY210' })
    await expectClean()
  })

  test('each fetch is a round trip of its own, in an explicit transaction', async () => {
    const wire: WireRecorder = await recordWire(world.db.appUrl)
    const recorded = world.open({ connection: wire.url, direct: world.db.appUrl, max: 1 }).poolFor('acme')
    await recorded.query('select 1')
    wire.take()
    const cursor = recorded.query(new Cursor(MANY, [3]))
    await cursor.read(2)
    await cursor.read(2)
    await cursor.close()
    // BEGIN, context; the portal; two fetches; COMMIT. Never a simple Query (Q).
    expect(wire.take()).toBe('PBEBEPBDESPBDSESESPBDES')
    await wire.close()
  })
})

describe('pg-query-stream', () => {
  test('100,000 rows arrive complete, two tenants at once over one connection', async () => {
    const [ours, theirs] = await Promise.all(
      [acme, globex].map((pool) =>
        collect(pool.query(new QueryStream(MANY, [100_000], { batchSize: 1000 }))),
      ),
    )
    for (const [rows, owner] of [
      [ours, 'acme'],
      [theirs, 'globex'],
    ] as const) {
      expect(rows).toHaveLength(100_000)
      expect(rows?.every((row: { owner: string }) => row.owner === owner)).toBe(true)
    }
    await expectClean()
  })

  test('memory stays flat while 100,000 wide rows pass', async () => {
    const stream = acme.query(
      new QueryStream("select n, repeat('x', 2000) as wide from generate_series(1, 100000) n", [], {
        batchSize: 500,
      }),
    )
    const before = memoryHeld()
    let rows = 0
    let most = 0
    for await (const row of stream as AsyncIterable<{ n: number }>) {
      rows += 1
      if (row.n % 10_000 === 0) most = Math.max(most, memoryHeld())
    }
    expect(rows).toBe(100_000)
    // All rows together are 200 MB.
    expect(most - before).toBeLessThan(60_000_000)
  })

  test('left early and destroyed: the connection serves the next', async () => {
    for await (const row of acme.query(new QueryStream(MANY, [100_000]))) {
      expect(row).toEqual({ n: 1, owner: 'acme' })
      break
    }
    await expectClean()
    acme.query(new QueryStream(MANY, [100_000])).destroy()
    await expectClean()
    const failing = acme.query(new QueryStream(MANY, [100_000]))
    const failed = new Promise((resolve) => failing.once('error', resolve))
    failing.once('data', () => failing.destroy(new Error('enough')))
    await expect(failed).resolves.toMatchObject({ message: 'enough' })
    await expectClean()
  })

  test('an error in the middle is the stream’s error', async () => {
    const stream = acme.query(
      new QueryStream('select 1 / (50 - n) from generate_series(1, 100) n', [], { batchSize: 10 }),
    )
    await expect(collect(stream)).rejects.toMatchObject({ code: '22012' })
    await expectClean()
  })

  test('a parser that throws ends the stream, not the process', async () => {
    const types = {
      getTypeParser: () => () => {
        throw new Error('no such type')
      },
    }
    await expect(collect(acme.query(new QueryStream('select 1', [], { types })))).rejects.toThrow(
      'no such type',
    )
    await expectClean()
  })

  test('P3: a client released while its stream is open: the stream ends with an error, the connection is free', async () => {
    const client = await acme.connect()
    const stream = client.query(new QueryStream(MANY, [100_000], { batchSize: 10 }))
    const failed = new Promise((resolve) => stream.once('error', resolve))
    await new Promise((resolve) => stream.once('readable', resolve))
    stream.read(1)
    client.release()
    stream.resume()
    await expect(failed).resolves.toMatchObject({ code: 'TNY207' })
    await expectClean()
    expect(() => client.query(new Cursor('select 1'))).toThrow(expect.objectContaining({ code: 'TNY207' }))
  })
})

test('pg.Query: events and callback', async () => {
  const rows: unknown[] = []
  await new Promise((resolve, reject) => {
    const query = new pg.Query('select $1::int as n', [7])
    query.on('row', (row) => rows.push(row))
    query.on('end', resolve)
    query.on('error', reject)
    acme.query(query)
  })
  expect(rows).toEqual([{ n: 7 }])
  const result = await new Promise((resolve, reject) => {
    acme.query(
      new pg.Query('select 8 as n', (error, answer) => (error ? reject(error) : resolve(answer.rows))),
    )
  })
  expect(result).toEqual([{ n: 8 }])
  const wrong = new pg.Query({ text: undefined as unknown as string })
  const error = new Promise((resolve) => wrong.on('error', resolve))
  acme.query(wrong)
  await expect(error).resolves.toMatchObject({ message: expect.stringContaining('either text or a name') })
  await expectClean()
})

test('A1: the tenant is that of the call, and without one a Submittable throws at once', async () => {
  const cursor = await tenancy.run('acme', () => ({ it: tenancy.pool.query(new Cursor(MANY, [1])) }))
  const rows = await tenancy.run('globex', () => cursor.it.read(1))
  expect(rows).toEqual([{ n: 1, owner: 'acme' }])
  await cursor.it.close()
  expect(() => tenancy.pool.query(new Cursor('select 1'))).toThrow(
    expect.objectContaining({ code: 'TNY201' }),
  )
  await expectClean()
})

test('P7: a connection that ends under an open cursor is its error, and the pool heals', async () => {
  const client = await acme.connect()
  const cursor = client.query(new Cursor(MANY, [1000]))
  await cursor.read(1)
  await world.db.sql(
    "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'tenantry_app' and query not ilike 'listen%' and datname = current_database() and state like 'idle in%'",
  )
  await expect(cursor.read(1)).rejects.toMatchObject({ code: 'TNY212' })
  client.release()
  await expectClean()
})

test('a cursor that is forgotten ends with the transaction’s time limit, and does not hold its client for ever', async () => {
  const impatient = world.open({ max: 1, limits: () => ({ idleInTransactionTimeoutMs: 200 }) })
  const cursor = impatient.poolFor('acme').query(new Cursor(MANY, [1000]))
  await cursor.read(1)
  const forgetful = impatient.run('acme', () =>
    impatient.transaction(async (client) => {
      await client.query(new Cursor(MANY, [1000])).read(1)
    }),
  )
  await expect(forgetful).rejects.toMatchObject({ code: 'TNY212' })
  await expect(cursor.read(1)).rejects.toMatchObject({ code: 'TNY212' })
  expect((await impatient.poolFor('globex').query('select 1 as n')).rows).toEqual([{ n: 1 }])
})

test('close() ends a cursor that rests', async () => {
  const closing = world.open({ max: 1 })
  const cursor = closing.poolFor('acme').query(new Cursor(MANY, [1000]))
  await cursor.read(1)
  await closing.close({ timeoutMs: 50 })
  await expect(cursor.read(1)).rejects.toMatchObject({ code: 'TNY212' })
})
