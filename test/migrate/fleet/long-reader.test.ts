/** M1: a report that runs for long is in the way of ALTER TABLE, while users go on working. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { createTenancy, type Tenancy } from '../../../src/index.ts'
import { createSampleControl, SAMPLE_MASTER_KEY, type SampleControl } from '../../lifecycle/sample-control.ts'
import { waitFor } from '../../support/wait-for.ts'

const LOCK_TIMEOUT_MS = 200
/** Five times of lock timeout and one retry, for a machine that is busy with other tests. */
const BOUND_MS = 5 * 2 * LOCK_TIMEOUT_MS

let sample: SampleControl
let tenancy: Tenancy
beforeAll(async () => {
  sample = await createSampleControl()
  tenancy = createTenancy({ connection: sample.database.appUrl, masterKey: SAMPLE_MASTER_KEY })
}, 60_000)
afterAll(async () => {
  await tenancy.close()
  await sample.close()
})

/** A transaction that has read the table, and stays open until it is told to end. */
async function readLong(schema: string): Promise<{ end(): Promise<void> }> {
  const reader = new pg.Client(sample.database.superuserUrl)
  await reader.connect()
  await reader.query(`begin; select * from ${schema}.orders`)
  return { end: () => reader.end() }
}

/** Users who read and write all the time. @returns what stops them, and says how long the slowest request took. */
function work(key: string): () => Promise<{ slowestMs: number; requests: number }> {
  let [going, slowestMs, requests] = [true, 0, 0]
  const user = async (): Promise<void> => {
    while (going) {
      const startedAt = performance.now()
      await tenancy.poolFor(key).query("update orders set customer = 'x' where false")
      await tenancy.poolFor(key).query('select customer from orders')
      slowestMs = Math.max(slowestMs, performance.now() - startedAt)
      requests += 1
    }
  }
  const users = Promise.all([user(), user(), user()])
  return async () => {
    going = false
    await users
    return { slowestMs, requests }
  }
}

async function isQueueing(login: string): Promise<boolean> {
  const rows = await sample.database.sql(
    "select from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database() and usename = $1",
    [login],
  )
  return rows.length > 0
}

const addColumn = (name: string): Promise<void> =>
  writeFile(
    join(sample.migrations, `170000000000${name === 'a' ? 2 : 3}_${name}.sql`),
    `alter table orders add column ${name} text`,
  )

test.each(['schema', 'shared'] as const)(
  'M1: no request waits longer than the lock timeout while a long reader is in the way, and in the end it is done: %s',
  { timeout: 60_000 },
  async (model) => {
    const key = `reading-${model}`
    const { home } = await sample.control.tenants.create({ key, model })
    await addColumn(model === 'schema' ? 'a' : 'b')
    const only = model === 'schema' ? [key] : ['shared tenants']
    const up = () => sample.control.migrate.up({ lockTimeoutMs: LOCK_TIMEOUT_MS, only })
    const reader = await readLong(home.schema)
    const stop = work(key)
    onTestFinished(() => stop().then(() => undefined))
    const startedAt = performance.now()
    let met = 0
    while (performance.now() - startedAt < 1.2 * BOUND_MS) {
      const { failed, tookMs } = await up()
      expect(failed).toHaveLength(1)
      // Four attempts, and three pauses of half the timeout at least.
      expect(tookMs).toBeGreaterThan(5 * LOCK_TIMEOUT_MS)
      expect(failed[0]?.error.message).toMatch(/lock timeout/)
      met += 1
    }
    expect(met).toBeGreaterThan(0)
    // It is no fault of the tenant's.
    expect(await sample.database.sql('select from tenantry.quarantine')).toEqual([])
    const last = up()
    await waitFor(() => isQueueing('tenantry_admin'))
    await reader.end()
    const outcome = await last
    // A busy machine may have ended the attempts before the reader went.
    const report = outcome.failed.length > 0 ? await up() : outcome
    expect(report).toMatchObject({ failed: [], tenants: [{ key: only[0] }] })
    const { slowestMs, requests } = await stop()
    expect(requests).toBeGreaterThan(10)
    expect(slowestMs).toBeLessThan(BOUND_MS)
  },
)

test(
  'M1: unsafe control: without a lock timeout everybody queues until the reader ends',
  { timeout: 60_000 },
  async () => {
    const { home } = await sample.control.tenants.create({ key: 'queueing' })
    const reader = await readLong(home.schema)
    const altering = new pg.Client(sample.database.superuserUrl)
    await altering.connect()
    const altered = altering.query(`alter table ${home.schema}.orders add column c text`)
    await waitFor(() => isQueueing('postgres'))
    const stop = work('queueing')
    await waitFor(() => isQueueing('tenantry_app'))
    const startedAt = performance.now()
    await waitFor(() => performance.now() - startedAt > BOUND_MS)
    expect(await isQueueing('tenantry_app')).toBe(true)
    await reader.end()
    await altered
    await altering.end()
    const { slowestMs } = await stop()
    expect(slowestMs).toBeGreaterThan(BOUND_MS)
  },
)
