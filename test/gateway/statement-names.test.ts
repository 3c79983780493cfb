import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { KEPT_NAMES, RepeatedTexts, StatementNames } from '../../src/gateway/connection/statement-names.ts'
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
  test('names a text when it comes for the second time, from whichever tenant, and a name of its own for each', () => {
    const names = new StatementNames(new RepeatedTexts())
    expect(names.find('a', 'select 1')).toBeUndefined()
    const statement = names.find('b', 'select 1')
    expect(statement?.name).toMatch(/^tenantry_[0-9a-f]{12}_1$/)
    expect(names.find('b', 'select 1')).toBe(statement)
    expect(names.find('a', 'select 1')?.name).toMatch(/_2$/)
  })

  test('what one connection has seen has a name at once on another, and not the same', () => {
    const repeated = new RepeatedTexts()
    const [one, other] = [new StatementNames(repeated), new StatementNames(repeated)]
    expect(one.find('a', 'select 1')).toBeUndefined()
    const names = [one, other].map((connection) => connection.find('a', 'select 1')?.name)
    expect(new Set(names).size).toBe(2)
    expect(names).not.toContain(undefined)
  })

  test('is bounded, and tells each name that the server has and may drop, once', () => {
    const names = new StatementNames(new RepeatedTexts())
    const [given, ready] = [new Set<string>(), new Set<string>()]
    for (let n = 0; n < 1_000; n += 1) {
      let statement = names.find('a', `select ${n}`)
      // Once all names are given, whoever comes has to come oftener than another.
      for (let use = 0; use < 40 && statement === undefined; use += 1)
        statement = names.find('a', `select ${n}`)
      if (statement === undefined) continue
      given.add(statement.name)
      // Every other one was refused by the server, which never heard of its name.
      statement.ready = n % 2 === 0
      if (statement.ready) ready.add(statement.name)
    }
    expect(given.size).toBe(1_000)
    const closing = names.takeClosing()
    expect(closing.length).toBeGreaterThan((1_000 - KEPT_NAMES) / 3)
    expect(closing.length).toBeLessThanOrEqual(1_000 - KEPT_NAMES)
    expect(new Set(closing).size).toBe(closing.length)
    expect(closing.every((name) => ready.has(name))).toBe(true)
    expect(names.takeClosing()).toEqual([])
    names.forget('a', 'select 998')
    expect(names.takeClosing()).toHaveLength(1)
  })

  test('what comes often keeps its name while others come and go, and loses it once it comes no more', () => {
    const names = new StatementNames(new RepeatedTexts())
    const ask = (text: string): boolean => names.find('a', text) !== undefined
    for (let n = 0; n < KEPT_NAMES; n += 1) ask(`select ${n}`)
    for (let use = 0; use < 10; use += 1) {
      for (let n = 0; n < KEPT_NAMES; n += 1) ask(`select ${n}`)
    }
    // Most recent use would give each of these a name, and take that of a text that is used more.
    for (let n = 0; n < 2 * KEPT_NAMES; n += 1) for (let use = 0; use < 3; use += 1) ask(`select -${n}`)
    let kept = 0
    for (let n = 0; n < KEPT_NAMES; n += 1) if (ask(`select ${n}`)) kept += 1
    // Some are counted in one place with another.
    expect(kept).toBeGreaterThan(KEPT_NAMES * 0.9)
    // Others take their place, one after the other.
    for (let use = 0; use < 200; use += 1) for (let n = 0; n < 100; n += 1) ask(`select -${n}`)
    let come = 0
    for (let n = 0; n < 100; n += 1) if (ask(`select -${n}`)) come += 1
    expect(come).toBe(100)
  })

  test('gives no name to what is not planned, nor to very long texts', () => {
    const names = new StatementNames(new RepeatedTexts())
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

test('S23: a central transaction is nobody’s, whoever had the connection before: it names nothing for a tenant', async () => {
  const tenancy = world.open({ max: 1 })
  const flights: (string | undefined)[] = []
  tenancy.on('flight:done', ({ tenantId }) => flights.push(tenantId))
  const acme = tenancy.poolFor('acme')
  for (let n = 0; n < 3; n += 1) await acme.query('select $1::int as n', [n])
  flights.length = 0
  const client = await tenancy.central.connect()
  await client.query('begin')
  // The type of the parameter is that of the statement that was parsed first, and would be acme's from now on.
  for (let n = 0; n < 3; n += 1) await client.query('select $1 || $2 as joined', ['a', 'b'])
  await client.query('commit')
  client.release()
  expect(flights).toEqual([undefined, undefined, undefined, undefined])
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
  // Unnamed, then parsed under a name, then bound to it; its columns are known by then.
  expect(sent).toEqual(['BEPBDES', 'BEPBDES', 'BEBES', 'BEBES'])
})

test('columns that are known need not be told again, in whichever form the answer is wanted', async () => {
  const pool = world.open({ max: 1 }).poolFor('acme')
  const text = "select 7 as n, 'x' as t, null as nothing from orders where id >= $1 limit 1"
  const types = { getTypeParser: () => (value: string) => `<${value}>` }
  for (let round = 0; round < 4; round += 1) {
    const plain = await pool.query(text, [0])
    expect(plain.rows).toEqual([{ n: 7, t: 'x', nothing: null }])
    expect(plain.fields.map(({ name }) => name)).toEqual(['n', 't', 'nothing'])
    expect((await pool.query({ text, values: [0], rowMode: 'array' })).rows).toEqual([[7, 'x', null]])
    expect((await pool.query({ text, values: [0], types })).rows).toEqual([
      { n: '<7>', t: '<x>', nothing: null },
    ])
    const { rows } = await pool.query({ text, values: [0], binary: true })
    expect(rows).toEqual([{ n: 7, t: 'x', nothing: null }])
    expect((await pool.query(text, [1_000_000])).fields).toHaveLength(3)
    const changed = await pool.query('update orders set note = $1 where id = 0', ['none'])
    expect(changed).toMatchObject({ command: 'UPDATE', rowCount: 0, rows: [], fields: [] })
  }
})

test('a value that cannot be written is an error of its statement alone, and its name serves on', async () => {
  const pool = world.open({ max: 1 }).poolFor('acme')
  const text = 'select $1::text as value'
  const bad = { toPostgres: () => { throw new Error('no such value') } } // prettier-ignore
  for (let round = 0; round < 4; round += 1) {
    await expect(pool.query(text, [bad])).rejects.toThrow('no such value')
    expect((await pool.query(text, ['x'])).rows).toEqual([{ value: 'x' }])
  }
})

test('a type parser that throws is an error of its statement alone', async () => {
  const pool = world.open({ max: 1 }).poolFor('acme')
  const types = { getTypeParser: () => (): never => { throw new Error('unreadable') } } // prettier-ignore
  const text = 'select generate_series(1, 3) as n'
  for (let round = 0; round < 3; round += 1) {
    await expect(pool.query({ text, types })).rejects.toThrow('unreadable')
    expect((await pool.query(text)).rows).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }])
  }
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
  for (let n = 0; n < KEPT_NAMES + 20; n += 1) {
    // Who comes when all names are given has to come oftener.
    for (let use = 0; use < (n < KEPT_NAMES ? 2 : 8); use += 1) await pool.query(`select ${n} as n`)
  }
  expect(wire.take().split('C').length - 1).toBeGreaterThan(10)
})
