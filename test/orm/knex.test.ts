import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { type DbForTenant, knexForTenants } from '../../src/orm/knex.ts'
import type { Tenancy } from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { recordWire } from '../support/wire-recorder.ts'

interface Order {
  id: string
  owner: string
  note: string | null
}

let world: TenantWorld
let tenancy: Tenancy
let dbForTenant: DbForTenant
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  tenancy = world.open({ max: 2 })
  // It warns of each connection that it does not get.
  dbForTenant = knexForTenants(tenancy, { log: { warn: () => undefined } })
})
afterAll(() => world.close())

test('a Knex for a tenant by key, id, record, and for the tenant of the context', async () => {
  const acme = world.tenants['acme']
  for (const name of ['acme', acme?.id, acme]) {
    const rows = await dbForTenant(name)<Order>('orders').distinct('owner')
    expect(rows).toEqual([{ owner: 'acme' }])
  }
  const rows = await tenancy.run('globex', () => dbForTenant()<Order>('orders').distinct('owner'))
  expect(rows).toEqual([{ owner: 'globex' }])
})

test('A1: without an argument and without a context it throws, and so it does for undefined', () => {
  expect(() => dbForTenant()).toThrow(expect.objectContaining({ code: 'TNY201' }))
  expect(() => dbForTenant(undefined)).toThrow(expect.objectContaining({ code: 'TNY201' }))
})

test('A2: a Knex of one tenant stays with it inside another’s context', async () => {
  const rows = await tenancy.run('globex', () => dbForTenant('acme')<Order>('orders').distinct('owner'))
  expect(rows).toEqual([{ owner: 'acme' }])
})

test('insert, update, delete, raw, first, pluck', async () => {
  const db = dbForTenant('acme')
  const [created] = await db<Order>('orders').insert({ owner: 'acme', note: "it's ?" }).returning('*')
  const id = created?.id ?? ''
  expect(created?.note).toBe("it's ?")
  expect(await db<Order>('orders').where({ id }).update({ note: 'x' })).toBe(1)
  expect(await db<Order>('orders').where({ note: 'x' }).pluck('owner')).toEqual(['acme'])
  const raw = await db.raw<{ rows: unknown[] }>('select ?::int + ? as n', [1, 2])
  expect(raw.rows).toEqual([{ n: 3 }])
  expect(await db<Order>('orders').where({ note: 'x' }).del()).toBe(1)
  expect(await db<Order>('orders').where({ note: 'x' }).first()).toBeUndefined()
})

test('transactions commit, roll back, and nest as savepoints', async () => {
  const db = dbForTenant('acme')
  const count = async (): Promise<number> => Number((await db('orders').count('* as n').first())?.['n'])
  const before = await count()
  await expect(
    db.transaction(async (trx) => {
      await trx('orders').insert({ owner: 'acme' })
      throw new Error('no')
    }),
  ).rejects.toThrow('no')
  expect(await count()).toBe(before)
  await db.transaction(
    async (trx) => {
      await trx('orders').insert({ owner: 'acme' })
      await trx
        .transaction((inner) =>
          inner('orders')
            .del()
            .then(() => Promise.reject(new Error('inner'))),
        )
        .catch(() => 0)
    },
    { isolationLevel: 'serializable' },
  )
  expect(await count()).toBe(before + 1)
})

test('a hundred transactions of two tenants over two connections stay apart', async () => {
  const owners = await Promise.all(
    Array.from({ length: 100 }, (_, n) => {
      const key = n % 2 === 0 ? 'acme' : 'globex'
      return dbForTenant(key).transaction(async (trx) => {
        await trx('orders').where({ id: 1 }).update({ note: key })
        return trx<Order>('orders').distinct('owner').pluck('owner')
      })
    }),
  )
  expect(owners).toEqual(Array.from({ length: 100 }, (_, n) => [n % 2 === 0 ? 'acme' : 'globex']))
})

test('A1: one Knex for all: a query is for the tenant of the context in which it is awaited', async () => {
  const { db } = dbForTenant
  const owners = db<Order>('orders').distinct('owner').orderBy('owner').pluck('owner')
  await tenancy.run('acme', async () => {
    // Lazy: built here, and run by whoever awaits it; `run` awaits what it is given back.
    expect(await tenancy.run('globex', () => owners.clone())).toEqual(['globex'])
    expect(await owners).toEqual(['acme'])
  })
  await expect(db('orders')).rejects.toMatchObject({ code: 'TNY201' })
})

test('batchInsert is one transaction, also in chunks, and inside another one', async () => {
  const { db } = dbForTenant
  const rows = Array.from({ length: 10 }, () => ({ owner: 'acme', note: 'batch' }))
  await tenancy.run('acme', async () => {
    const broken: Partial<Order>[] = [...rows, { note: 'without an owner' }]
    await expect(db.batchInsert('orders', broken, 3)).rejects.toMatchObject({
      code: '23502',
    })
    expect(await db('orders').where({ note: 'batch' })).toEqual([])
    const failing = db.transaction(async () => {
      await db.batchInsert('orders', rows, 3)
      throw new Error('undo')
    })
    await expect(failing).rejects.toThrow('undo')
    await db.batchInsert('orders', rows, 3)
    expect(await db('orders').where({ note: 'batch' }).del()).toBe(10)
  })
})

test('a transaction without a function has its own statements alone', async () => {
  await tenancy.run('acme', async () => {
    const { db } = dbForTenant
    const trx = await db.transaction()
    await trx('orders').insert({ owner: 'acme', note: 'open' })
    expect(await db('orders').where({ note: 'open' })).toEqual([])
    await trx.rollback()
  })
})

test('the schema builder is refused, and the refusal says where it belongs', async () => {
  const building = dbForTenant('acme').schema.createTable('mine', (table) => table.increments())
  await expect(building).rejects.toMatchObject({
    code: 'TNY204',
    hint: expect.stringContaining('migration'),
  })
})

test('errors keep PostgreSQL’s code and the statement', async () => {
  await expect(dbForTenant('acme')('nothing')).rejects.toMatchObject({ code: '42P01' })
  await expect(dbForTenant('acme').raw('reset role')).rejects.toMatchObject({ code: 'TNY204' })
})

test('stream() reads row by row, also inside a transaction, and gives its connection back', async () => {
  const db = dbForTenant('acme')
  const owners: string[] = []
  for await (const row of db<Order>('orders').select('owner').stream()) owners.push((row as Order).owner)
  expect(owners).toEqual(['acme', 'acme', 'acme', 'acme'])
  for await (const row of db<Order>('orders').select('owner').stream()) {
    expect(row).toEqual({ owner: 'acme' })
    break
  }
  const inside = await db.transaction(async (trx) => {
    await trx('orders').insert({ owner: 'acme', note: 'streamed' })
    const notes: (string | null)[] = []
    const stream = trx<Order>('orders').where({ note: 'streamed' }).stream()
    for await (const row of stream) notes.push((row as Order).note)
    await trx('orders').where({ note: 'streamed' }).del()
    return notes
  })
  expect(inside).toEqual(['streamed'])
  await expect(db.raw('select 1 / 0').stream().toArray()).rejects.toMatchObject({ code: '22012' })
  await vi.waitFor(() => expect(tenancy.pool.idleCount).toBe(tenancy.pool.totalCount))
})

test('a new instance asks the server nothing of its own', async () => {
  const wire = await recordWire(world.db.appUrl)
  const recorded = world.open({ connection: wire.url, direct: world.db.appUrl, max: 1 })
  await recorded.poolFor('acme').query('select 1')
  wire.take()
  await knexForTenants(recorded)('acme')('orders').first()
  expect(wire.take()).toBe('BEPBDES')
  await wire.close()
})
