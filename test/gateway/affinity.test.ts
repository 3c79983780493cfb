import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TenantSlots } from '../../src/gateway/pool/tenant-slots.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

const KEYS = Array.from({ length: 24 }, (_, n) => `tenant-${n}`)

let world: TenantWorld
beforeAll(async () => {
  world = await createTenantWorld(...KEYS)
})
afterAll(() => world.close())

describe('homes', () => {
  test('spread evenly over the slots, and stay', () => {
    const slots = new TenantSlots(16)
    const homes = Array.from({ length: 2_500 }, (_, n) => slots.homeOf(`t${n}`))
    const counts = slots.all.map(({ tenants }) => tenants)
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
    expect(homes.every((home, n) => home === slots.homeOf(`t${n}`))).toBe(true)
  })

  test('few tenants share few connections', () => {
    const slots = new TenantSlots(16)
    for (let n = 0; n < 10; n += 1) {
      const home = slots.homeOf(`t${n}`)
      if (home !== undefined) slots.enter(home.slot, 'idle', 0)
    }
    expect(slots.all.filter(({ tenants }) => tenants > 0)).toHaveLength(1)
  })

  test('central work has none', () => {
    expect(new TenantSlots(4).homeOf('')).toBeUndefined()
  })
})

test('a tenant comes back to the connection that knows it', async () => {
  const tenancy = world.open({ max: 4 })
  const backends = new Map<string, Set<unknown>>()
  let warm = 0
  tenancy.on('connection:acquired', (event) => {
    if (event.tenantId !== undefined && event.warm) warm += 1
  })
  for (let round = 0; round < 5; round += 1) {
    await Promise.all(
      KEYS.map(async (key) => {
        const { rows } = await tenancy
          .poolFor(key)
          .query('select pg_backend_pid() as pid from orders limit 1')
        const seen = backends.get(key) ?? new Set()
        backends.set(key, seen.add(rows[0]?.['pid']))
      }),
    )
  }
  const meetings = [...backends.values()].reduce((sum, { size }) => sum + size, 0)
  // Without affinity the 24 tenants would meet nearly all of the four connections: some 80 to 96 meetings.
  expect(meetings).toBeLessThan(60)
  expect(warm).toBeGreaterThan(5 * KEYS.length - meetings - 1)
})

test('a tenant that keeps its home busy gets to know other connections, and is no reason for the others to move', async () => {
  const tenancy = world.open({ max: 4 })
  const meet = async (key: string): Promise<unknown> =>
    (await tenancy.poolFor(key).query('select pg_backend_pid() as pid from orders limit 1')).rows[0]?.['pid']
  const busy = new Set<unknown>()
  const startedAt = performance.now()
  // Three quarters of the connections are what one tenant may have.
  const isSpread = (): boolean => busy.size >= 3 || performance.now() - startedAt > 10_000
  const work = Array.from({ length: 16 }, async () => {
    while (!isSpread()) busy.add(await meet('tenant-0'))
  })
  await Promise.all(work)
  expect(busy.size).toBeGreaterThanOrEqual(3)
  const quiet = new Map<string, Set<unknown>>()
  for (let round = 0; round < 5; round += 1) {
    for (const key of KEYS.slice(1, 9)) quiet.set(key, (quiet.get(key) ?? new Set()).add(await meet(key)))
  }
  expect([...quiet.values()].map(({ size }) => size)).toEqual(Array.from({ length: 8 }, () => 1))
})

test('a home that is held for long does not keep its tenants from connections that rest', async () => {
  const tenancy = world.open({ max: 2 })
  const first = tenancy.poolFor('tenant-0')
  await Promise.all([first.query('select pg_sleep(0.02)'), first.query('select pg_sleep(0.02)')])
  const holder = await first.connect()
  await holder.query('begin')
  await holder.query('select 1')
  for (const key of ['tenant-0', 'tenant-1', 'tenant-2']) {
    await expect(tenancy.poolFor(key).query('select 1')).resolves.toBeDefined()
  }
  await holder.query('rollback')
  holder.release()
})

test('a connection is closed when it is old, and says so', async () => {
  const tenancy = world.open({ max: 1, maxAgeMs: 20 })
  const reasons: string[] = []
  tenancy.on('connection:close', ({ reason }) => reasons.push(reason))
  await tenancy.poolFor('tenant-0').query('select pg_sleep(0.03)')
  await tenancy.poolFor('tenant-0').query('select 1')
  expect(reasons).toContain('aged')
})
