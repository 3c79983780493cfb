import { eq, sql } from 'drizzle-orm'
import { bigint, pgTable, text } from 'drizzle-orm/pg-core'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { drizzleForTenants } from '../../src/orm/drizzle.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { recordWire } from '../support/wire-recorder.ts'

const orders = pgTable('orders', {
  id: bigint({ mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  owner: text().notNull(),
  note: text(),
})

let world: TenantWorld
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
})
afterAll(() => world.close())

test('S23: one prepared statement serves all tenants, each under a name of its own', async () => {
  const tenancy = world.open({ max: 1 })
  const { db } = drizzleForTenants(tenancy)
  const owners = db
    .selectDistinct({ owner: orders.owner })
    .from(orders)
    .where(eq(orders.owner, sql.placeholder('owner')))
    .prepare('owners')
  for (let turn = 0; turn < 20; turn += 1) {
    const key = turn % 2 === 0 ? 'acme' : 'globex'
    const found = await tenancy.run(key, () => owners.execute({ owner: key }))
    expect(found).toEqual([{ owner: key }])
    expect(await tenancy.run(key, () => owners.execute({ owner: 'another' }))).toEqual([])
  }
  await expect(owners.execute({ owner: 'acme' })).rejects.toMatchObject({ cause: { code: 'TNY201' } })
})

test('a query is one round trip, and asks the server nothing of its own', async () => {
  const wire = await recordWire(world.db.appUrl)
  const recorded = world.open({ connection: wire.url, direct: world.db.appUrl, max: 1 })
  await recorded.poolFor('acme').query('select 1')
  wire.take()
  await drizzleForTenants(recorded)('acme').select().from(orders).limit(1)
  expect(wire.take()).toBe('BEPBDES')
  await wire.close()
})

test('A1: a lazy query that `run` is given back is in that run, and not in the one around it', async () => {
  const tenancy = world.open({ max: 2 })
  const { db } = drizzleForTenants(tenancy)
  await tenancy.run('acme', async () => {
    const inner = await tenancy.run('globex', () => db.selectDistinct({ owner: orders.owner }).from(orders))
    expect(inner).toEqual([{ owner: 'globex' }])
  })
})
