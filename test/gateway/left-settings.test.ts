import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { GatewayPool, Tenancy } from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

/** What a function of the application's may set for its session, and what the next one would see of it. */
const LEFT = {
  standard_conforming_strings: { set: 'off', was: 'on' },
  search_path: { set: 'elsewhere', was: /^(?!elsewhere)/ },
  timezone: { set: 'Asia/Tokyo', was: /^(?!Asia)/ },
  datestyle: { set: 'German, DMY', was: /^ISO/ },
}

let world: TenantWorld
let tenancy: Tenancy
const reasons: string[] = []
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  const admin = new pg.Client(world.db.superuserUrl)
  await admin.connect()
  for (const [name, { set }] of Object.entries(LEFT)) {
    await admin.query(`create function public.leave_${name}() returns text language plpgsql
      as $$ begin set ${name} = '${set}'; return current_setting('${name}'); end $$`)
  }
  await admin.end()
  tenancy = world.open({ max: 1 })
  tenancy.on('connection:close', ({ reason }) => reasons.push(reason))
})
afterAll(() => world.close())

const settingOf = async (name: string, from: Pick<GatewayPool, 'query'>): Promise<string | undefined> =>
  (await from.query<{ value: string }>('select current_setting($1) as value', [name])).rows[0]?.value

describe.each(Object.entries(LEFT))('P2: a function that sets %s for its session', (name, { was }) => {
  test('the unsafe control: on a connection of node-postgres the next one has it too', async () => {
    const shared = new pg.Client(world.db.appUrl)
    await shared.connect()
    const before = await settingOf(name, shared)
    await shared.query(`select public.leave_${name}()`)
    expect(await settingOf(name, shared)).not.toBe(before)
    await shared.end()
  })

  test.each(['statement', 'transaction', 'session'])(
    'by a %s: that connection serves nobody else',
    async (how) => {
      const leave = `select public.leave_${name}()`
      reasons.length = 0
      await tenancy.run('acme', async () => {
        if (how === 'statement') await tenancy.pool.query(leave)
        else if (how === 'transaction') await tenancy.transaction((client) => client.query(leave))
        else await tenancy.session((client) => client.query(leave))
      })
      expect(await settingOf(name, tenancy.central)).toMatch(was)
      expect(await settingOf(name, tenancy.poolFor('globex'))).toMatch(name === 'search_path' ? /./ : was)
      expect(reasons).toEqual(['altered'])
    },
  )
})

test('what a transaction sets for itself, and the contexts of tenants, change nothing', async () => {
  reasons.length = 0
  const pid = async (from: Pick<GatewayPool, 'query'>): Promise<unknown> =>
    (await from.query('select pg_backend_pid() as pid')).rows
  const first = await pid(tenancy.central)
  for (const tenant of ['acme', 'globex']) {
    await tenancy.run(tenant, () =>
      tenancy.transaction(async (client) => {
        await client.query("set local timezone = 'Asia/Tokyo'")
        await tenancy.pool.query('select count(*) from orders')
      }),
    )
  }
  expect(await pid(tenancy.central)).toEqual(first)
  expect(reasons).toEqual([])
})
