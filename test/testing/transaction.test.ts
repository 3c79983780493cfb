/** Tests in a transaction: whatever they do is undone, and what cannot be done in one is said. */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import express from 'express'
import Cursor from 'pg-cursor'
import { from as copyFrom } from 'pg-copy-streams'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { header } from '../../src/index.ts'
import { tenantMiddleware } from '../../src/http/express.ts'
import { knexForTenants } from '../../src/orm/knex.ts'
import type { TestDatabase } from '../../src/testing/test-database.ts'
import { customersOf, openSample } from './sample-database.ts'

let db: TestDatabase
let close: () => Promise<void>
beforeAll(async () => ({ db, close } = await openSample()))
afterAll(() => close())

const add = (customer: string) => ['insert into orders (customer) values ($1)', [customer]] as const

/** Runs it as a test would be run, and gives what is there afterwards. */
async function undone(fn: () => Promise<unknown>): Promise<string[][]> {
  await db.inTransaction(fn)()
  return [await customersOf(db, 'acme'), await customersOf(db, 'globex')]
}
const UNTOUCHED = [['first of acme'], ['first of globex']]

describe('everything is undone', () => {
  test('statements of two tenants through every way to them', async () => {
    const { tenancy } = db
    const knex = knexForTenants(tenancy)
    const left = await undone(async () => {
      await db.asTenant('acme', () => tenancy.pool.query(...add('by pool')))
      await tenancy.poolFor('globex').query(...add('by poolFor'))
      await knex('acme')('orders').insert({ customer: 'by knex' })
      await db.asTenant('acme', () => tenancy.transaction((client) => client.query(...add('by transaction'))))
      await db.asTenant('globex', () => tenancy.session((client) => client.query(...add('by session'))))
      expect(await customersOf(db, 'acme')).toEqual(['first of acme', 'by pool', 'by knex', 'by transaction'])
      expect(await customersOf(db, 'globex')).toEqual(['first of globex', 'by poolFor', 'by session'])
    })
    expect(left).toEqual(UNTOUCHED)
  })

  test('shared tables and central work; a tenant entered before leaves nothing to it', async () => {
    const { tenancy } = db
    await undone(async () => {
      await db.asTenant('acme', () => tenancy.pool.query('select 1'))
      await tenancy.central.query("insert into plans values ('new')")
      const { rows } = await tenancy.central.query(
        "select current_user = session_user as login, current_setting('search_path') as path, current_setting('app.current_tenant', true) as tenant",
      )
      expect(rows).toEqual([{ login: true, path: '"$user", public', tenant: '' }])
      const shared = await db.asTenant('globex', () =>
        tenancy.shared.query('select name from plans order by name'),
      )
      expect(shared.rows).toEqual([{ name: 'free' }, { name: 'new' }])
    })
    expect((await tenancy.central.query('select name from plans')).rows).toEqual([{ name: 'free' }])
  })

  test('what an application in this process does for real requests', async () => {
    const app = express()
    app.use(tenantMiddleware(db.tenancy, { resolve: header('x-tenant') }))
    const knex = knexForTenants(db.tenancy)
    app.post('/orders', async (req, res) => {
      await knex(req.tenantId).transaction(async (trx) => {
        await trx('orders').insert({ customer: 'by request' })
      })
      res.json(await knex(req.tenantId)('orders').orderBy('id').pluck('customer'))
    })
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    try {
      const { port } = server.address() as AddressInfo
      const left = await undone(async () => {
        const answer = await fetch(`http://127.0.0.1:${port}/orders`, {
          method: 'POST',
          headers: { 'x-tenant': 'acme' },
        })
        expect(await answer.json()).toEqual(['first of acme', 'by request'])
      })
      expect(left).toEqual(UNTOUCHED)
    } finally {
      server.close()
    }
  })

  test('also where the test fails, and its error is what is thrown', async () => {
    const failing = db.inTransaction(async () => {
      await db.tenancy.poolFor('acme').query(...add('lost'))
      throw new Error('as tests do')
    })
    await expect(failing()).rejects.toThrow('as tests do')
    expect(await customersOf(db, 'acme')).toEqual(['first of acme'])
  })

  test('by hooks, as by a function', async () => {
    await db.begin()
    await db.tenancy.poolFor('acme').query(...add('between'))
    await db.rollback()
    await db.rollback()
    expect(await customersOf(db, 'acme')).toEqual(['first of acme'])
  })
})

describe('the code under test sees what it would see', () => {
  beforeEach(async () => {
    await db.begin()
    return () => db.rollback()
  })

  test('a statement that fails takes nothing else with it', async () => {
    const acme = db.tenancy.poolFor('acme')
    await acme.query(...add('kept'))
    await expect(acme.query(...add('kept'))).rejects.toMatchObject({ code: '23505' })
    await expect(acme.query('select * from nothing')).rejects.toMatchObject({ code: '42P01' })
    expect(await customersOf(db, 'acme')).toEqual(['first of acme', 'kept'])
    expect(await customersOf(db, 'globex')).toEqual(['first of globex'])
  })

  test('ROLLBACK undoes its transaction, COMMIT keeps it, a failed one refuses what follows', async () => {
    const client = await db.tenancy.poolFor('acme').connect()
    await client.query('begin')
    await client.query(...add('rolled back'))
    expect(client.getTransactionStatus()).toBe('T')
    expect((await client.query('rollback')).command).toBe('ROLLBACK')
    await client.query('begin')
    await client.query(...add('committed'))
    expect((await client.query('commit')).command).toBe('COMMIT')
    await client.query('begin')
    await client.query(...add('failed'))
    await expect(client.query(...add('failed'))).rejects.toMatchObject({ code: '23505' })
    await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' })
    expect((await client.query('commit')).command).toBe('ROLLBACK')
    expect(client.getTransactionStatus()).toBe('I')
    client.release()
    expect(await customersOf(db, 'acme')).toEqual(['first of acme', 'committed'])
  })

  test('its own savepoints work, and a client released inside a transaction undoes it', async () => {
    const client = await db.tenancy.poolFor('acme').connect()
    await client.query('begin')
    await client.query('savepoint a')
    await client.query(...add('undone'))
    await client.query('rollback to savepoint a')
    await client.query(...add('left open'))
    client.release()
    expect(await customersOf(db, 'acme')).toEqual(['first of acme'])
  })

  test('deferred constraints are checked at COMMIT, and after a statement that stands alone', async () => {
    const { tenancy } = db
    const note = 'insert into notes (order_id) values ($1)'
    await expect(tenancy.poolFor('acme').query(note, [4711])).rejects.toMatchObject({ code: '23503' })
    const broken = db.asTenant('acme', () => tenancy.transaction((client) => client.query(note, [4711])))
    await expect(broken).rejects.toMatchObject({ code: '23503' })
    await db.asTenant('acme', () =>
      tenancy.transaction(async (client) => {
        // In the wrong order, which is what such constraints are for.
        await client.query('insert into notes (order_id) values (100)')
        await client.query("insert into orders (id, customer) overriding system value values (100, 'late')")
      }),
    )
    expect(await customersOf(db, 'acme')).toContain('late')
  })

  test('READ ONLY is held, isolation is accepted, settings end with their transaction', async () => {
    const { tenancy } = db
    const write = (options: object) =>
      db.asTenant('acme', () => tenancy.transaction((client) => client.query(...add('written')), options))
    await expect(write({ readOnly: true })).rejects.toMatchObject({ code: '25006' })
    await write({ isolation: 'serializable' })
    await db.asTenant('acme', () =>
      tenancy.transaction(async (client) => {
        await client.query("set local timezone to 'Asia/Tokyo'")
        expect((await client.query('show timezone')).rows).toEqual([{ TimeZone: 'Asia/Tokyo' }])
      }),
    )
    expect(
      (await tenancy.poolFor('acme').query("select current_setting('timezone') as zone")).rows,
    ).not.toEqual([{ zone: 'Asia/Tokyo' }])
  })

  test('cursors, streams and COPY', async () => {
    const client = await db.tenancy.poolFor('acme').connect()
    await pipeline(Readable.from(['by copy\n']), client.query(copyFrom('copy orders (customer) from stdin')))
    const cursor = client.query(new Cursor<{ customer: string }>('select customer from orders order by id'))
    expect((await cursor.read(1)).map(({ customer }) => customer)).toEqual(['first of acme'])
    expect((await cursor.read(5)).map(({ customer }) => customer)).toEqual(['by copy'])
    await cursor.close()
    for (let round = 1; round <= 2; round += 1) {
      await client.query('begin')
      await client.query('declare c cursor for select 1 as one')
      expect((await client.query('fetch c')).rows).toEqual([{ one: 1 }])
      await client.query('commit')
    }
    client.release()
  })

  test('statements and transactions at once take turns', async () => {
    const { tenancy } = db
    const keys = ['acme', 'globex']
    await Promise.all(
      Array.from({ length: 20 }, (_, n) => {
        const key = keys[n % 2] ?? ''
        if (n % 3 === 0) return tenancy.poolFor(key).query(...add(`alone ${n}`))
        return db
          .asTenant(key, () =>
            tenancy.transaction(async (client) => {
              await client.query(...add(`one ${n}`))
              await client.query(...add(`two ${n}`))
              if (n % 5 === 1) throw new Error('undone')
            }),
          )
          .catch(() => undefined)
      }),
    )
    for (const [at, key] of keys.entries()) {
      const expected = Array.from({ length: 20 }, (_, n) => n)
        .filter((n) => n % 2 === at)
        .flatMap((n) => (n % 3 === 0 ? [`alone ${n}`] : n % 5 === 1 ? [] : [`one ${n}`, `two ${n}`]))
      expect((await customersOf(db, key)).slice(1).toSorted()).toEqual(expected.toSorted())
    }
  })
})

describe('what is not possible is said', () => {
  test('a transaction that waits for a statement outside of it is TNY045, and the test goes on', async () => {
    const { tenancy } = db
    await undone(async () => {
      const stuck = db.asTenant('acme', () =>
        tenancy.transaction(async (client) => {
          await client.query(...add('inside'))
          await tenancy.poolFor('globex').query(...add('outside'))
        }),
      )
      await expect(stuck).rejects.toMatchObject({ code: 'TNY045' })
      expect(await customersOf(db, 'acme')).toEqual(['first of acme'])
    })
  })

  test('a statement that waits leaves when its signal is aborted', async () => {
    const { tenancy } = db
    await undone(async () => {
      const client = await tenancy.poolFor('acme').connect()
      await client.query('begin')
      await client.query('select 1')
      const gone = new AbortController()
      const waiting = tenancy.poolFor('globex').query({ text: 'select 1', signal: gone.signal })
      setImmediate(() => gone.abort(new Error('the client left')))
      await expect(waiting).rejects.toThrow('the client left')
      client.release()
      expect(await customersOf(db, 'globex')).toEqual(['first of globex'])
    })
  })

  test('two tests at once, and reset() within one, are TNY044', async () => {
    await undone(async () => {
      await expect(db.inTransaction(() => undefined)()).rejects.toMatchObject({ code: 'TNY044' })
      await expect(db.begin()).rejects.toMatchObject({ code: 'TNY044' })
      await expect(db.reset()).rejects.toMatchObject({ code: 'TNY044' })
    })
  })

  test('a client that outlives its test is TNY046', async () => {
    const kept = await db.inTransaction(async () => {
      const client = await db.tenancy.poolFor('acme').connect()
      await client.query('begin')
      await client.query(...add('never there'))
      return client
    })()
    await expect(kept.query(...add('too late'))).rejects.toMatchObject({ code: 'TNY046' })
    kept.release()
    expect(await customersOf(db, 'acme')).toEqual(['first of acme'])
  })

  test('a connection that is lost ends the test, and no other takes its place', async () => {
    await undone(async () => {
      const acme = db.tenancy.poolFor('acme')
      await acme.query(...add('before'))
      const { rows } = await acme.query<{ pid: number }>('select pg_backend_pid() as pid')
      await db.controlPlane.tenants.list()
      await endBackend(rows[0]?.pid ?? 0)
      await expect(acme.query(...add('after'))).rejects.toMatchObject({ code: 'TNY046' })
      await expect(acme.query('select 1')).rejects.toMatchObject({ code: 'TNY046' })
    })
  })
})

async function endBackend(pid: number): Promise<void> {
  const { default: pg } = await import('pg')
  const { serverOf } = await import('../support/versions.ts')
  const client = new pg.Client((await serverOf(undefined)).superuserUrl)
  await client.connect()
  await client.query('select pg_terminate_backend($1, 5000)', [pid])
  await client.end()
}
