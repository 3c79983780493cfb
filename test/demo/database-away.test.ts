import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { prepareEmbedded, type ProjectServer } from '../../dev/project.ts'
import { type Answer, statuses } from '../http/raw-http.ts'
import { exampleControl, type ExampleServer, startExample } from '../support/example-server.ts'
import { waitFor } from '../support/wait-for.ts'

/** What an answer may take while there is no database to answer. */
const DEADLINE_MS = 2_000

const dir = mkdtempSync(join(tmpdir(), 'tenantry-away-'))
let database: ProjectServer
let server: ExampleServer

beforeAll(async () => {
  database = await prepareEmbedded({ dir })
  const control = await exampleControl(database.adminUrl)
  for (const key of ['acme', 'globex']) await control.tenants.create({ key, name: key })
  await control.close()
  server = await startExample(database, { POOL_MAX: '4' })
}, 60_000)
afterAll(async () => {
  await server?.stop()
  await database?.stop()
  rmSync(dir, { recursive: true, force: true })
})

function order(key: string): Promise<Answer> {
  return server.post(`${key}.localhost`, '/orders', { customer: key, amount: 1 })
}

function expectUnavailable({ status, headers, text }: Answer): void {
  expect(status, text).toBe(503)
  expect(headers['content-type']).toBe('application/problem+json')
  expect(Number(headers['retry-after'])).toBeGreaterThan(0)
  expect(text).not.toMatch(/ECONN|127\.0\.0\.1|postgres|acme|globex|\bat \/|\.ts\b/i)
}

async function heals(): Promise<void> {
  for (const key of ['acme', 'globex']) await waitFor(async () => (await order(key)).status === 201)
  expect(await server.ask('localhost', '/readyz')).toMatchObject({ status: 200 })
}

test('P7: sessions that were ended while idle are found out, and their statements sent again', async () => {
  const client = new pg.Client(database.superuserUrl)
  await client.connect()
  const received = Array.from({ length: 4 }, () => '')
  const sockets = received.map((_, at) => {
    const socket = connect(server.port, '127.0.0.1').setEncoding('latin1')
    return socket.on('data', (text: string) => (received[at] += text))
  })
  for (let round = 1; round <= 5; round += 1) {
    await waitFor(() => received.every((text) => statuses(text).length === round - 1))
    // Held still, so that it takes the requests before it hears that its connections are dead.
    server.signal('SIGSTOP')
    for (const socket of sockets) socket.write('GET /orders HTTP/1.1\r\nHost: acme.localhost\r\n\r\n')
    await sleep(50)
    await client.query(
      "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = 'tenantry_app'",
    )
    server.signal('SIGCONT')
  }
  await waitFor(() => received.every((text) => statuses(text).length === 5))
  const failed = received.flatMap(statuses).filter((status) => status !== 200)
  expect(failed.filter((status) => status !== 503)).toEqual([])
  // Without sending again it is every second one. A reset connection may have lost an answer: that is never sent again.
  expect(failed.length).toBeLessThanOrEqual(3)
  for (const socket of sockets) socket.destroy()
  await client.end()
})

test('P7: a statement in flight when its session is ended is one 503, and the next is served', async () => {
  const client = new pg.Client(database.superuserUrl)
  await client.connect()
  // A lock on the table would hold it while it is parsed, where it may be sent again; this holds it while it runs.
  await client.query(`create function public.dawdle() returns trigger language plpgsql
    as 'begin perform pg_sleep(60); return new; end'`)
  await client.query(
    'create trigger dawdle before insert on tenant_acme.orders for each row execute function public.dawdle()',
  )
  const inFlight = order('acme')
  const running = "from pg_stat_activity where usename = 'tenantry_app' and wait_event = 'PgSleep'"
  await waitFor(async () => (await client.query(`select ${running}`)).rows.length === 1)
  await client.query(`select pg_terminate_backend(pid) ${running}`)
  expectUnavailable(await inFlight)
  await client.query('drop function public.dawdle() cascade')
  await client.end()
  expect((await order('acme')).status).toBe(201)
})

test(
  'P7: a server that is away is a 503 in time, for known and unknown tenants, and heals alone',
  { timeout: 60_000 },
  async () => {
    const { port } = database.server
    await database.stop()
    for (const host of ['acme.localhost', 'globex.localhost', 'never-seen.localhost']) {
      for (const path of ['/orders', '/orders/1', '/me']) {
        const since = performance.now()
        expectUnavailable(await server.ask(host, path))
        expect(performance.now() - since).toBeLessThan(DEADLINE_MS)
      }
    }
    const since = performance.now()
    const crowd = await Promise.all(Array.from({ length: 64 }, () => server.ask('acme.localhost', '/orders')))
    for (const answer of crowd) expectUnavailable(answer)
    expect(performance.now() - since).toBeLessThan(DEADLINE_MS)
    expect((await server.post('localhost', '/signup', { key: 'hooli', name: 'Hooli' })).status).toBe(503)
    expect((await server.ask('localhost', '/healthz')).status).toBe(200)
    expect((await server.ask('localhost', '/readyz')).status).toBe(503)
    expect((await server.ask('a_b.localhost', '/orders')).status).toBe(400)

    database = await prepareEmbedded({ dir, port })
    await heals()
    expect((await server.ask('never-seen.localhost', '/orders')).status).toBe(404)
    expect((await server.post('localhost', '/signup', { key: 'hooli', name: 'Hooli' })).status).toBe(201)
  },
)

test(
  'P7: a restart under load is nothing but 201 and 503, and every 201 is stored',
  { timeout: 60_000 },
  async () => {
    const { port } = database.server
    const seen = new Map<number, number>()
    let done = false
    const before = await stored()
    const customers = Array.from({ length: 8 }, async () => {
      while (!done) {
        const { status } = await order('globex')
        seen.set(status, (seen.get(status) ?? 0) + 1)
      }
    })
    await waitFor(() => (seen.get(201) ?? 0) > 50)
    await database.stop()
    database = await prepareEmbedded({ dir, port })
    const served = seen.get(201) ?? 0
    await waitFor(() => (seen.get(201) ?? 0) > served + 50)
    done = true
    await Promise.all(customers)
    expect([...seen.keys()].toSorted((a, b) => a - b)).toEqual([201, 503])
    // A statement that was lost on the way back may have run: more is possible, less is not.
    expect((await stored()) - before).toBeGreaterThanOrEqual(seen.get(201) ?? 0)
    expect((await stored()) - before).toBeLessThanOrEqual((seen.get(201) ?? 0) + 8)
  },
)

async function stored(): Promise<number> {
  const client = new pg.Client(database.superuserUrl)
  await client.connect()
  const { rows } = await client.query<{ count: number }>('select count(*)::int from tenant_globex.orders')
  await client.end()
  return rows[0]?.count ?? 0
}
