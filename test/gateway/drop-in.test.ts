import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { GatewayClient, GatewayPool, Tenancy } from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { waitFor } from '../support/wait-for.ts'

let world: TenantWorld
let tenancy: Tenancy
let acme: GatewayPool
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
  tenancy = world.open({ max: 2 })
  acme = tenancy.poolFor('acme')
  const { schema, role } = world.tenants['acme']?.home ?? { schema: '', role: '' }
  await world.db.sql(
    `create function ${schema}.says(what text) returns text language plpgsql as
     $$ begin raise notice '%', what; return what; end $$`,
  )
  await world.db.sql(`grant execute on all functions in schema ${schema} to ${role}`)
})
afterAll(() => world.close())

describe('query()', () => {
  test('values beside a configuration win; a name, binary, types and rowMode are taken', async () => {
    const config = { text: 'select $1::int as n', values: [1], name: 'same name' }
    expect((await acme.query(config, [2])).rows).toEqual([{ n: 2 }])
    // The same name for another text, which node-postgres refuses on one connection.
    expect((await acme.query({ name: 'same name', text: 'select 3 as n' })).rows).toEqual([{ n: 3 }])
    const binary = await acme.query({ text: 'select 5 as n', binary: true })
    expect([binary.fields[0]?.format, binary.rows]).toEqual(['binary', [{ n: 5 }]])
    const types = { getTypeParser: () => (value: string) => `<${value}>` }
    expect((await acme.query({ text: 'select 6 as n', types })).rows).toEqual([{ n: '<6>' }])
    expect((await acme.query({ text: 'select 7', rowMode: 'array' })).rows).toEqual([[7]])
  })

  test('what is no query is refused at once', async () => {
    expect(() => Reflect.apply(acme.query, acme, [undefined])).toThrow(TypeError)
    expect(() => Reflect.apply(acme.query, acme, ['select 1', 'x'])).toThrow('Query values must be an array')
  })

  test('a callback hears of results and errors, and is not called twice where it throws', async () => {
    const error = await new Promise((resolve) =>
      acme.query('select 1 / 0', (failure: Error) => resolve(failure)),
    )
    expect(error).toMatchObject({ code: '22012' })
  })

  test('a query taken from its pool still knows it', async () => {
    const { query } = acme
    expect((await query('select 1 as n')).rows).toEqual([{ n: 1 }])
  })
})

describe('connect()', () => {
  test('by promise and by callback; released once', async () => {
    const client = await acme.connect()
    expect((await client.query('select 1 as n')).rows).toEqual([{ n: 1 }])
    client.release()
    expect(() => client.release()).toThrow(expect.objectContaining({ code: 'TNY207' }))
    const rows = await new Promise((resolve, reject) => {
      acme.connect((error, taken, done) => {
        if (taken === undefined) return reject(error)
        taken.query('select 2 as n', (failure: Error | undefined, result: pg.QueryResult) => {
          done()
          if (failure === undefined) resolve(result.rows)
          else reject(failure)
        })
      })
    })
    expect(rows).toEqual([{ n: 2 }])
  })

  test('without a tenant the callback hears TNY201', async () => {
    const error = await new Promise((resolve) => tenancy.pool.connect((failure) => resolve(failure)))
    expect(error).toMatchObject({ code: 'TNY201' })
  })

  test('A1: the tenant is that of the call, also where the callback runs in no context', async () => {
    const client = await new Promise<GatewayClient | undefined>((resolve) => {
      void tenancy.run('acme', () => tenancy.pool.connect((_, taken) => resolve(taken)))
    })
    const result = await client?.query('select distinct owner from orders')
    expect(result?.rows).toEqual([{ owner: 'acme' }])
    client?.release()
  })

  test('release(error) closes the connection that it holds', async () => {
    const client = await acme.connect()
    await client.query('begin')
    const [before] = (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows
    client.release(new Error('I do not trust it'))
    for (let n = 0; n < 5; n += 1) {
      const [after] = (await acme.query<{ pid: number }>('select pg_backend_pid() as pid')).rows
      expect(after?.pid).not.toBe(before?.pid)
    }
  })

  test('events of the pool, and its counts', async () => {
    const pool = tenancy.poolFor('acme')
    const told: string[] = []
    for (const event of ['connect', 'acquire', 'release', 'remove'] as const)
      pool.on(event, () => told.push(event))
    const client = await pool.connect()
    await client.query('begin')
    await client.query('select 1')
    // Of the tests before, one may still be opening or closing.
    await waitFor(() => pool.totalCount - pool.idleCount === 1)
    await client.query('commit')
    client.release()
    expect(told).toEqual(['connect', 'acquire', 'release', 'remove'])
    await waitFor(() => pool.idleCount === pool.totalCount)
    expect(pool.waitingCount).toBe(0)
    expect(pool.options.max).toBe(2)
  })

  test('end() ends this face alone', async () => {
    const pool = tenancy.poolFor('acme')
    await pool.end()
    expect([pool.ending, pool.ended]).toEqual([true, true])
    await expect(pool.query('select 1')).rejects.toMatchObject({ code: 'TNY208' })
    await expect(pool.connect()).rejects.toMatchObject({ code: 'TNY208' })
    expect((await acme.query('select 1 as n')).rows).toEqual([{ n: 1 }])
  })
})

describe('a client', () => {
  test('hears the notices of its own statements, and of no other’s', async () => {
    const [ours, theirs] = [await acme.connect(), await acme.connect()]
    const heard: unknown[] = []
    ours.on('notice', (notice: { message: string }) => heard.push(notice.message))
    theirs.on('notice', (notice: { message: string }) => heard.push(`not mine: ${notice.message}`))
    await Promise.all([ours.query("select says('alone')"), theirs.query('select 1')])
    await ours.query('begin')
    await ours.query("select says('inside')")
    await ours.query('commit')
    expect(heard).toEqual(['alone', 'inside'])
    ours.release()
    theirs.release()
  })

  test('has type parsers of its own', async () => {
    const client = await acme.connect()
    client.setTypeParser(pg.types.builtins.INT8, (value) => BigInt(value))
    expect((await client.query('select 5::int8 as n')).rows).toEqual([{ n: 5n }])
    expect(client.getTypeParser(pg.types.builtins.INT8)('6')).toBe(6n)
    expect((await acme.query('select 5::int8 as n')).rows).toEqual([{ n: '5' }])
    client.release()
  })

  test('escapes, tells its transaction, and knows no single connection', async () => {
    const client = await acme.connect()
    expect(client.escapeIdentifier('a"b')).toBe('"a""b"')
    expect(client.escapeLiteral("a'b")).toBe("'a''b'")
    expect(await client.connect()).toBe(client)
    expect(client.getTransactionStatus()).toBe('I')
    await client.query('begin')
    expect(client.getTransactionStatus()).toBe('T')
    await expect(client.query('select 1 / 0')).rejects.toMatchObject({ code: '22012' })
    expect(client.getTransactionStatus()).toBe('E')
    await client.query('rollback')
    expect(() => client.connection).toThrow(expect.objectContaining({ code: 'TNY210' }))
    expect('processID' in client).toBe(false)
    const ended = new Promise((resolve) => client.once('end', () => resolve('ended')))
    await client.end()
    expect(await ended).toBe('ended')
    await expect(client.query('select 1')).rejects.toMatchObject({ code: 'TNY207' })
  })

  test('P7: emits "error" where somebody listens, as its transaction’s connection is lost', async () => {
    const client = await acme.connect()
    const error = new Promise((resolve) => client.once('error', resolve))
    await client.query('begin')
    const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
    await world.db.sql('select pg_terminate_backend($1)', [rows[0]?.pid])
    await expect(client.query('select 1')).rejects.toMatchObject({ code: 'TNY212' })
    expect(await error).toMatchObject({ code: 'TNY212' })
    client.release()
  })

  test('S16: LISTEN is refused with a reason, through the pool and inside a transaction', async () => {
    await expect(acme.query('listen a_channel')).rejects.toThrow(/LISTEN/)
    const client = await acme.connect()
    await client.query('begin')
    await expect(client.query('listen a_channel')).rejects.toMatchObject({ code: 'TNY210' })
    await client.query('rollback')
    client.release()
  })
})
