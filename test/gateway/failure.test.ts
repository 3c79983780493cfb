import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { waitFor } from '../support/wait-for.ts'

let world: TenantWorld
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
})
afterAll(() => world.close())

/** Ends every session of the runtime login, as a restart or a fail-over does. */
async function endSessions(): Promise<void> {
  await world.db.sql(
    `select pg_terminate_backend(pid, 5000) from pg_stat_activity
     where datname = current_database() and usename = 'tenantry_app'`,
  )
}

/** The code with which it fails; listens from the start, so that no rejection goes unheard meanwhile. */
async function codeOf(outcome: Promise<unknown> | undefined): Promise<string | undefined> {
  try {
    await outcome
  } catch (error) {
    return (error as { code?: string }).code
  }
  return undefined
}

test('P7: a statement in flight gets one clear error, and the next ones heal', async () => {
  const tenancy = world.open({ max: 2 })
  const pool = tenancy.poolFor('acme')
  await pool.query('select 1')
  const inFlight = codeOf(pool.query('select pg_sleep(20)'))
  await waitFor(
    async () =>
      (
        await world.db.sql(
          `select 1 from pg_stat_activity where datname = current_database()
           and query like '%pg_sleep(20)%' and state = 'active' and pid <> pg_backend_pid()`,
        )
      ).length > 0,
  )
  await endSessions()
  expect(await inFlight).toBe('TNY212')
  for (const key of ['acme', 'globex']) {
    const { rows } = await tenancy.poolFor(key).query('select distinct owner from orders')
    expect(rows).toEqual([{ owner: key }])
  }
})

test('P7: idle connections that the server ended cost no error: what never began is sent again', async () => {
  const tenancy = world.open({ max: 4 })
  const pool = tenancy.poolFor('acme')
  await Promise.all(Array.from({ length: 4 }, () => pool.query('select pg_sleep(0.05)')))
  expect(pool.idleCount).toBe(4)
  await endSessions()
  const answers = await Promise.all(Array.from({ length: 20 }, () => pool.query('select 1 as n')))
  expect(answers.every(({ rows }) => rows[0]?.['n'] === 1)).toBe(true)
})

test('P7: nor does the moment in which they are ended, before this process has heard of it', async () => {
  const tenancy = world.open({ max: 4 })
  const pool = tenancy.poolFor('acme')
  for (let round = 0; round < 10; round += 1) {
    await Promise.all(Array.from({ length: 4 }, () => pool.query('select pg_sleep(0.02)')))
    await world.db.sql(
      `select pg_terminate_backend(pid) from pg_stat_activity
       where datname = current_database() and usename = 'tenantry_app'`,
    )
    const answers = await Promise.allSettled(Array.from({ length: 8 }, () => pool.query('select 1')))
    expect(answers.filter(({ status }) => status === 'rejected')).toEqual([])
  }
})

test('P7: a transaction that lost its connection runs nothing outside of it', async () => {
  const tenancy = world.open({ max: 2 })
  const client = await tenancy.poolFor('acme').connect()
  await client.query('begin')
  await client.query("update orders set note = 'inside'")
  await endSessions()
  await expect(client.query('select 1')).rejects.toMatchObject({ code: 'TNY212' })
  // A caller that goes on all the same must not write on its own, in autocommit.
  await expect(client.query("update orders set note = 'outside'")).rejects.toMatchObject({ code: 'TNY212' })
  await client.query('rollback')
  const result = await client.query('select count(note)::int as n from orders')
  expect(result?.rows).toEqual([{ n: 0 }])
  client.release()
})

test('P4: a connection lost during COMMIT says that the outcome is unknown', async () => {
  const tenancy = world.open({ max: 2 })
  const { schema = '' } = world.tenants['acme']?.home ?? {}
  await world.db.sql(`
    create function ${schema}.slow() returns trigger language plpgsql as 'begin perform pg_sleep(20); return null; end';
    grant execute on function ${schema}.slow() to public;
    create constraint trigger slow after insert on ${schema}.orders deferrable initially deferred
      for each row execute function ${schema}.slow()`)
  const client = await tenancy.poolFor('acme').connect()
  await client.query('begin')
  await client.query("insert into orders (owner) values ('acme')")
  const commit = codeOf(client.query('commit'))
  await waitFor(
    async () =>
      (
        await world.db.sql(
          "select 1 from pg_stat_activity where datname = current_database() and wait_event = 'PgSleep'",
        )
      ).length > 0,
  )
  await endSessions()
  expect(await commit).toBe('TNY206')
  client.release()
  await world.db.sql(`drop trigger slow on ${schema}.orders`)
})

test('a server that is not there is a 503 that says so, and nothing waits past its deadline', async () => {
  const away = Object.assign(new URL(world.db.appUrl), { port: '1' }).href
  const tenancy = world.open({ connection: away, waitTimeoutMs: 2_000 })
  const answers = await Promise.allSettled(
    Array.from({ length: 20 }, () => tenancy.poolFor('acme').query('select 1')),
  )
  for (const answer of answers) {
    expect(answer).toMatchObject({
      status: 'rejected',
      reason: { code: 'TNY202', status: 503, retryAfter: 1 },
    })
  }
  expect((await tenancy.health()).ok).toBe(false)
})

test('a wrong password is told as PostgreSQL says it: that is no outage', async () => {
  const wrong = Object.assign(new URL(world.db.appUrl), { password: 'wrong' }).href
  await expect(world.open({ connection: wrong }).ready()).rejects.toMatchObject({ code: '28P01' })
})

test('waiting for a connection ends with TNY203, and the pool serves again afterwards', async () => {
  const tenancy = world.open({ max: 1, waitTimeoutMs: 200 })
  const holder = await tenancy.poolFor('acme').connect()
  await holder.query('begin')
  await holder.query('select 1')
  await expect(tenancy.poolFor('globex').query('select 1')).rejects.toMatchObject({
    code: 'TNY203',
    status: 503,
  })
  await holder.query('commit')
  holder.release()
  await expect(tenancy.poolFor('globex').query('select 1')).resolves.toBeDefined()
})

test('never opens more connections than allowed, however many tenants and statements', async () => {
  const tenancy = world.open({ max: 3 })
  const pids = new Set<unknown>()
  await Promise.all(
    Array.from({ length: 300 }, async (_, n) => {
      const { rows } = await tenancy
        .poolFor(n % 2 === 0 ? 'acme' : 'globex')
        .query('select pg_backend_pid() as pid')
      pids.add(rows[0]?.['pid'])
    }),
  )
  expect(pids.size).toBeLessThanOrEqual(3)
})

test('close() waits for statements in flight, refuses new ones, and leaves no connection', async () => {
  const tenancy = world.open({ max: 2 })
  await tenancy.ready()
  const slow = tenancy.poolFor('acme').query("select 'done' as state from pg_sleep(0.3)")
  await waitFor(() => tenancy.pool.totalCount > 0 && tenancy.pool.idleCount < tenancy.pool.totalCount)
  const closing = tenancy.close()
  await expect(tenancy.poolFor('acme').query('select 1')).rejects.toMatchObject({ code: 'TNY208' })
  expect((await slow).rows).toEqual([{ state: 'done' }])
  await closing
  expect(tenancy.pool.totalCount).toBe(0)
})
