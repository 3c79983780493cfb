/** Every example answers as the same backend does, in a process of its own, and ends in order. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ControlPlane } from '../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { exampleControl, type ExampleServer, startExample } from '../support/example-server.ts'

const TENANTS = ['acme', 'globex', 'hooli']

let db: TestDatabase
let control: ControlPlane

beforeAll(async () => {
  db = await createTestDatabase()
  control = await exampleControl(db.adminUrl)
  for (const key of TENANTS) await control.tenants.create({ key, name: `The ${key} company`, plan: 'pro' })
  await control.tenants.suspend('hooli')
}, 60_000)
afterAll(async () => {
  await control?.close()
  await db?.drop()
})

describe.each(['express', 'fastify', 'hono', 'nest', 'next'])('examples/orders-%s', (name) => {
  let server: ExampleServer

  beforeAll(async () => {
    for (const key of ['acme', 'globex']) await db.sql(`delete from tenant_${key}.orders`)
    // Next.js is not built for this: it compiles each route when it is asked for, as in `npm run demo -- next`.
    const env = { NODE_ENV: name === 'next' ? 'development' : 'production', NEXT_TELEMETRY_DISABLED: '1' }
    server = await startExample(db, env, `orders-${name}`)
  }, 60_000)
  afterAll(() => server?.stop())

  async function customersOf(key: string): Promise<unknown> {
    const { status, text } = await server.ask(`${key}.localhost`, '/orders')
    expect(status, text).toBe(200)
    return (JSON.parse(text) as { customer: string }[]).map(({ customer }) => customer)
  }

  test(
    'A1: each tenant has its own orders, also where both are asked at once',
    { timeout: 60_000 },
    async () => {
      for (const key of ['acme', 'globex']) {
        const answer = await server.post(`${key}.localhost`, '/orders', { customer: `${key}'s`, amount: 7.5 })
        expect(answer.status, answer.text).toBe(201)
        const order: unknown = JSON.parse(answer.text)
        expect(order).toMatchObject({ customer: `${key}'s`, amount: 7.5 })
        expect(Object.keys(order as object)).toEqual(['id', 'customer', 'amount', 'createdAt'])
      }
      const keys = Array.from({ length: 40 }, (_, at) => (at % 2 === 0 ? 'acme' : 'globex'))
      expect(await Promise.all(keys.map(customersOf))).toEqual(keys.map((key) => [`${key}'s`]))
    },
  )

  test('a tenant learns who it is', async () => {
    const { status, text } = await server.ask('acme.localhost', '/me')
    expect([status, JSON.parse(text)]).toEqual([200, { key: 'acme', name: 'The acme company', plan: 'pro' }])
  })

  test('I3: strangers, suspended tenants and the bare host get the same 404', async () => {
    const bodies = new Set<string>()
    for (const host of ['nosuch.localhost', 'hooli.localhost', 'localhost']) {
      for (const path of ['/orders', '/me']) {
        const { status, headers, text } = await server.ask(host, path)
        expect([status, headers['content-type']], host).toEqual([404, 'application/problem+json'])
        bodies.add(text)
      }
    }
    expect([...bodies]).toHaveLength(1)
  })

  test.each([
    ['no customer', { amount: 1 }],
    ['NUL', { customer: 'a\0b', amount: 1 }],
    ['SQL for a number', { customer: 'x', amount: '1; drop table orders' }],
    ['an amount below 0', { customer: 'x', amount: -1 }],
    ['null', null],
    ['a list', []],
    ['no JSON', '{"customer":'],
  ])('%s is refused as the sender’s fault', async (_, body) => {
    const { status, text } = await server.post('acme.localhost', '/orders', body)
    expect(status, text).toBe(400)
    expect(text).not.toMatch(/\bat \/|node_modules|insert |tenant_acme/i)
  })

  test('ends on SIGTERM, with nothing said on stderr', async () => {
    expect(await server.stop()).toBe(0)
    expect(server.stderr()).toBe('')
  })
})
