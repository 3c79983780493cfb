import { afterAll, beforeAll, expect, test } from 'vitest'
import type { GatewayPool, Tenancy } from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { waitFor } from '../support/wait-for.ts'

const TEXT = 'select count(*)::int as n from readings where value = $1'

let world: TenantWorld
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
})
afterAll(() => world.close())

/** As the admin does it by hand, or a tool that knows nothing of Tenantry. */
async function sql(tenant: string, text: string): Promise<void> {
  const { schema = '' } = world.tenants[tenant]?.home ?? {}
  await world.db.sql(text.replaceAll('readings', `${schema}.readings`))
}

/** A table with 0.1 as a `real`, and a statement whose parameter is one too since it was prepared. */
async function prepare(tenant: string): Promise<{ tenancy: Tenancy; pool: GatewayPool }> {
  const { role = '' } = world.tenants[tenant]?.home ?? {}
  await sql(tenant, 'drop table if exists readings')
  await sql(tenant, 'create table readings (value real)')
  await sql(tenant, `grant select on readings to ${role}`)
  await sql(tenant, 'insert into readings values (0.1)')
  const tenancy = world.open({ max: 1 })
  const pool = tenancy.poolFor(tenant)
  for (let n = 0; n < 3; n += 1) expect((await pool.query(TEXT, ['0.1'])).rows).toEqual([{ n: 1 }])
  return { tenancy, pool }
}

/** 0.1 as a `real` is not 0.1 as a `double precision`. */
async function change(tenant: string): Promise<void> {
  await sql(tenant, 'alter table readings alter value type double precision')
  await sql(tenant, 'update readings set value = 0.1')
}

function heard(tenancy: Tenancy): Promise<unknown> {
  return new Promise((resolve) => tenancy.on('catalog:changed', resolve))
}

test('a statement that was prepared before a column changed its type finds nothing, and says nothing: the trap', async () => {
  const { pool } = await prepare('acme')
  await change('acme')
  expect((await pool.query(TEXT, ['0.1'])).rows).toEqual([{ n: 0 }])
  // Its truth: unnamed, it is read anew.
  expect((await pool.query(`${TEXT} -- anew`, ['0.1'])).rows).toEqual([{ n: 1 }])
})

test.each([
  ['the tenant’s schema', () => `notify tenantry_catalog, '${world.tenants['acme']?.id}'`],
  ['what all tenants share', () => 'notify tenantry_catalog'],
])('once a change of %s is told, it is prepared anew', async (_, notify) => {
  const { tenancy, pool } = await prepare('acme')
  await change('acme')
  const told = heard(tenancy)
  await world.db.sql(notify())
  await told
  expect((await pool.query(TEXT, ['0.1'])).rows).toEqual([{ n: 1 }])
})

test('another tenant’s change leaves it prepared', async () => {
  const { tenancy, pool } = await prepare('acme')
  const told = heard(tenancy)
  await world.db.sql(`notify tenantry_catalog, '${world.tenants['globex']?.id}'`)
  await told
  const flights: boolean[] = []
  tenancy.on('flight:done', ({ named }) => flights.push(named))
  await pool.query(TEXT, ['0.1'])
  expect(flights).toEqual([true])
})

test('what changed while nobody listened counts as changed when the listener is back', async () => {
  const { tenancy, pool } = await prepare('acme')
  const restored = new Promise((resolve) => tenancy.on('listener:restored', resolve))
  await change('acme')
  await world.db.sql(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and usename = 'tenantry_app' and (query = 'select 1' or query ilike 'listen%')`,
  )
  await restored
  await waitFor(async () => (await tenancy.health()).listening)
  expect((await pool.query(TEXT, ['0.1'])).rows).toEqual([{ n: 1 }])
})
