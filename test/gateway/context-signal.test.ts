import { getEventListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import Cursor from 'pg-cursor'
import QueryStream from 'pg-query-stream'
import { afterAll, beforeAll, beforeEach, expect, test, vi } from 'vitest'
import type { Tenancy } from '../../src/index.ts'
import { knexForTenants } from '../../src/orm/knex.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { waitFor } from '../support/wait-for.ts'

let world: TenantWorld
let tenancy: Tenancy
let controller: AbortController
const reason = new Error('not wanted any more')
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  tenancy = world.open({ max: 1, statementTimeoutMs: 15_000 })
})
beforeEach(async () => {
  controller = new AbortController()
  await tenancy.poolFor('acme').query('update orders set note = null')
})
afterAll(() => world.close())

/** What becomes of work in acme's context, whose signal is the test's controller's. */
function inContext<T>(work: () => Promise<T>): Promise<unknown> {
  return tenancy.run('acme', work, { signal: controller.signal }).catch((error: unknown) => error)
}

/** How many backends of the runtime login run a statement that holds this text. */
async function running(text: string): Promise<number> {
  const rows = await world.db.sql(
    `select 1 from pg_stat_activity where datname = current_database() and usename = 'tenantry_app'
     and state = 'active' and strpos(query, $1) > 0`,
    [text],
  )
  return rows.length
}

async function notes(): Promise<unknown[]> {
  const { rows } = await tenancy.poolFor('acme').query('select distinct note from orders order by 1')
  return rows.map(({ note }) => note)
}

const db = (): ReturnType<ReturnType<typeof knexForTenants>> => knexForTenants(tenancy)()

test.each([
  ['pool', () => tenancy.pool.query('select pg_sleep(20)')],
  ['poolFor', () => tenancy.poolFor('acme').query('select pg_sleep(20)')],
  ['transaction', () => tenancy.transaction((client) => client.query('select pg_sleep(20)'))],
  ['session', () => tenancy.session((client) => client.query('select pg_sleep(20)'))],
  ['a bound callback', () => sleep(1).then(tenancy.bind(() => tenancy.pool.query('select pg_sleep(20)')))],
  ['a nested run', () => tenancy.run('globex', () => tenancy.pool.query('select pg_sleep(20)'))],
  ['Knex', async () => db().raw('select pg_sleep(20)')],
  ['a transaction of Knex', () => db().transaction(async (trx) => trx.raw('select pg_sleep(20)'))],
] satisfies [string, () => Promise<unknown>][])(
  'a statement by %s is cancelled, and its connection serves on',
  async (_way, work) => {
    const before = await tenancy.poolFor('acme').query('select pg_backend_pid() as pid')
    const ending = inContext(work)
    await waitFor(async () => (await running('pg_sleep(20)')) === 1)
    controller.abort(reason)
    expect(await ending).toBe(reason)
    await waitFor(async () => (await running('pg_sleep(20)')) === 0)
    const after = await tenancy.poolFor('acme').query('select pg_backend_pid() as pid')
    expect(after.rows).toEqual(before.rows)
    await waitFor(() => getEventListeners(controller.signal, 'abort').length === 0)
  },
)

test('one that waits leaves the queue and never runs', async () => {
  const holder = await tenancy.poolFor('globex').connect()
  await holder.query('begin')
  await holder.query('select 1')
  const endings = [
    inContext(() => tenancy.pool.query("update orders set note = 'aborted'")),
    inContext(() => tenancy.transaction((client) => client.query("update orders set note = 'aborted'"))),
    inContext(async () => db()('orders').update({ note: 'aborted' })),
  ]
  endings.push(
    inContext(() => tenancy.pool.query(new QueryStream("update orders set note = 'aborted'")).toArray()),
  )
  await waitFor(() => tenancy.pool.waitingCount === 4)
  controller.abort(reason)
  expect(await Promise.all(endings)).toEqual([reason, reason, reason, reason])
  expect(tenancy.pool.waitingCount).toBe(0)
  await holder.query('commit')
  holder.release()
  expect(await notes()).toEqual([null])
})

test('a signal of the statement’s own goes before the context’s, and central work has none', async () => {
  controller.abort(reason)
  const own = new AbortController()
  await tenancy.run(
    'acme',
    async () => {
      const query = { text: 'select owner from orders', signal: own.signal }
      expect((await tenancy.pool.query(query)).rowCount).toBe(3)
      expect((await tenancy.central.query('select 1')).rowCount).toBe(1)
      await expect(tenancy.pool.query('select 1')).rejects.toBe(reason)
      const work = (): Promise<unknown> => tenancy.run('acme', () => tenancy.pool.query('select 1'))
      await expect(work()).rejects.toBe(reason)
      // For what must go on all the same.
      await expect(tenancy.context.exit(work)).resolves.toBeDefined()
      const nested = tenancy.run('acme', () => tenancy.pool.query('select 1'), { signal: own.signal })
      await expect(nested).resolves.toBeDefined()
    },
    { signal: controller.signal },
  )
})

test('a callback that was bound without a signal does not get the caller’s', async () => {
  const bound = await tenancy.run('acme', () => tenancy.bind(() => tenancy.context.signal()))
  const seen = await inContext(async () => [bound(), tenancy.context.signal()])
  expect(seen).toEqual([undefined, controller.signal])
})

test('COMMIT runs though the context was aborted before it', async () => {
  const ending = inContext(() =>
    tenancy.transaction(async (client) => {
      await client.query("update orders set note = 'kept'")
      controller.abort(reason)
      return 'done'
    }),
  )
  expect(await ending).toBe('done')
  expect(await notes()).toEqual(['kept'])
})

test('a transaction one of whose statements was refused does not commit, whoever swallowed the error', async () => {
  const ending = inContext(() =>
    tenancy.transaction(async (client) => {
      await client.query("update orders set note = 'half'")
      controller.abort(reason)
      await client.query('select 1').catch(() => undefined)
      // Its connection is free already.
      expect(await tenancy.context.exit(notes)).toEqual([null])
      expect(client.getTransactionStatus()).toBe('E')
      const own = { text: 'select 1', signal: new AbortController().signal }
      await expect(client.query(own)).rejects.toBe(reason)
    }),
  )
  expect(await ending).toBe(reason)
  expect(await notes()).toEqual([null])
})

test('nor does one whose statement was cancelled; ROLLBACK runs, and the client can begin anew elsewhere', async () => {
  const client = await tenancy.poolFor('acme').connect()
  const ending = inContext(async () => {
    await client.query('begin')
    await client.query("update orders set note = 'half'")
    await client.query('select pg_sleep(20)')
  })
  await waitFor(async () => (await running('pg_sleep(20)')) === 1)
  controller.abort(reason)
  expect(await ending).toBe(reason)
  const rollback = await tenancy.run('acme', () => client.query('rollback'), { signal: controller.signal })
  expect(rollback.command).toBe('ROLLBACK')
  await client.query('begin')
  expect((await client.query('select 1')).rowCount).toBe(1)
  await client.query('commit')
  client.release()
  expect(await notes()).toEqual([null])
})

test('a transaction that was begun and not yet sent ends there', async () => {
  const ending = inContext(() =>
    tenancy.transaction(async (client) => {
      controller.abort(reason)
      await client.query("update orders set note = 'half'").catch(() => undefined)
    }),
  )
  expect(await ending).toBe(reason)
  expect(await notes()).toEqual([null])
})

test('a cursor that rests, and a stream that nobody reads, end; new ones are refused; connections are free', async () => {
  const seen: unknown[] = []
  await inContext(async () => {
    const client = await tenancy.pool.connect()
    const cursor = client.query(new Cursor('select generate_series(1, 100)'))
    seen.push((await cursor.read(1)).length)
    controller.abort(reason)
    seen.push(await cursor.read(1).catch((error: unknown) => error))
    client.release()
  })
  expect(seen).toEqual([1, reason])
  expect(await inContext(() => tenancy.pool.query(new QueryStream('select 1')).toArray())).toBe(reason)
  controller = new AbortController()
  const ending = inContext(async () => {
    const stream = tenancy.pool.query(
      new QueryStream('select generate_series(1, 100000)', [], { batchSize: 1 }),
    )
    for await (const row of stream) if (row !== undefined) controller.abort(reason)
  })
  expect(await ending).toBe(reason)
  await waitFor(() => tenancy.pool.idleCount === tenancy.pool.totalCount)
  expect(getEventListeners(controller.signal, 'abort')).toEqual([])
})

test('a cursor that rests for ever gives its connection back', async () => {
  await inContext(async () => {
    const client = await tenancy.pool.connect()
    const cursor = client.query(new Cursor('select generate_series(1, 100)'))
    await cursor.read(1)
    expect(tenancy.pool.idleCount).toBe(0)
    controller.abort(reason)
    await waitFor(() => tenancy.pool.idleCount === tenancy.pool.totalCount)
    client.release()
  }).then((error) => expect(error).toBeUndefined())
})

test('a cursor inside a transaction ends that too', async () => {
  const ending = inContext(() =>
    tenancy.transaction(async (client) => {
      await client.query("update orders set note = 'half'")
      const cursor = client.query(new Cursor('select generate_series(1, 100)'))
      await cursor.read(1)
      controller.abort(reason)
      await cursor.read(1).catch(() => undefined)
    }),
  )
  expect(await ending).toBe(reason)
  expect(await notes()).toEqual([null])
})

test('thirty statements at once make no warning, and leave no listener', async () => {
  const warn = vi.fn()
  process.on('warning', warn)
  const all = Array.from({ length: 30 }, () => () => tenancy.pool.query('select 1'))
  expect(await inContext(() => Promise.all(all.map((one) => one())))).toHaveLength(30)
  await sleep(20)
  process.off('warning', warn)
  expect(warn).not.toHaveBeenCalled()
  expect(getEventListeners(controller.signal, 'abort')).toEqual([])
})

test('P5: aborts of a context never hit the tenant that follows on the connection', async () => {
  let stopped = 0
  for (let round = 0; round < 20; round += 1) {
    controller = new AbortController()
    const work =
      round % 2 === 0
        ? () => tenancy.pool.query('select pg_sleep(0.02)')
        : () => tenancy.transaction((client) => client.query('select pg_sleep(0.02)'))
    const ending = inContext(work)
    setTimeout(() => controller.abort(reason), round * 2)
    const next = tenancy.poolFor('globex').query('select min(owner) as owner, pg_sleep(0.05) from orders')
    expect((await next).rows[0]?.['owner']).toBe('globex')
    if ((await ending) === reason) stopped += 1
  }
  // Worth something only where aborts met statements.
  expect(stopped).toBeGreaterThan(3)
})
