/** expectOnly: passes where code keeps to its tenant, and fails for every way of leaving it. */
import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestDatabase } from '../../src/testing/test-database.ts'
import { openSample } from './sample-database.ts'

let db: TestDatabase
let close: () => Promise<void>
beforeAll(async () => ({ db, close } = await openSample()))
afterAll(() => close())

const ORDERS = 'select customer from orders'
const asAcme = () => db.asTenant('acme', () => db.tenancy.pool.query(ORDERS))

/** What expectOnly says of it. */
async function verdict(fn: () => Promise<unknown>, options = {}): Promise<unknown> {
  return db.expectOnly('acme', fn, options).then(
    () => 'fine',
    (error: Error) => error,
  )
}

describe('passes', () => {
  test('statements, transactions and rows of the tenant, and gives what the function gave', async () => {
    const result = await db.expectOnly('acme', async () => {
      await db.asTenant('acme', () => db.tenancy.transaction((client) => client.query(ORDERS)))
      return (await asAcme()).rows
    })
    expect(result).toEqual([{ customer: 'first of acme' }])
    expect(await verdict(asAcme)).toBe('fine')
  })

  test('the same within inTransaction', async () => {
    await db.inTransaction(async () => {
      expect(await verdict(asAcme)).toBe('fine')
      expect(await verdict(() => db.tenancy.poolFor('globex').query(ORDERS))).toMatchObject({
        code: 'TNY042',
      })
    })()
  })

  test('central work where it is allowed', async () => {
    const both = async () => {
      await db.tenancy.central.query('select name from plans')
      await asAcme()
    }
    expect(await verdict(both, { allowCentral: true })).toBe('fine')
    expect(await verdict(both)).toMatchObject({
      code: 'TNY042',
      message: expect.stringContaining('central work ran select name from plans') as string,
    })
  })
})

describe('fails', () => {
  const cases: [string, () => Promise<unknown>][] = [
    ['run() of another tenant', () => db.tenancy.run('globex', () => db.tenancy.pool.query(ORDERS))],
    ['poolFor() of another tenant', () => db.tenancy.poolFor('globex').query(ORDERS)],
    [
      'a transaction of another tenant',
      () => db.tenancy.run('globex', () => db.tenancy.transaction((client) => client.query(ORDERS))),
    ],
    [
      'a session of another tenant',
      () => db.tenancy.run('globex', () => db.tenancy.session((c) => c.query(ORDERS))),
    ],
    [
      'a mere attempt whose error is swallowed',
      () =>
        db.tenancy
          .poolFor('globex')
          .query('select * from nothing')
          .catch(() => undefined),
    ],
  ]
  test.each(cases)('%s', async (_, leave) => {
    const error = await verdict(async () => {
      await asAcme()
      await leave()
    })
    expect(error).toMatchObject({
      code: 'TNY042',
      message: expect.stringContaining('globex ran select') as string,
    })
  })

  test('what the guard refused, though the code went on', async () => {
    const error = await verdict(async () => {
      await asAcme()
      await db.asTenant('acme', () => db.tenancy.pool.query('set role postgres').catch(() => undefined))
    })
    expect(error).toMatchObject({ code: 'TNY042', message: expect.stringContaining('was refused') as string })
  })

  test('a row that bears the id of another tenant', async () => {
    const globex = db.tenants['globex']?.id
    await db.inTransaction(async () => {
      const { shared } = db.tenancy
      const insert = 'insert into members (tenant_id, name) values ($1, $2)'
      await db.asTenant('globex', () => shared.query(insert, [globex, 'Hank']))
      const error = await verdict(() => db.asTenant('acme', () => shared.query('select * from members')))
      expect(error).toMatchObject({
        code: 'TNY042',
        message: expect.stringContaining('a row of globex came back from select * from members') as string,
      })
      expect(await verdict(() => db.asTenant('acme', () => shared.query('select name from plans')))).toBe(
        'fine',
      )
    })()
  })

  test('code that lost its context, with its own error', async () => {
    expect(await verdict(() => db.tenancy.pool.query(ORDERS))).toMatchObject({ code: 'TNY201' })
  })

  test('code that did nothing at all', async () => {
    expect(await verdict(() => Promise.resolve())).toMatchObject({ code: 'TNY043' })
  })

  test('requests that an application in this process served', async () => {
    const server = createServer((request, response) => {
      const key = request.url === '/acme' ? 'acme' : 'globex'
      void db.tenancy
        .poolFor(key)
        .query(ORDERS)
        .then(({ rows }) => response.end(JSON.stringify(rows)))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo
    try {
      const get = (path: string) => fetch(`http://127.0.0.1:${port}${path}`).then((answer) => answer.text())
      expect(await verdict(() => get('/acme'))).toBe('fine')
      expect(await verdict(() => get('/globex'))).toMatchObject({ code: 'TNY042' })
    } finally {
      server.close()
    }
  })
})

test('what other tests of the process do meanwhile is not laid to its account', async () => {
  const others = Array.from({ length: 10 }, () => db.asTenant('globex', () => db.tenancy.pool.query(ORDERS)))
  const [one, two] = await Promise.all([
    verdict(asAcme),
    db.expectOnly('globex', () => db.tenancy.poolFor('globex').query(ORDERS)).then(() => 'fine'),
    ...others,
  ])
  expect([one, two]).toEqual(['fine', 'fine'])
})
