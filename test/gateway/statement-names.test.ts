import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { StatementNames } from '../../src/gateway/statement-names.ts'
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

function schemaOf(key: string): string {
  return world.tenants[key]?.home.schema ?? ''
}

describe('the bookkeeping', () => {
  test('names a text when it comes for the second time, per tenant', () => {
    const names = new StatementNames()
    expect(names.find('a', 'select 1')).toBeUndefined()
    const name = names.find('a', 'select 1')
    expect(name).toBeDefined()
    expect(names.find('a', 'select 1')).toBe(name)
    expect(names.find('b', 'select 1')).toBeUndefined()
    expect(names.find('b', 'select 1')).not.toBe(name)
  })

  test('is bounded, and tells each name that it drops once', () => {
    const names = new StatementNames()
    const given = new Set<string>()
    for (let n = 0; n < 1_000; n += 1) {
      names.find('a', `select ${n}`)
      given.add(names.find('a', `select ${n}`) ?? '')
    }
    expect(given.size).toBe(1_000)
    expect(names.takeClosing()).toHaveLength(700)
    expect(names.takeClosing()).toEqual([])
    names.forget('a', 'select 999')
    expect(names.takeClosing()).toHaveLength(1)
  })

  test('gives no name to what is not planned, nor to very long texts', () => {
    const names = new StatementNames()
    for (const text of ['begin', 'commit', 'show all', `select '${'x'.repeat(20_000)}'`]) {
      names.find('a', text)
      expect(names.find('a', text)).toBeUndefined()
    }
  })
})

test('S23: the same text for two tenants on one connection gives each its own rows, time and again', async () => {
  const tenancy = world.open({ max: 1 })
  for (let round = 0; round < 6; round += 1) {
    for (const key of ['acme', 'globex']) {
      const { rows } = await tenancy
        .poolFor(key)
        .query('select distinct owner from orders where id > $1', [0])
      expect(rows).toEqual([{ owner: key }])
    }
  }
})

test('from the third time on a statement is sent without being parsed', async () => {
  const tenancy = world.open({ connection: wire.url, direct: world.db.appUrl, max: 1 })
  const pool = tenancy.poolFor('acme')
  await pool.query('select 1')
  const sent: string[] = []
  for (let n = 0; n < 4; n += 1) {
    wire.take()
    await pool.query('select id from orders where id = $1', [n])
    sent.push(wire.take())
  }
  // Unnamed, then parsed under a name, then bound to it.
  expect(sent).toEqual(['BEPBDES', 'BEPBDES', 'BEBDES', 'BEBDES'])
})

test('a plan that does not fit any more is made anew, unseen outside of transactions', async () => {
  const tenancy = world.open({ max: 1 })
  const pool = tenancy.poolFor('acme')
  const text = 'select * from orders where id = $1'
  for (let n = 0; n < 3; n += 1) await pool.query(text, [1])
  await world.db.sql(`alter table ${schemaOf('acme')}.orders add column extra integer default 7`)
  expect((await pool.query(text, [1])).rows[0]).toMatchObject({ extra: 7 })
  expect((await pool.query(text, [1])).rows[0]).toMatchObject({ extra: 7 })
})

test('inside a transaction it is an error that a repetition heals', async () => {
  const tenancy = world.open({ max: 1 })
  const text = 'select * from orders where id = $1 and owner is not null'
  const once = (): Promise<unknown> =>
    tenancy.run('globex', () =>
      tenancy.transaction(async (client) => {
        await client.query('select 1')
        return (await client.query(text, [1]))?.rows
      }),
    )
  for (let n = 0; n < 3; n += 1) await once()
  await world.db.sql(`alter table ${schemaOf('globex')}.orders add column extra integer default 7`)
  await expect(once()).rejects.toMatchObject({ code: '0A000' })
  expect(await once()).toMatchObject([{ extra: 7 }])
})

test('a text that fails to parse, or that needs another type, does not poison its name', async () => {
  const pool = world.open({ max: 1 }).poolFor('acme')
  for (let n = 0; n < 3; n += 1) {
    await expect(pool.query('select nonsense from orders')).rejects.toMatchObject({ code: '42703' })
    await expect(pool.query('select 1 / $1::int as n', [0])).rejects.toMatchObject({ code: '22012' })
    await expect(pool.query('select $1::int as n', ['x'])).rejects.toMatchObject({ code: '22P02' })
  }
  expect((await pool.query('select $1::int as n', [5])).rows).toEqual([{ n: 5 }])
  expect((await pool.query('select 1 / $1::int as n', [1])).rows).toEqual([{ n: 1 }])
})

test('names that were dropped are closed on the server', async () => {
  const tenancy = world.open({ connection: wire.url, direct: world.db.appUrl, max: 1 })
  const pool = tenancy.poolFor('acme')
  await pool.query('select 1')
  wire.take()
  for (let n = 0; n < 320; n += 1) {
    await pool.query(`select ${n} as n`)
    await pool.query(`select ${n} as n`)
  }
  expect(wire.take().split('C')).toHaveLength(320 - 300 + 1)
})
