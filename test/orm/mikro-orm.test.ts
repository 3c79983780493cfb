import { EntitySchema, RequestContext, wrap } from '@mikro-orm/postgresql'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Tenancy, TenantryError } from '../../src/index.ts'
import { mikroOrmForTenants, type EmForTenant } from '../../src/orm/mikro-orm.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

interface Order {
  id: string
  owner: string
  note: string | null
}

const orders = new EntitySchema<Order>({
  name: 'Order',
  tableName: 'orders',
  schema: '*',
  properties: {
    id: { type: 'bigint', primary: true },
    owner: { type: 'text' },
    note: { type: 'text', nullable: true },
  },
})

let world: TenantWorld
let tenancy: Tenancy
let emForTenant: EmForTenant
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  tenancy = world.open({ max: 2 })
  emForTenant = await mikroOrmForTenants(tenancy, { entities: [orders] })
})
afterAll(async () => {
  await emForTenant.orm.close()
  await world.close()
})

const ownersOf = async (read: Promise<Order[]>): Promise<string[]> => [
  ...new Set((await read).map(({ owner }) => owner)),
]

test('a fork belongs to the tenant of the context, and forTenant names a tenant by key, id and record', async () => {
  const { orm } = emForTenant
  const acme = world.tenants['acme']
  for (const name of ['acme', acme?.id, acme]) {
    expect(await ownersOf(emForTenant(name).find(orders, {}))).toEqual(['acme'])
  }
  const fork = await tenancy.run('globex', () => orm.em.fork())
  expect(await ownersOf(fork.find(orders, {}))).toEqual(['globex'])
  await expect(tenancy.run('acme', () => fork.find(orders, {}))).rejects.toMatchObject({ code: 'TNY234' })
  expect(await tenancy.run('globex', () => ownersOf(emForTenant('acme').find(orders, {})))).toEqual(['acme'])
  expect(await tenancy.run('globex', () => ownersOf(emForTenant().find(orders, {})))).toEqual(['globex'])
})

test('A1: without a tenant nothing runs', async () => {
  const none = expect.objectContaining({ code: 'TNY201' })
  expect(() => emForTenant()).toThrow(none)
  await expect(emForTenant.orm.em.fork().find(orders, {})).rejects.toMatchObject({ code: 'TNY201' })
  await expect(emForTenant.orm.em.fork().transactional((em) => em.find(orders, {}))).rejects.toEqual(none)
})

test('A2: what MikroORM’s RequestContext holds is not used for another tenant', async () => {
  const { orm } = emForTenant
  const strange = expect.objectContaining({ code: 'TNY234' })
  await tenancy.run('acme', () =>
    RequestContext.create(orm.em, async () => {
      expect(await ownersOf(orm.em.find(orders, {}))).toEqual(['acme'])
      await tenancy.run('globex', async () => {
        await expect(orm.em.find(orders, {})).rejects.toEqual(strange)
        expect(await ownersOf(orm.em.fork().find(orders, {}))).toEqual(['globex'])
      })
    }),
  )
  const early = orm.em.fork()
  await tenancy.run('acme', async () => {
    await expect(early.find(orders, {})).rejects.toMatchObject({ code: 'TNY243' })
  })
})

test('A4: cached results are of one tenant', async () => {
  const read = (key: string): Promise<string[]> =>
    tenancy.run(key, () =>
      ownersOf(
        emForTenant.orm.em.fork().find(orders, {}, { cache: ['all orders', 60_000] }) as Promise<Order[]>,
      ),
    )
  expect([await read('acme'), await read('globex'), await read('acme')]).toEqual([
    ['acme'],
    ['globex'],
    ['acme'],
  ])
})

test('A2: the same id in two tenants is two entities, and what is loaded later is of the entity’s own', async () => {
  const [acme, globex] = [emForTenant('acme'), emForTenant('globex')]
  const one = await acme.findOneOrFail(orders, { id: '1' })
  expect(await globex.findOneOrFail(orders, { id: '1' })).not.toBe(one)
  one.note = 'changed'
  await tenancy.run('globex', () => acme.flush())
  expect(await emForTenant('globex').findOne(orders, { id: '1' })).toMatchObject({ note: null })
  expect(await emForTenant('acme').findOne(orders, { id: '1' })).toMatchObject({ note: 'changed' })
  const reference = acme.fork().getReference(orders, '2')
  await tenancy.run('globex', () => wrap(reference).init())
  expect(reference.owner).toBe('acme')
})

test('A2: the global entity manager belongs to nobody, also where MikroORM lets it be used', async () => {
  const loose = await tenancy.run('acme', () =>
    mikroOrmForTenants(tenancy, { entities: [orders], allowGlobalContext: true }),
  )
  const reading = tenancy.run('acme', () => loose.orm.em.find(orders, {}))
  await expect(reading).rejects.toMatchObject({ code: 'TNY243', cause: expect.any(TenantryError) })
  await loose.orm.close()
})

test('A4: options that would mix tenants are refused', async () => {
  for (const options of [{ schema: 'tenant_acme' }, { clientUrl: 'postgres://x' }, { driverOptions: {} }]) {
    const opening = mikroOrmForTenants(tenancy, { entities: [orders], ...options })
    await expect(opening).rejects.toMatchObject({ code: 'TNY240' })
  }
})

test('S1: a schema that a fork names does not lead to another tenant', async () => {
  const { schema = '' } = world.tenants['globex']?.home ?? {}
  const reading = emForTenant('acme').fork({ schema }).find(orders, {})
  await expect(reading).rejects.toMatchObject({ code: '42501' })
})
