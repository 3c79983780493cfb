import { afterAll, beforeAll, expect, test } from 'vitest'
import type { GatewayPool, TenancyEvents } from '../../src/index.ts'
import { createGuard } from '../../src/isolation/guard.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

let world: TenantWorld
let pool: GatewayPool
const told: TenancyEvents['statement:refused'][] = []
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  // As on a server that is not hardened, where the guard alone would refuse it.
  await world.db.sql('grant execute on function pg_try_advisory_xact_lock(bigint) to public')
  const tenancy = world.open({ guard: 'report', max: 1 })
  tenancy.on('statement:refused', (event) => told.push(event))
  pool = tenancy.poolFor(world.tenants['acme'] ?? '')
})
afterAll(() => world.close())

test('what would be refused is sent and told, each time', async () => {
  for (const attempt of [1, 2]) {
    expect((await pool.query('select pg_try_advisory_xact_lock(1) as got')).rows).toEqual([{ got: true }])
    expect(told).toHaveLength(attempt)
  }
  expect(told[1]).toMatchObject({
    enforced: false,
    tenantId: world.tenants['acme']?.id,
    error: { code: 'TNY204', message: expect.stringContaining('pg_try_advisory_xact_lock') as string },
  })
  const tenancy = world.open({ guard: 'report' })
  await tenancy.run('acme', () =>
    tenancy.transaction(async (client) => {
      await client.query("set local app.note = 'x'")
      expect((await client.query("select current_setting('app.note') as note"))?.rows).toEqual([
        { note: 'x' },
      ])
    }),
  )
})

test('S11: rights still decide: TRUNCATE is let through to the server, which refuses it', async () => {
  await expect(pool.query('truncate orders')).rejects.toMatchObject({ code: '42501' })
  expect(told.at(-1)).toMatchObject({ enforced: false })
})

test('S29: what would reach the next tenant on the connection is refused all the same; so for S4, S5, S6, S15', async () => {
  const victim = world.tenants['globex']?.home.role ?? ''
  for (const text of [
    'reset role',
    `set role ${victim}`,
    `set local role ${victim}`,
    "set local app.current_tenant = 'x'",
    "set local tenantry.proof = 'x'",
    'set local standard_conforming_strings = off',
    "select set_config('statement_timeout', '7', false)",
    "select query_to_xml('select 1', true, true, '')",
    'select pg_advisory_lock(1)',
    'select setseed(0.5)',
    'do $$ begin perform 1; end $$',
    'select 1; reset role',
    'commit and chain',
    "prepare transaction 'x'",
    'declare c cursor with hold for select 1',
    'prepare p as select 1',
    'explain analyze execute p',
    'discard all',
    'create temp table t (a int)',
    'create table pg_temp.t (a int)',
    "load 'auto_explain'",
    "update pg_settings set setting = '7' where name = 'statement_timeout'",
    'select * from pg_prepared_statements',
    "copy orders to '/tmp/x'",
    // One thing that can be carried does not carry another.
    "select pg_notify('a', ''), setseed(0.5)",
  ]) {
    await expect(pool.query(text), text).rejects.toMatchObject({ code: 'TNY204' })
    expect(told.at(-1)).toMatchObject({ enforced: true })
  }
  await expect(pool.query('listen a')).rejects.toMatchObject({ code: 'TNY210' })
})

test('an option that it does not know enforces', async () => {
  const guard = createGuard({ policy: 'off' as 'report' })
  await guard.load()
  expect(() => guard.check('truncate t', 'tenant')).toThrow(expect.objectContaining({ code: 'TNY204' }))
})
