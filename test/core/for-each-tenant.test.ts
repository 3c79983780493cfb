import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { forEachTenant } from '../../src/catalog/for-each-tenant.ts'
import type { TenantProgress, Tenancy } from '../../src/index.ts'
import { sampleTenancy, sampleTenant } from '../http/sample-tenancy.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { waitFor } from '../support/wait-for.ts'

const KEYS = ['acme', 'globex', 'hooli', 'initech', 'umbrella']

let world: TenantWorld
let tenancy: Tenancy
beforeAll(async () => {
  world = await createTenantWorld(...KEYS)
  tenancy = world.open()
})
afterAll(() => world.close())

async function ownerOfOrders(): Promise<string | undefined> {
  const { rows } = await tenancy.pool.query<{ owner: string }>('select distinct owner from orders')
  return rows[0]?.owner
}

test('each active tenant has its turn, in its own context, in the order of keys, whatever the size of a page', async () => {
  for (const pageSize of [1, 2, 5, 100]) {
    const owners: unknown[] = []
    const report = await tenancy.forEachTenant(
      async ({ key }) => {
        owners.push([key, await ownerOfOrders()])
      },
      { concurrency: 1, pageSize },
    )
    expect(owners).toEqual(KEYS.map((key) => [key, key]))
    expect(report).toEqual({ done: 5, failed: 0, skipped: 0, failures: [], complete: true })
  }
})

test('A1: several at once do not meet each other’s rows', async () => {
  const owners = new Map<string, unknown>()
  await tenancy.forEachTenant(
    async ({ key }) => {
      await sleep(1)
      owners.set(key, await ownerOfOrders())
    },
    { concurrency: 5 },
  )
  expect(Object.fromEntries(owners)).toEqual(Object.fromEntries(KEYS.map((key) => [key, key])))
})

test('one that fails is named, and does not keep the others from their turn', async () => {
  const told: TenantProgress[] = []
  const report = await tenancy.forEachTenant(
    async ({ key }) => {
      if (key === 'globex') throw new Error('on purpose')
      if (key === 'hooli') await tenancy.pool.query('select no_such_column from orders')
    },
    { onProgress: (progress) => told.push(progress), concurrency: 2 },
  )
  expect(report).toMatchObject({ done: 3, failed: 2, skipped: 0, complete: true })
  expect(
    Object.fromEntries(report.failures.map(({ tenant, error }) => [tenant.key, (error as Error).message])),
  ).toEqual({ globex: 'on purpose', hooli: expect.stringContaining('no_such_column') })
  expect(told).toHaveLength(5)
  expect(told.at(-1)).toMatchObject({ done: 3, failed: 2, skipped: 0 })
})

test('one that is being moved is waited for, whether the move began before its page was read or after', async () => {
  const move = async (key: string, status: string): Promise<void> => {
    await world.db.sql(`update tenantry.tenants set status = $2 where id = $1`, [
      world.tenants[key]?.id,
      status,
    ])
    await waitFor(async () => (await tenancy.directory.find({ key }))?.status === status)
  }
  await move('globex', 'moving')
  const met: string[] = []
  const report = await tenancy.forEachTenant(
    async ({ key }) => {
      met.push(key)
      if (key === 'acme') {
        await move('hooli', 'moving')
        setTimeout(() => void Promise.all([move('globex', 'active'), move('hooli', 'active')]), 200)
      }
    },
    { concurrency: 1 },
  )
  expect(met).toEqual(KEYS)
  expect(report).toMatchObject({ done: 5, failed: 0, skipped: 0, complete: true })
})

test('one that is suspended before its turn is skipped; one that is created meanwhile is met', async () => {
  const met: string[] = []
  const report = await tenancy.forEachTenant(
    async ({ key }) => {
      met.push(key)
      if (key !== 'acme') return
      await world.plane.tenants.suspend('globex')
      await world.plane.tenants.create({ key: 'zorg' })
      await waitFor(async () => (await tenancy.directory.find({ key: 'globex' }))?.status === 'suspended')
    },
    { concurrency: 1, pageSize: 3 },
  )
  expect(met).toEqual(['acme', 'hooli', 'initech', 'umbrella', 'zorg'])
  expect(report).toMatchObject({ done: 5, skipped: 1, complete: true })
  await world.plane.tenants.resume('globex')
})

test('a signal ends it: no tenant is begun any more, and the statement under way is stopped', async () => {
  const controller = new AbortController()
  const met: string[] = []
  const report = await tenancy.forEachTenant(
    async ({ key }) => {
      met.push(key)
      setTimeout(() => controller.abort(new Error('enough')), 50)
      await tenancy.pool.query('select pg_sleep(60)')
    },
    { signal: controller.signal, concurrency: 2 },
  )
  expect(met).toEqual(['acme', 'globex'])
  expect(report).toMatchObject({ done: 0, failed: 2, complete: false })
  expect(report.failures.map(({ error }) => (error as Error).message)).toEqual(['enough', 'enough'])
})

test('inside another tenant’s context it is nobody’s but each tenant’s own', async () => {
  const report = await tenancy.run('acme', () =>
    tenancy.forEachTenant(async ({ key }) => expect(await ownerOfOrders()).toBe(key), { concurrency: 1 }),
  )
  // The one that was created meanwhile, above, was seeded too.
  expect(report).toMatchObject({ done: 6, failed: 0 })
})

test('a listener that throws disturbs nothing, and options that make no sense are refused', async () => {
  const report = await tenancy.forEachTenant(() => undefined, {
    onProgress() {
      throw new Error('on purpose')
    },
  })
  expect(report.done).toBe(6)
  for (const options of [{ concurrency: 0 }, { concurrency: 1.5 }, { pageSize: Number.NaN }]) {
    await expect(tenancy.forEachTenant(() => undefined, options)).rejects.toMatchObject({ code: 'TNY002' })
  }
})

test('memory stays bounded: a fault for all tenants is counted for all, and kept of the first thousand', async () => {
  const tenants = Array.from({ length: 2_500 }, (_, n) => sampleTenant(`t${String(n).padStart(5, '0')}`))
  const { context, directory } = sampleTenancy(tenants)
  let longest = 0
  const report = await forEachTenant(
    {
      context,
      directory,
      async list({ after = '', limit }) {
        const page = tenants.filter(({ key }) => key > after).slice(0, limit)
        longest = Math.max(longest, page.length)
        return Promise.resolve(page)
      },
    },
    () => {
      throw new Error('on purpose')
    },
  )
  expect([report.failed, report.failures.length, report.complete, longest]).toEqual([2_500, 1_000, true, 100])
})

test('a catalog that cannot be read ends it, after what is under way', async () => {
  const tenants = [sampleTenant('a'), sampleTenant('b')]
  const { context, directory } = sampleTenancy(tenants)
  const ended: string[] = []
  const running = forEachTenant(
    {
      context,
      directory,
      async list({ after }) {
        if (after !== '') throw new Error('away')
        return Promise.resolve(tenants)
      },
    },
    async ({ key }) => {
      await sleep(key === 'a' ? 100 : 1)
      ended.push(key)
    },
    { concurrency: 3, pageSize: 2 },
  )
  await expect(running).rejects.toThrow('away')
  expect(ended).toEqual(['b', 'a'])
})
