import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

let world: TenantWorld
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex', 'hooli')
})
afterAll(() => world.close())

const SLOW = 'select pg_sleep(0.05)'

test('P6: a flood of one tenant does not keep another waiting; first come first served would', async () => {
  const tenancy = world.open({ max: 2 })
  const finished: string[] = []
  const run = (key: string): Promise<unknown> =>
    tenancy
      .poolFor(key)
      .query(SLOW)
      .then(() => finished.push(key))
  const flood = Array.from({ length: 40 }, () => run('acme'))
  const quiet = Array.from({ length: 3 }, () => run('globex'))
  await Promise.all([...flood, ...quiet])
  // In the order of arrival they would be 41st to 43rd.
  expect(finished.lastIndexOf('globex')).toBeLessThan(12)
})

test('P6: alone a tenant holds all but what is kept for others, and its share while others wait', async () => {
  const tenancy = world.open({ max: 4 })
  const active = async (): Promise<number> => {
    const rows = await world.db.sql(
      `select from pg_stat_activity where datname = current_database() and query = '${SLOW}' and state = 'active'`,
    )
    return rows.length
  }
  const alone = Array.from({ length: 60 }, () => tenancy.poolFor('acme').query(SLOW))
  const most = await sample(active, 20)
  expect(Math.max(...most)).toBe(3)
  const others = Array.from({ length: 40 }, () =>
    tenancy.poolFor('globex').query("select pg_sleep(0.05), 'globex'"),
  )
  const shared = await sample(active, 20)
  // A sample may see one that ends and its successor at once.
  expect(shared.toSorted((a, b) => a - b)[10]).toBeLessThanOrEqual(2)
  await Promise.all([...alone, ...others])
})

async function sample(question: () => Promise<number>, times: number): Promise<number[]> {
  const answers: number[] = []
  for (let n = 0; n < times; n += 1) {
    answers.push(await question())
    await sleep(10)
  }
  return answers
}

test('turns go by weight', async () => {
  const tenancy = world.open({ max: 1, limits: ({ key }) => ({ weight: key === 'acme' ? 3 : 1 }) })
  await tenancy.ready()
  const finished: string[] = []
  const run = (key: string): Promise<unknown> =>
    tenancy
      .poolFor(key)
      .query('select pg_sleep(0.002)')
      .then(() => finished.push(key))
  await Promise.all(Array.from({ length: 60 }, () => [run('acme'), run('globex')]).flat())
  const early = finished.slice(4, 44).filter((key) => key === 'acme').length
  expect(early).toBeGreaterThanOrEqual(26)
  expect(early).toBeLessThanOrEqual(34)
})

test('a tenant never holds more than its own bound, even alone', async () => {
  const tenancy = world.open({ max: 4, limits: () => ({ maxConnections: 1 }) })
  const startedAt = performance.now()
  await Promise.all(Array.from({ length: 4 }, () => tenancy.poolFor('hooli').query(SLOW)))
  expect(performance.now() - startedAt).toBeGreaterThan(4 * 50 - 10)
})

test('the queue is bounded, and who finds it full is told at once', async () => {
  const tenancy = world.open({ max: 1, maxWaiting: 5 })
  await tenancy.ready()
  const answers = await Promise.allSettled(
    Array.from({ length: 10 }, () => tenancy.poolFor('acme').query(SLOW)),
  )
  const codes = answers.map((answer) =>
    answer.status === 'rejected' ? (answer.reason as { code: string }).code : 'ok',
  )
  expect(codes.filter((code) => code === 'ok')).toHaveLength(6)
  expect(codes.filter((code) => code === 'TNY214')).toHaveLength(4)
})

test('time limits come with the tenant: of a statement, and of a transaction that rests', async () => {
  const tenancy = world.open({
    max: 2,
    limits: ({ key }) => (key === 'acme' ? { statementTimeoutMs: 50, idleInTransactionTimeoutMs: 50 } : {}),
  })
  await expect(tenancy.poolFor('acme').query('select pg_sleep(5)')).rejects.toMatchObject({ code: '57014' })
  await expect(tenancy.poolFor('globex').query('select pg_sleep(0.1)')).resolves.toBeDefined()
  const client = await tenancy.poolFor('acme').connect()
  await client.query('begin')
  await client.query('select 1')
  await sleep(150)
  await expect(client.query('select 1')).rejects.toMatchObject({ code: 'TNY212' })
  client.release()
  const { rows } = await tenancy.central.query("select current_setting('statement_timeout') as time")
  expect(rows).toEqual([{ time: '0' }])
})
