import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { harden, soften } from '../../src/isolation/harden.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { enterUnguarded } from '../support/unguarded.ts'

const FUNCTION = 'pg_get_backend_memory_contexts()'
const READ = `select ident from ${FUNCTION} where ident is not null`

let world: TenantWorld
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
})
afterAll(() => world.close())

test('the login reads what its backends hold; a tenant does not, since that names other tenants’ statements', async () => {
  const { db, tenants } = world
  const tenancy = world.open({ max: 1 })
  const globex = 'select note as private_to_globex from orders where id = $1'
  for (let n = 0; n < 3; n += 1) await tenancy.poolFor('globex').query(globex, [1])
  expect(JSON.stringify((await tenancy.central.query(READ)).rows)).toContain('private_to_globex')
  for (const from of [FUNCTION, 'pg_backend_memory_contexts']) {
    const attack = `select ident from ${from}`
    await expect(tenancy.poolFor('acme').query(attack)).rejects.toMatchObject({
      code: expect.stringMatching(/^(TNY204|42501)$/) as unknown,
    })
    await enterUnguarded(world, 'acme', async (query) => {
      await expect(query(attack)).rejects.toMatchObject({ code: '42501' })
    })
  }
  // The control: were it the tenant's right, it would read them.
  await db.sql(`grant execute on function ${FUNCTION} to ${tenants['acme']?.home.role}`)
  const client = new pg.Client(db.appUrl)
  await client.connect()
  const actAs = (key: string): string => {
    const home = tenants[key]?.home
    return `reset role; set role ${home?.role}; set search_path = ${home?.schema}`
  }
  await client.query(actAs('globex'))
  await client.query({ name: 'kept', text: globex, values: [1] })
  await client.query(actAs('acme'))
  expect(JSON.stringify((await client.query(READ)).rows)).toContain('private_to_globex')
  await client.end()
  await db.sql(`revoke execute on function ${FUNCTION} from ${tenants['acme']?.home.role}`)
})

test('hardening gives it to the login where it may, and keeps silent where not; nobody else ever gets it', async () => {
  const { db } = world
  const may = async (role: string): Promise<unknown> =>
    (await db.sql('select has_function_privilege($1, $2, $3) as may', [role, FUNCTION, 'EXECUTE']))[0]?.[
      'may'
    ]
  await db.sql(`revoke execute on function ${FUNCTION} from tenantry_app`)
  const weak = createAdminDatabase(db.adminUrl, 1)
  try {
    await harden(weak)
  } finally {
    await weak.close()
  }
  expect(await may('tenantry_app')).toBe(false)
  const owner = createAdminDatabase(db.superuserUrl, 1)
  try {
    await harden(owner)
    expect(await may('tenantry_app')).toBe(true)
    expect(await may('public')).toBe(false)
    await soften(owner)
    expect(await may('public')).toBe(false)
  } finally {
    await owner.close()
  }
})
