import DataLoader from 'dataloader'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { loaderForTenants } from '../../src/cache/dataloader.ts'
import type { Tenancy } from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

let world: TenantWorld
let tenancy: Tenancy
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  tenancy = world.open()
})
afterAll(() => world.close())

const batches: { key: string | undefined; ids: readonly number[] }[] = []
async function ownersOf(ids: readonly number[]): Promise<string[]> {
  batches.push({ key: tenancy.findTenant()?.key, ids })
  const { rows } = await tenancy.pool.query<{ id: string; owner: string }>(
    'select id, owner from orders where id = any ($1)',
    [ids],
  )
  return ids.map((id) => rows.find((row) => Number(row.id) === id)?.owner ?? 'none')
}

/** What two tenants' code gets that asks in the same moment. */
async function askTogether(load: (id: number) => Promise<string>): Promise<string[]> {
  return Promise.all(
    ['acme', 'globex'].map((key) =>
      tenancy.run(key, async () => (await Promise.all([load(1), load(2)])).join()),
    ),
  )
}

test('A4: one scope, two tenants, the same moment: two batches, each in its own context', async () => {
  await tenancy.run('acme', () => undefined)
  await tenancy.run('globex', () => undefined)
  batches.splice(0)
  const scope = {}
  const owners = loaderForTenants(tenancy, ownersOf)
  expect(await askTogether((id) => owners(scope).load(id))).toEqual(['acme,acme', 'globex,globex'])
  expect(batches.toSorted((a, b) => (String(a.key) < String(b.key) ? -1 : 1))).toEqual([
    { key: 'acme', ids: [1, 2] },
    { key: 'globex', ids: [1, 2] },
  ])
  // Remembered within the scope, and not beyond it.
  await tenancy.run('acme', () => owners(scope).load(1))
  expect(batches).toHaveLength(2)
  await tenancy.run('acme', () => owners({}).load(1))
  expect(batches).toHaveLength(3)
})

test('A4: the unsafe control: a loader of the module serves one tenant’s rows to another', async () => {
  const bare = new DataLoader(ownersOf)
  expect(new Set((await askTogether((id) => bare.load(id))).join().split(','))).toHaveLength(1)
})

test('A4: a schedule of one’s own that fires in another tenant’s context changes nothing', async () => {
  const waiting: (() => void)[] = []
  const owners = loaderForTenants(tenancy, ownersOf, { batchScheduleFn: (fire) => waiting.push(fire) })
  const scope = {}
  const asked = tenancy.run('acme', () => owners(scope).load(1))
  while (waiting.length === 0) await new Promise((resolve) => setImmediate(resolve))
  await tenancy.run('globex', () => waiting.splice(0).forEach((fire) => fire()))
  expect(await asked).toBe('acme')
})

test('A4: a cacheMap for all tenants is refused', () => {
  expect(() => loaderForTenants(tenancy, ownersOf, { cacheMap: new Map() } as never)).toThrow(
    expect.objectContaining({ code: 'TNY002' }),
  )
})

test('A1: without a tenant there is no loader', () => {
  const owners = loaderForTenants(tenancy, ownersOf)
  expect(() => owners({})).toThrow(expect.objectContaining({ code: 'TNY201' }))
})
