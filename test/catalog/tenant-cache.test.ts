import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenancy } from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { BUSY_MS, waitFor } from '../support/wait-for.ts'

let world: TenantWorld
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex', 'hooli')
})
afterAll(() => world.close())

/** THREATS I8: effective within a second everywhere. */
const ONE_SECOND = 1_000 + BUSY_MS

async function isServed(tenancy: Tenancy, name: string): Promise<boolean> {
  return tenancy
    .poolFor(name)
    .query('select 1')
    .then(
      () => true,
      () => false,
    )
}

async function endListeners(): Promise<number> {
  const rows = await world.db.sql(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and query in ('select 1', 'listen "tenantry_catalog"') and usename = 'tenantry_app'`,
  )
  return rows.length
}

test('I8: a suspension and a resumption are effective within a second in a process that had the tenant cached', async () => {
  const tenancy = world.open()
  expect(await isServed(tenancy, 'acme')).toBe(true)
  await world.plane.tenants.suspend('acme')
  expect(await waitFor(async () => !(await isServed(tenancy, 'acme')))).toBeLessThan(ONE_SECOND)
  await world.plane.tenants.resume('acme')
  expect(await waitFor(() => isServed(tenancy, 'acme'))).toBeLessThan(ONE_SECOND)
})

test('I8: before that, the database refuses: the cache alone would go on serving', async () => {
  const tenancy = world.open()
  // A process that has not heard: it still believes that the tenant is active.
  const stale = await tenancy.run('acme', (tenant) => tenant)
  await world.plane.tenants.suspend('acme')
  Object.assign(tenancy.directory, { find: () => Promise.resolve(stale), locate: () => stale })
  await expect(tenancy.poolFor(stale).query('select 1')).rejects.toMatchObject({ code: 'TNY211' })
  await world.plane.tenants.resume('acme')
  await expect(tenancy.poolFor(stale).query('select 1')).resolves.toBeDefined()
})

test('I8: a rename is effective within a second; a key that was free is found once it is taken', async () => {
  const tenancy = world.open()
  expect(await isServed(tenancy, 'globex-2')).toBe(false)
  await world.plane.tenants.rename('globex', { key: 'globex-2', keepAlias: false })
  expect(await waitFor(() => isServed(tenancy, 'globex-2'))).toBeLessThan(ONE_SECOND)
  expect(await waitFor(async () => !(await isServed(tenancy, 'globex')))).toBeLessThan(ONE_SECOND)
})

test('I8: changes count within a second while the listener is down, and after it came back', async () => {
  const tenancy = world.open()
  const told: string[] = []
  tenancy.on('listener:lost', () => told.push('lost'))
  tenancy.on('listener:restored', () => told.push('restored'))
  expect(await isServed(tenancy, 'hooli')).toBe(true)
  await waitFor(async () => (await tenancy.health()).listening)
  for (let round = 1; round <= 3; round += 1) {
    expect(await endListeners()).toBeGreaterThan(0)
    await world.plane.tenants.suspend('hooli')
    expect(await waitFor(async () => !(await isServed(tenancy, 'hooli')))).toBeLessThan(ONE_SECOND)
    await world.plane.tenants.resume('hooli')
    expect(await waitFor(() => isServed(tenancy, 'hooli'))).toBeLessThan(ONE_SECOND)
  }
  await waitFor(async () => (await tenancy.health()).listening)
  await world.plane.tenants.suspend('hooli')
  expect(await waitFor(async () => !(await isServed(tenancy, 'hooli')))).toBeLessThan(ONE_SECOND)
  expect(told).toContain('lost')
  expect(told.at(-1)).toBe('restored')
  await world.plane.tenants.resume('hooli')
})
