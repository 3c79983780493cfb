/** What `up` is told beside waves: whom, how far, how many at a time, and when to stop. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { reportFailure } from '../../../src/migrate/fleet/migration-report.ts'
import type { UpOptions } from '../../../src/migrate/fleet/run-options.ts'
import { waitFor } from '../../support/wait-for.ts'
import { createFleetWorld, type FleetWorld } from './fleet-world.ts'

let world: FleetWorld
beforeEach(async () => {
  world = await createFleetWorld(6)
})
afterEach(() => world.drop())

async function applied(): Promise<string> {
  const { tenants } = await world.migrations().status()
  return tenants.map((tenant) => tenant.applied).join('')
}

test('only some tenants, by key or id, and only up to a migration', async () => {
  await world.folder.write({
    '2_a.sql': "insert into log values ('a')",
    '3_b.sql': "insert into log values ('b')",
  })
  const migrations = world.migrations()
  expect((await migrations.up({ only: ['t1', 't4'], to: '2' })).tenants).toHaveLength(2)
  expect(await applied()).toBe('020020')
  expect((await migrations.up({ to: '1_log' })).unchanged).toBe(2)
  expect(await applied()).toBe('121121')
  await migrations.up({ to: '3_b.sql' })
  expect(await applied()).toBe('333333')
  expect((await migrations.status({ only: ['t4'] })).tenants.map(({ key }) => key)).toEqual(['t4'])
})

test.each<[string, UpOptions, RegExp]>([
  ['an unknown tenant', { only: ['t1', 'nobody'] }, /there is no tenant "nobody"/],
  ['an unknown migration', { to: '9' }, /there is no migration "9"/],
  ['no worker', { workers: 0 }, /`workers` is 0/],
  ['half a millisecond', { lockTimeoutMs: 0.5 }, /`lockTimeoutMs` is 0.5/],
])('refused before anything runs: %s', async (_, options, message) => {
  await expect(world.migrations().up(options)).rejects.toThrow(
    expect.objectContaining({ code: 'TNY420', message: expect.stringMatching(message) as string }),
  )
  expect(await applied()).toBe('000000')
})

test('a migration of the shared set as the end leaves tenants alone; a number of both is refused', async () => {
  await world.shared.write({ '1_a.sql': 'create table public.a ()', '5_b.sql': 'create table public.b ()' })
  const migrations = world.migrations()
  await expect(migrations.up({ to: '1' })).rejects.toThrow(/migration of both sets/)
  expect(await migrations.up({ to: '1_a' })).toMatchObject({ shared: ['1_a'], tenants: [], unchanged: 0 })
  expect(await applied()).toBe('000000')
  expect(await migrations.up()).toMatchObject({ shared: ['5_b'] })
})

test('workers run side by side, each on one session, and the admin’s own connections stay free', async () => {
  await world.folder.write({ '1_log.sql': 'create table log (step text); select pg_sleep(0.2)' })
  let most = 0
  let asking = true
  const watch = (async () => {
    while (asking) {
      const rows = await world.database.sql<{ count: number }>(
        "select count(*)::int as count from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database()",
      )
      most = Math.max(most, rows[0]?.count ?? 0)
    }
  })()
  await world.migrations().up({ workers: 6 })
  asking = false
  await watch
  // The pool of the test has four connections, one of which holds the lock.
  expect(most).toBeGreaterThan(3)
  expect(await applied()).toBe('111111')
})

test('a session that is lost is opened again; the step that it was at runs once', async () => {
  await world.folder.write({ '2_slow.sql': "insert into log values ('x'); select pg_sleep(0.3)" })
  const run = world.migrations().up({ workers: 2 })
  await waitFor(async () => {
    const rows = await world.database.sql(
      "select pg_terminate_backend(pid) from pg_stat_activity where wait_event = 'PgSleep' and datname = current_database() limit 1",
    )
    return rows.length > 0
  })
  const report = await run
  expect(report.failed).toEqual([])
  for (const tenant of world.tenants) expect(await world.logOf(tenant)).toBe('x')
})

test('the signal ends a run behind the steps under way, also between two of one tenant', async () => {
  for (let step = 2; step <= 9; step++) {
    await world.folder.write({
      [`${step}_s.sql`]: `insert into log values ('${step}'); select pg_sleep(0.05)`,
    })
  }
  const abort = new AbortController()
  const run = world.migrations().up({ workers: 2, signal: abort.signal })
  await waitFor(async () => (await applied()).includes('3'))
  abort.abort()
  const report = await run
  expect(reportFailure(report)?.code).toBe('TNY422')
  expect(report.stopped?.left).toBeGreaterThan(3)
  expect(report.failed).toEqual([])
  const counts = await applied()
  expect(counts).toContain('0')
  expect(counts).not.toBe('900000')
  expect(reportFailure(await world.migrations().up())).toBeUndefined()
  for (const tenant of world.tenants) expect(await world.logOf(tenant)).toBe('2 3 4 5 6 7 8 9')
})

test('where the signal has come already nothing begins', async () => {
  const report = await world.migrations().up({ signal: AbortSignal.abort() })
  expect(report.stopped?.left).toBe(6)
  expect(await applied()).toBe('000000')
})
