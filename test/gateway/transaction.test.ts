import Cursor from 'pg-cursor'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Tenancy } from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { recordWire, type WireRecorder } from '../support/wire-recorder.ts'

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

async function countOrders(tenancy: Tenancy, key: string): Promise<number> {
  const { rows } = await tenancy.poolFor(key).query<{ n: number }>('select count(*)::int as n from orders')
  return rows[0]?.n ?? -1
}

describe('transactions begin lazily', () => {
  test('BEGIN, SET TRANSACTION, context and first statement are one round trip; an empty one is none', async () => {
    const tenancy = world.open({ connection: wire.url, direct: world.db.appUrl, max: 1 })
    await tenancy.poolFor('acme').query('select 1')
    wire.take()
    const client = await tenancy.poolFor('acme').connect()
    await client.query('begin')
    await client.query('set transaction isolation level serializable')
    expect(wire.take()).toBe('')
    const result = await client.query("select current_setting('transaction_isolation') as level")
    expect(result?.rows).toEqual([{ level: 'serializable' }])
    expect(wire.take()).toBe('PBE' + 'PBE' + 'BE' + 'PBDE' + 'S')
    await client.query('commit')
    await client.query('begin')
    await client.query('commit')
    client.release()
    expect(wire.take()).toBe('PBDES')
  })

  test('tenancy.transaction commits, and rolls back what throws', async () => {
    const tenancy = world.open()
    const before = await countOrders(tenancy, 'acme')
    await tenancy.run('acme', () =>
      tenancy.transaction((client) =>
        Promise.resolve(client.query("insert into orders (owner) values ('acme')")),
      ),
    )
    const failing = tenancy.run('acme', () =>
      tenancy.transaction(async (client) => {
        await client.query('delete from orders')
        throw new Error('changed my mind')
      }),
    )
    await expect(failing).rejects.toThrow('changed my mind')
    expect(await countOrders(tenancy, 'acme')).toBe(before + 1)
  })

  test('read only and isolation are the server’s', async () => {
    const tenancy = world.open()
    const writing = tenancy.run('acme', () =>
      tenancy.transaction((client) => Promise.resolve(client.query('delete from orders')), {
        readOnly: true,
      }),
    )
    await expect(writing).rejects.toMatchObject({ code: '25006' })
    const hostile = { isolation: 'serializable; drop table orders' as 'serializable' }
    await expect(tenancy.run('acme', () => tenancy.transaction(async () => 1, hostile))).rejects.toThrow(
      TypeError,
    )
  })

  test('savepoints keep the context, and ROLLBACK TO does not lose it', async () => {
    const tenancy = world.open()
    const client = await tenancy.poolFor('acme').connect()
    await client.query('begin')
    await client.query('savepoint first')
    await client.query("insert into orders (owner) values ('acme')")
    await client.query('rollback to savepoint first')
    const result = await client.query('select distinct owner from orders')
    expect(result?.rows).toEqual([{ owner: 'acme' }])
    await client.query('rollback')
    client.release()
  })

  test('a failed statement makes the rest fail until ROLLBACK, as on any client', async () => {
    const client = await world.open().poolFor('acme').connect()
    await client.query('begin')
    await expect(client.query('select 1 / 0')).rejects.toMatchObject({ code: '22012' })
    await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' })
    await client.query('rollback')
    expect((await client.query('select 1 as n'))?.rows).toEqual([{ n: 1 }])
    client.release()
  })
})

test('P3: a client released inside a transaction is rolled back before anyone else uses its connection', async () => {
  const tenancy = world.open({ max: 1 })
  const before = await countOrders(tenancy, 'acme')
  const client = await tenancy.poolFor('acme').connect()
  await client.query('begin')
  await client.query('delete from orders')
  client.release()
  const { rows } = await tenancy.poolFor('globex').query('select distinct owner from orders')
  expect(rows).toEqual([{ owner: 'globex' }])
  expect(await countOrders(tenancy, 'acme')).toBe(before)
})

test('P3: without the rollback the next tenant would work inside the first one’s transaction', async () => {
  // The unsafe control: the same on a plain connection, as a pool without the check would hand it on.
  const { default: pg } = await import('pg')
  const plain = new pg.Client(world.db.appUrl)
  await plain.connect()
  await plain.query('begin')
  await plain.query("select set_config('role', $1, true)", [world.tenants['acme']?.home.role])
  const { rows } = await plain.query('select current_user as "user"')
  expect(rows).toEqual([{ user: world.tenants['acme']?.home.role }])
  await plain.end()
})

test('A2: a client of one tenant is refused in another’s context, unless its tenant was named', async () => {
  const tenancy = world.open()
  const text = 'select distinct owner from orders'
  await tenancy.run('acme', () =>
    tenancy.transaction(async (client) => {
      await client.query("update orders set note = 'mine'")
      await tenancy.run('globex', async () => {
        await expect(client.query(text)).rejects.toMatchObject({ code: 'TNY234' })
        expect(() => client.query(new Cursor(text))).toThrow(expect.objectContaining({ code: 'TNY234' }))
        expect((await tenancy.pool.query(text)).rows).toEqual([{ owner: 'globex' }])
        const named = await tenancy.poolFor('acme').connect()
        expect((await named.query(text)).rows).toEqual([{ owner: 'acme' }])
        named.release()
      })
      // The transaction is as it was.
      expect((await client.query("select distinct note from orders where note = 'mine'")).rows).toHaveLength(
        1,
      )
      await tenancy.run('globex', () => client.query('rollback'))
    }),
  )
  const { rows } = await tenancy.poolFor('acme').query("select from orders where note = 'mine'")
  expect(rows).toEqual([])
})

test('A2: outside of every context a client is still its tenant’s', async () => {
  const tenancy = world.open()
  const client = await tenancy.run('acme', () => tenancy.pool.connect())
  expect((await client.query('select distinct owner from orders')).rows).toEqual([{ owner: 'acme' }])
  client.release()
})

test('A3: a client used after release throws', async () => {
  const client = await world.open().poolFor('acme').connect()
  client.release()
  await expect(client.query('select 1')).rejects.toMatchObject({ code: 'TNY207' })
  expect(() => client.release()).toThrow(expect.objectContaining({ code: 'TNY207' }))
})

test('S28: a procedure that commits is refused inside the transaction that it gets', async () => {
  const { schema } = world.tenants['acme']?.home ?? { schema: '' }
  await world.db.sql(`create procedure ${schema}.commits() language plpgsql as
    'begin insert into orders (owner) values (current_user); commit; insert into orders (owner) values (current_user); end'`)
  await world.db.sql(`create procedure ${schema}.stays() language plpgsql as
    'begin insert into orders (owner) values (current_user); end'`)
  await world.db.sql(
    `grant execute on all procedures in schema ${schema} to ${world.tenants['acme']?.home.role ?? ''}`,
  )
  const pool = world.open().poolFor('acme')
  await expect(pool.query('call commits()')).rejects.toMatchObject({ code: '2D000' })
  await pool.query('call stays()')
  const { rows } = await pool.query("select count(*)::int as n from orders where owner like 'tny%'")
  expect(rows).toEqual([{ n: 1 }])
  await pool.query("delete from orders where owner like 'tny%'")
})

test('BEGIN through pool.query is refused: its statements could reach different connections', async () => {
  const pool = world.open().poolFor('acme')
  for (const text of ['begin', 'commit', 'savepoint a', 'set transaction read only']) {
    await expect(pool.query(text)).rejects.toMatchObject({ code: 'TNY210' })
  }
})
