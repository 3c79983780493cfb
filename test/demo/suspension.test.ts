import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ControlPlane } from '../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { exampleControl, type ExampleServer, startExample } from '../support/example-server.ts'
import { BUSY_MS, waitFor } from '../support/wait-for.ts'

/** THREATS I8: how long a change may take until it holds in every process. Without its being heard, it never would. */
const EFFECTIVE_MS = 1_000 + BUSY_MS

let db: TestDatabase
/** In this process, while the server is another: nothing but the database lies between them. */
let control: ControlPlane
let server: ExampleServer
let count = 0

beforeAll(async () => {
  db = await createTestDatabase()
  control = await exampleControl(db.adminUrl)
  server = await startExample(db, { POOL_MAX: '2' })
}, 60_000)
afterAll(async () => {
  await server?.stop()
  await control?.close()
  await db?.drop()
})

async function statusOf(key: string, path = '/me'): Promise<number> {
  return (await server.ask(`${key}.localhost`, path)).status
}

/** A tenant that the server has in its memory. */
async function warmTenant(): Promise<string> {
  count += 1
  const key = `tenant-${count}`
  await control.tenants.create({ key, name: key })
  await waitFor(async () => (await statusOf(key)) === 200)
  for (let round = 0; round < 5; round += 1) await statusOf(key)
  return key
}

async function takesEffect(key: string, status: number): Promise<void> {
  expect(await waitFor(async () => (await statusOf(key)) === status)).toBeLessThan(EFFECTIVE_MS)
}

/** Ends the listener's session, which is the one that asks nothing but whether it still hears. */
async function killListener(): Promise<void> {
  // It may be on its way back from the test before.
  await waitFor(async () => {
    const killed = await db.sql(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and usename = 'tenantry_app' and (query = 'select 1' or query ilike 'listen%')`,
    )
    return killed.length > 0
  })
}

describe('I8: a change by another process takes effect within a second', () => {
  test('suspend and resume', async () => {
    const key = await warmTenant()
    await control.tenants.suspend(key)
    await takesEffect(key, 404)
    await control.tenants.resume(key)
    await takesEffect(key, 200)
  })

  test('the same right after the connection that hears of changes was killed', async () => {
    const key = await warmTenant()
    await killListener()
    await control.tenants.suspend(key)
    await takesEffect(key, 404)
    await control.tenants.resume(key)
    await takesEffect(key, 200)
  })

  test('the same where the kill comes just after the change', async () => {
    const key = await warmTenant()
    await Promise.all([control.tenants.suspend(key), killListener()])
    await takesEffect(key, 404)
  })

  test('the same while the listener cannot come back, and after it did', async () => {
    const key = await warmTenant()
    // Sessions that are there stay; new ones of the application are refused.
    await db.sql(`revoke connect on database ${db.name} from public`)
    await killListener()
    await control.tenants.suspend(key)
    await takesEffect(key, 404)
    await control.tenants.resume(key)
    await takesEffect(key, 200)
    await db.sql(`grant connect on database ${db.name} to public`)
    await waitFor(async () => {
      const rows = await db.sql(
        `select from pg_stat_activity where datname = current_database() and usename = 'tenantry_app'
         and (query = 'select 1' or query ilike 'listen%')`,
      )
      return rows.length > 0
    })
    await control.tenants.suspend(key)
    await takesEffect(key, 404)
  })

  test('rename: the new key answers, the old one only as an alias', async () => {
    const kept = await warmTenant()
    // The server remembers that there is no such tenant.
    expect(await statusOf(`${kept}-new`)).toBe(404)
    await control.tenants.rename(kept, { key: `${kept}-new` })
    await takesEffect(`${kept}-new`, 200)
    expect(await statusOf(kept)).toBe(200)

    const moved = await warmTenant()
    await control.tenants.rename(moved, { key: `${moved}-new`, keepAlias: false })
    await takesEffect(moved, 404)
    await takesEffect(`${moved}-new`, 200)
  })

  test('delete; a later tenant of the same key sees nothing of the first', async () => {
    const key = await warmTenant()
    expect((await server.post(`${key}.localhost`, '/orders', { customer: 'first', amount: 1 })).status).toBe(
      201,
    )
    await control.tenants.delete(key, { confirm: key })
    await takesEffect(key, 404)
    await control.tenants.create({ key, name: key })
    await takesEffect(key, 200)
    expect((await server.ask(`${key}.localhost`, '/orders')).text).toBe('[]')
  })
})

test('I8: requests that meet a suspension get rows or a refusal, never an error', async () => {
  const key = await warmTenant()
  const seen = new Map<number, number>()
  let done = false
  const customers = Array.from({ length: 8 }, async () => {
    while (!done) {
      const status = await statusOf(key, '/orders')
      seen.set(status, (seen.get(status) ?? 0) + 1)
    }
  })
  for (let round = 0; round < 5; round += 1) {
    await control.tenants.suspend(key)
    await takesEffect(key, 404)
    await control.tenants.resume(key)
    await takesEffect(key, 200)
  }
  done = true
  await Promise.all(customers)
  // Never 503: where the database refused what memory still allowed, the answer is that of a stranger's tenant (I3).
  expect(
    [...seen.keys()].filter((status) => ![200, 404].includes(status)),
    server.stderr(),
  ).toEqual([])
  expect(seen.get(200)).toBeGreaterThan(0)
})
