import { EventEmitter } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

let world: TenantWorld
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
})
afterAll(() => world.close())

test('A1: without a tenant in the context every way to the database throws; there is no default', async () => {
  const tenancy = world.open()
  expect(() => tenancy.requireTenant()).toThrow(expect.objectContaining({ code: 'TNY201' }))
  expect(tenancy.findTenant()).toBeUndefined()
  await expect(tenancy.pool.query('select * from orders')).rejects.toMatchObject({ code: 'TNY201' })
  await expect(tenancy.pool.connect()).rejects.toMatchObject({ code: 'TNY201' })
  await expect(tenancy.transaction(async () => 1)).rejects.toMatchObject({ code: 'TNY201' })
  expect(() => tenancy.bind(() => 1)).toThrow(expect.objectContaining({ code: 'TNY201' }))
})

test('A1: what libraries ask a server at start is answered without a tenant, and nothing else is', async () => {
  const { pool } = world.open()
  expect((await pool.query('select version()')).rows[0]?.['version']).toMatch(/^PostgreSQL/)
  expect((await pool.query('SHOW server_version')).rows).toHaveLength(1)
  for (const text of [
    'select version() from orders',
    'select 1',
    'select version(), (select 1)',
    'select current_user',
  ]) {
    await expect(pool.query(text), text).rejects.toMatchObject({ code: 'TNY201' })
  }
})

test('A1: the tenant is the one of the call, not of the moment when a connection became free', async () => {
  const tenancy = world.open({ max: 1 })
  const keys = Array.from({ length: 60 }, (_, n) => (n % 2 === 0 ? 'acme' : 'globex'))
  const owners = await Promise.all(
    keys.map((key) =>
      tenancy.run(key, () => tenancy.pool.query<{ owner: string }>('select distinct owner from orders')),
    ),
  )
  expect(owners.map(({ rows }) => rows[0]?.owner)).toEqual(keys)
})

test('A1: awaits, timers and callbacks keep the tenant; an emitter of somebody else’s loses it and throws', async () => {
  const tenancy = world.open()
  const emitter = new EventEmitter()
  const ask = (): Promise<unknown> =>
    tenancy.pool.query('select distinct owner from orders').then(({ rows }) => rows)
  const asked: Promise<unknown>[] = []
  emitter.on('unbound', () => asked.push(ask()))
  await tenancy.run('acme', async () => {
    await sleep(1)
    expect(await ask()).toEqual([{ owner: 'acme' }])
    emitter.on(
      'bound',
      tenancy.bind(() => asked.push(ask())),
    )
    const fromCallback = await new Promise((resolve) => setImmediate(() => resolve(ask())))
    expect(fromCallback).toEqual([{ owner: 'acme' }])
  })
  emitter.emit('bound')
  emitter.emit('unbound')
  expect(await Promise.allSettled(asked)).toMatchObject([
    { status: 'fulfilled', value: [{ owner: 'acme' }] },
    { status: 'rejected', reason: { code: 'TNY201' } },
  ])
})

test('A2: a nested run is explicit, and the outer tenant is back afterwards', async () => {
  const tenancy = world.open()
  const keys = await tenancy.run('acme', async () => {
    const inner = await tenancy.run('globex', async () => {
      await sleep(1)
      return tenancy.requireTenant().key
    })
    return [inner, tenancy.requireTenant().key]
  })
  expect(keys).toEqual(['globex', 'acme'])
})

test('a tenant is found by key and by id; one that is not active is refused', async () => {
  const tenancy = world.open()
  const id = world.tenants['acme']?.id ?? ''
  expect(await tenancy.run(id, ({ key }) => key)).toBe('acme')
  await expect(tenancy.run('nobody', () => 1)).rejects.toMatchObject({ code: 'TNY209' })
  await world.plane.tenants.suspend('globex')
  await expect(world.open().run('globex', () => 1)).rejects.toMatchObject({ code: 'TNY211' })
  await world.plane.tenants.resume('globex')
})

test('two tenancies of one process do not see each other’s tenants', async () => {
  const [one, two] = [world.open(), world.open()]
  await one.run('acme', () => expect(two.findTenant()).toBeUndefined())
})
