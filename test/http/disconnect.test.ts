import { EventEmitter, getEventListeners, once } from 'node:events'
import express from 'express'
import { Agent, type IncomingMessage, request, type Server, type ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { problemHandler, tenantMiddleware } from '../../src/http/express.ts'
import { requestSignal } from '../../src/http/node-exchange.ts'
import { subdomain, type Tenancy, TenantryError } from '../../src/index.ts'
import { knexForTenants } from '../../src/orm/knex.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { waitFor } from '../support/wait-for.ts'
import { portOf } from './raw-http.ts'

const HEADERS = { host: 'acme.localhost' }

let world: TenantWorld
let tenancy: Tenancy
let server: Server
let failures: unknown[]
let reported: unknown[]
let signals: (AbortSignal | undefined)[]
let responses: ServerResponse[]
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  tenancy = world.open({ max: 1, statementTimeoutMs: 15_000 })
  await tenancy.ready()
})
afterAll(() => world.close())
afterEach(async () => {
  server.closeAllConnections()
  server.close()
  await once(server, 'close')
  await world.db.sql(`update ${schema()}.orders set note = null`)
})

function schema(): string {
  return world.tenants['acme']?.home.schema ?? ''
}

/** Each route writes slowly, in a way of its own; what its handler fails with is kept. */
async function start(abortOnDisconnect?: boolean): Promise<number> {
  ;[failures, reported, signals, responses] = [[], [], [], []]
  const dbForTenant = knexForTenants(tenancy)
  const note = "with slow as (select pg_sleep(0.6)) update orders set note = 'written' from slow"
  const work: Record<string, () => Promise<unknown>> = {
    pool: () => tenancy.pool.query(note),
    transaction: () =>
      tenancy.transaction(async (client) => {
        await client.query("update orders set note = 'half'")
        await client.query(note)
      }),
    knex: async () => dbForTenant().raw(note),
    wrapped: () =>
      tenancy.pool.query(note).catch((error: unknown) => {
        throw new Error('The ORM says no', { cause: error })
      }),
    quick: () => tenancy.pool.query('select 1'),
  }
  const app = express()
  app.use(
    tenantMiddleware(tenancy, {
      resolve: subdomain({ root: 'localhost' }),
      ...(abortOnDisconnect !== undefined && { abortOnDisconnect }),
    }),
  )
  app.post('/:way', async (req, res) => {
    signals.push(tenancy.context.signal())
    responses.push(res)
    try {
      await work[req.params.way]?.()
    } catch (error) {
      failures.push(error)
      throw error
    }
    res.json({ ok: true })
  })
  app.use(problemHandler({ onError: (error) => reported.push(error) }))
  server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return portOf(server)
}

/** Sends a request and goes away once `until` says so. */
async function leave(port: number, way: string, until: () => boolean | Promise<boolean>): Promise<void> {
  const options = { port, host: '127.0.0.1', path: `/${way}`, method: 'POST', headers: HEADERS, agent: false }
  const client = request(options)
  client.on('error', () => undefined)
  client.end()
  await waitFor(until)
  client.destroy()
}

async function isRunning(): Promise<boolean> {
  const rows = await world.db.sql(
    `select 1 from pg_stat_activity where datname = current_database() and usename = 'tenantry_app'
     and state = 'active' and strpos(query, 'pg_sleep(0.6)') > 0`,
  )
  return rows.length > 0
}

async function notes(): Promise<unknown[]> {
  const rows = await world.db.sql(`select distinct note from ${schema()}.orders order by 1`)
  return rows.map(({ note }) => note)
}

test.each(['pool', 'transaction', 'knex', 'wrapped'])(
  'the client leaves while its statement runs (%s): cancelled, no effect, nothing reported; the connection serves on',
  async (way) => {
    const port = await start(true)
    const before = await tenancy.poolFor('globex').query('select pg_backend_pid() as pid')
    await leave(port, way, isRunning)
    await waitFor(() => failures.length === 1)
    const error = failures[0] as Error
    expect(way === 'wrapped' ? error.cause : error).toMatchObject({ code: 'TNY107', status: 499 })
    expect(await isRunning()).toBe(false)
    const after = await tenancy.poolFor('globex').query('select pg_backend_pid() as pid')
    expect(after.rows).toEqual(before.rows)
    expect(await notes()).toEqual([null])
    expect(reported).toEqual([])
    expect(getEventListeners(signals[0] as AbortSignal, 'abort')).toEqual([])
  },
)

test.each([undefined, false])(
  'without the option (%s) the statement goes on, and its effect is there: the control',
  async (option) => {
    const port = await start(option)
    await leave(port, 'transaction', isRunning)
    await waitFor(async () => (await notes())[0] === 'written')
    expect(signals).toEqual([undefined])
    expect(failures).toEqual([])
  },
)

test.each(['pool', 'transaction', 'knex'])(
  'the client leaves while its statement waits (%s): it leaves the queue and never runs',
  async (way) => {
    const port = await start(true)
    const holder = await tenancy.poolFor('globex').connect()
    await holder.query('begin')
    await holder.query('select 1')
    await leave(port, way, () => tenancy.pool.waitingCount === 1)
    await waitFor(() => failures.length === 1)
    expect(failures[0]).toMatchObject({ code: 'TNY107' })
    expect(tenancy.pool.waitingCount).toBe(0)
    await holder.query('commit')
    holder.release()
    expect((await tenancy.poolFor('acme').query('select note from orders')).rows[0]).toEqual({ note: null })
    expect(reported).toEqual([])
  },
)

test('after an answer nothing was aborted and nothing listens, also where the connection is kept alive', async () => {
  const port = await start(true)
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  const options = { port, host: '127.0.0.1', path: '/quick', method: 'POST', headers: HEADERS, agent }
  for (let n = 0; n < 20; n += 1) {
    const [answer] = (await once(request(options).end(), 'response')) as [IncomingMessage]
    expect(answer.statusCode).toBe(200)
    await once(answer.resume(), 'end')
  }
  agent.destroy()
  expect(signals).toHaveLength(20)
  for (const [n, response] of responses.entries()) {
    const signal = signals[n]
    await waitFor(() => response.closed)
    expect(signal?.aborted).toBe(false)
    expect(getEventListeners(signal as AbortSignal, 'abort')).toEqual([])
    // Express' own listeners stay on it.
    expect(response.listeners('close').filter(({ name }) => name === 'onClose')).toEqual([])
    response.emit('close')
    expect(signal?.aborted).toBe(false)
  }
})

test('who left while the tenant was looked up is known at once', () => {
  const response = Object.assign(new EventEmitter(), { destroyed: true, writableFinished: false })
  const signal = requestSignal(response as unknown as ServerResponse)
  expect(signal.reason).toBeInstanceOf(TenantryError)
  expect(response.listenerCount('close')).toBe(0)
})

test('P5: twenty clients that leave never hit the next tenant on their connection', async () => {
  const port = await start(true)
  for (let round = 0; round < 20; round += 1) {
    const owners: Promise<unknown>[] = []
    await leave(port, round % 2 === 0 ? 'pool' : 'transaction', async () => {
      if (!(await isRunning())) return false
      const next = tenancy.poolFor('globex').query('select min(owner) as owner, pg_sleep(0.03) from orders')
      owners.push(next.then(({ rows }) => rows[0]?.['owner']))
      return true
    })
    expect(await Promise.all(owners)).toEqual(['globex'])
  }
  await waitFor(() => failures.length === 20)
  await sleep(10)
  expect(reported).toEqual([])
  expect(await notes()).toEqual([null])
})
