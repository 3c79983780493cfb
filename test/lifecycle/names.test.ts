import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

let world: TenantWorld
beforeAll(async () => {
  world = await createTenantWorld('acme')
})
afterAll(() => world.close())

const ID = '0198c0de-0000-7000-8000-000000000001'

test('I4: a key that looks like an id is refused: it could be taken for another tenant’s', async () => {
  await expect(world.plane.tenants.create({ key: ID })).rejects.toMatchObject({ code: 'TNY105' })
})

test('I4: nobody takes the id of another tenant as key, nor a key as id; the control shows whom they would reach', async () => {
  const { tenants } = world.plane
  const legacy = await tenants.create({ key: 'legacy', id: '42' })
  await expect(tenants.create({ key: '42' })).rejects.toMatchObject({ code: 'TNY301' })
  await expect(tenants.rename('acme', { key: '42' })).rejects.toMatchObject({ code: 'TNY301' })
  await expect(tenants.create({ key: 'other', id: 'acme' })).rejects.toMatchObject({ code: 'TNY307' })
  expect((await tenants.create({ key: 'same', id: 'same' })).id).toBe('same')
  expect((await tenants.get('42')).key).toBe('legacy')
  // Without the trigger the key is given, and the legacy tenant's id reaches somebody else.
  await world.db.sql('alter table tenantry.keys disable trigger refuse_ambiguous_name')
  await tenants.rename('acme', { key: '42' })
  expect((await world.open().run(legacy.id, ({ key }) => key)) === 'legacy').toBe(false)
})
