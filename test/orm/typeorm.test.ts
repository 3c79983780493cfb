import { EntitySchema } from 'typeorm'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenancy } from '../../src/index.ts'
import { typeormForTenants, type ManagerForTenant } from '../../src/orm/typeorm.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

interface Order {
  id: string
  owner: string
  note: string | null
  /** Loaded as it is asked for: the order with this one's id. */
  itself: Promise<Order | null>
}

const orders: EntitySchema<Order> = new EntitySchema<Order>({
  name: 'Order',
  tableName: 'orders',
  columns: {
    id: { type: 'bigint', primary: true, generated: 'increment' },
    owner: { type: 'text' },
    note: { type: 'text', nullable: true },
  },
  relations: {
    itself: {
      type: 'many-to-one',
      target: 'Order',
      lazy: true,
      joinColumn: { name: 'id' },
      createForeignKeyConstraints: false,
    },
  },
})

let world: TenantWorld
let tenancy: Tenancy
let managerForTenant: ManagerForTenant
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  tenancy = world.open({ max: 2 })
  managerForTenant = typeormForTenants(tenancy, { entities: [orders] })
  await managerForTenant.dataSource.initialize()
})
afterAll(async () => {
  await managerForTenant.dataSource.destroy()
  await world.close()
})

const ownersOf = async (read: Promise<Order[]>): Promise<string[]> => [
  ...new Set((await read).map(({ owner }) => owner)),
]

test('the DataSource follows the context, and forTenant names a tenant by key, id and record', async () => {
  const acme = world.tenants['acme']
  for (const name of ['acme', acme?.id, acme]) {
    expect(await ownersOf(managerForTenant(name).find(orders))).toEqual(['acme'])
  }
  const repository = managerForTenant.dataSource.getRepository(orders)
  expect(await tenancy.run('globex', () => ownersOf(repository.find()))).toEqual(['globex'])
  expect(await tenancy.run('globex', () => ownersOf(managerForTenant().find(orders)))).toEqual(['globex'])
  expect(await tenancy.run('globex', () => ownersOf(managerForTenant('acme').find(orders)))).toEqual(['acme'])
})

test('A1: without a tenant nothing runs', async () => {
  const none = expect.objectContaining({ code: 'TNY201' })
  expect(() => managerForTenant()).toThrow(none)
  await expect(managerForTenant.dataSource.getRepository(orders).find()).rejects.toEqual(none)
  await expect(managerForTenant.dataSource.query('select 1')).rejects.toMatchObject({ driverError: none })
  await expect(managerForTenant.dataSource.transaction((manager) => manager.find(orders))).rejects.toEqual(
    none,
  )
})

test('it initializes within a tenant as it does without', async () => {
  const other = typeormForTenants(tenancy, { entities: [orders] })
  await tenancy.run('acme', () => other.dataSource.initialize())
  expect(other.dataSource.driver.schema).toBe('public')
  expect(await ownersOf(other('globex').find(orders))).toEqual(['globex'])
  await other.dataSource.destroy()
})

test('A2: a lazy relation is loaded from where its entity came, wherever it is asked for', async () => {
  const [named] = await managerForTenant('acme').findBy(orders, { id: '1' })
  const [ofContext] = await tenancy.run('acme', () =>
    managerForTenant.dataSource.manager.findBy(orders, { id: '1' }),
  )
  for (const order of [named, ofContext]) {
    const loaded = await tenancy.run('globex', () => order?.itself)
    expect([loaded?.id, loaded?.owner]).toEqual(['1', 'acme'])
  }
})

test('A4: options that would mix tenants are refused', () => {
  const options = {
    cache: true,
    synchronize: true,
    schema: 'tenant_acme',
    migrationsRun: true,
    dropSchema: true,
  }
  for (const [name, value] of Object.entries(options)) {
    expect(() => typeormForTenants(tenancy, { [name]: value })).toThrow(
      expect.objectContaining({ code: 'TNY240', message: expect.stringContaining(name) }),
    )
  }
})

test('a query runner of one’s own holds one connection, until it is released', async () => {
  const runner = managerForTenant('acme').dataSource.createQueryRunner()
  await runner.startTransaction()
  await runner.manager.update(orders, { id: '1' }, { owner: 'changed' })
  expect(await ownersOf(runner.manager.findBy(orders, { id: '1' }))).toEqual(['changed'])
  await runner.rollbackTransaction()
  await runner.release()
  expect(await ownersOf(managerForTenant('acme').find(orders))).toEqual(['acme'])
})
