import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { recordWire, type WireRecorder } from '../support/wire-recorder.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

let world: TenantWorld
let wire: WireRecorder
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  wire = await recordWire(world.db.appUrl)
})
afterAll(async () => {
  await world.close()
  await wire.close()
})

describe('a single statement', () => {
  test('is one round trip: context and statement under one Sync', async () => {
    const tenancy = world.open({ connection: wire.url, direct: world.db.appUrl, max: 1 })
    const pool = tenancy.poolFor('acme')
    await pool.query('select 1')
    wire.take()
    await pool.query('select * from orders where id = $1', [1])
    // Bind and execute the prepared context; parse, bind, describe and execute the statement; one sync.
    expect(wire.take()).toBe('BE' + 'PBDE' + 'S')
  })

  test('reaches its own tenant on a connection that all share', async () => {
    const tenancy = world.open({ max: 1 })
    const pids = new Set<number>()
    for (const key of ['acme', 'globex', 'acme', 'globex']) {
      const { rows } = await tenancy
        .poolFor(key)
        .query<{ owner: string; pid: number }>('select distinct owner, pg_backend_pid() as pid from orders')
      expect(rows).toMatchObject([{ owner: key }])
      pids.add(rows[0]?.pid ?? 0)
    }
    expect(pids.size).toBe(1)
  })

  test('leaves nothing of the tenant on the connection, and S21: the setting is then empty, not NULL', async () => {
    const tenancy = world.open({ max: 1 })
    await tenancy.poolFor('acme').query('select 1')
    const { rows } = await tenancy.central.query(
      `select current_user as "user", current_setting('search_path') as path,
       current_setting('app.current_tenant', true) as tenant`,
    )
    expect(rows).toEqual([{ user: 'tenantry_app', path: '"$user", public', tenant: '' }])
  })

  test('leaves nothing behind after an error either, and the connection goes on', async () => {
    const tenancy = world.open({ max: 1 })
    await expect(tenancy.poolFor('acme').query('select 1 / 0')).rejects.toMatchObject({ code: '22012' })
    await expect(tenancy.poolFor('acme').query('select nonsense')).rejects.toMatchObject({ code: '42703' })
    const { rows } = await tenancy.central.query('select current_user as "user"')
    expect(rows).toEqual([{ user: 'tenantry_app' }])
    expect(tenancy.pool.totalCount).toBe(1)
  })

  test('binds the tenant’s id for policies of one’s own', async () => {
    const tenancy = world.open()
    const { rows } = await tenancy.poolFor('acme').query("select current_setting('app.current_tenant') as id")
    expect(rows).toEqual([{ id: world.tenants['acme']?.id }])
  })
})

describe('the forms of query()', () => {
  test('text, values, configuration, array rows, callback', async () => {
    const pool = world.open().poolFor('acme')
    expect((await pool.query('select $1::int + 1 as n', [1])).rows).toEqual([{ n: 2 }])
    expect((await pool.query({ text: 'select $1::text as t', values: ['x'] })).rows).toEqual([{ t: 'x' }])
    const arrays = await pool.query({ text: 'select 1 as a, 2 as b', rowMode: 'array' })
    expect(arrays.rows).toEqual([[1, 2]])
    const rows = await new Promise((resolve, reject) => {
      pool.query('select 3 as n', (error: Error | undefined, result: { rows: unknown[] }) =>
        error ? reject(error) : resolve(result.rows),
      )
    })
    expect(rows).toEqual([{ n: 3 }])
  })

  test('values that cannot be sent fail alone, and the connection goes on', async () => {
    const pool = world.open({ max: 1 }).poolFor('acme')
    const hostile = {
      toPostgres() {
        throw new Error('no value')
      },
    }
    await expect(pool.query('select $1::text', [hostile])).rejects.toThrow('no value')
    expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }])
  })

  test('an empty statement answers with no rows', async () => {
    expect((await world.open().poolFor('acme').query(' ')).rows).toEqual([])
  })
})

test('refuses a tenant that is unknown, and one whose role is gone', async () => {
  const tenancy = world.open()
  await expect(tenancy.poolFor('nobody').query('select 1')).rejects.toMatchObject({ code: 'TNY209' })
  await expect(tenancy.poolFor('"; drop').query('select 1')).rejects.toMatchObject({ code: 'TNY209' })
})
