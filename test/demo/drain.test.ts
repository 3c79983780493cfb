import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { exampleControl, type ExampleServer, startExample } from '../support/example-server.ts'
import { waitFor } from '../support/wait-for.ts'

let db: TestDatabase
let server: ExampleServer

beforeAll(async () => {
  db = await createTestDatabase()
  const control = await exampleControl(db.adminUrl)
  for (const key of ['acme', 'globex']) await control.tenants.create({ key, name: key })
  await control.close()
})
afterAll(async () => {
  server?.signal('SIGKILL')
  await db?.drop()
})

/** Begins a request that the database answers only after `release`. */
async function slowOrder(): Promise<{ answer: Promise<number>; release(): Promise<void> }> {
  const client = new pg.Client(db.superuserUrl)
  await client.connect()
  await client.query('begin')
  await client.query('lock table tenant_acme.orders in access exclusive mode')
  const answer = server.post('acme.localhost', '/orders', { customer: 'slow', amount: 1 }).then(
    ({ status }) => status,
    (error: unknown) => String(error),
  ) as Promise<number>
  await waitFor(async () => {
    const { rows } = await client.query(
      "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()",
    )
    return rows.length > 0
  })
  return {
    answer,
    async release() {
      await client.query('rollback')
      await client.end()
    },
  }
}

test.each(['SIGTERM', 'SIGINT'] as const)(
  '%s: what is in flight is answered, what is new is refused, and the process ends with 0',
  async (signal) => {
    server = await startExample(db, { POOL_MAX: '2' })
    const slow = await slowOrder()
    server.signal(signal)
    const refused = await waitForRefusal()
    expect(refused === undefined || refused === 503).toBe(true)
    await slow.release()
    expect(await slow.answer).toBe(201)
    expect(await server.ended).toEqual({ code: 0, signal: null })
    expect(server.stderr()).toBe('')
    // Nothing of it stays connected.
    await waitFor(async () => {
      const sessions = await db.sql(
        "select from pg_stat_activity where usename = 'tenantry_app' and datname = current_database()",
      )
      return sessions.length === 0
    }, 2_000)
  },
)

test(
  'a request that takes longer than the drain may is cut off, and the exit code says so',
  { timeout: 40_000 },
  async () => {
    server = await startExample(db, { POOL_MAX: '2' })
    const slow = await slowOrder()
    const since = performance.now()
    server.signal('SIGTERM')
    expect(await slow.answer).toMatch(/socket hang up|ECONNRESET/)
    expect((await server.ended).code).toBe(1)
    const seconds = (performance.now() - since) / 1_000
    expect(seconds).toBeGreaterThan(9)
    expect(seconds).toBeLessThan(25)
    await slow.release()
  },
)

/** The status of the first request that is not served any more; undefined where not even the connection is taken. */
async function waitForRefusal(): Promise<number | undefined> {
  const seen: (number | undefined)[] = [200]
  await waitFor(async () => {
    const status = await server.ask('globex.localhost', '/orders').then(
      (answer) => answer.status,
      () => undefined,
    )
    seen.push(status)
    return status !== 200
  })
  return seen.at(-1)
}
