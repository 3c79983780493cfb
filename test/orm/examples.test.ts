import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runPrismaGenerate } from '../../dev/prisma-client.ts'
import { seed } from '../../examples/orders-express/seed.ts'
import { type ControlPlane, createControlPlane } from '../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { type ExampleServer, startExample } from '../support/example-server.ts'

const root = resolve(import.meta.dirname, '../..')
const migrations = join(root, 'examples/orders-express/migrations')

let database: TestDatabase
let plane: ControlPlane
beforeAll(async () => {
  await runPrismaGenerate(join(root, 'examples/orders-prisma/schema.prisma'))
  database = await createTestDatabase()
  plane = createControlPlane({
    connection: database.adminUrl,
    migrations: { shared: `${migrations}/shared`, tenant: `${migrations}/tenant` },
    seed,
  })
  await plane.migrate.up()
  await plane.tenants.create({ key: 'acme' })
  await plane.tenants.create({ key: 'initech', model: 'shared' })
}, 60_000)
afterAll(async () => {
  await plane.close()
  await database.drop()
})

describe.each(['orders-kysely', 'orders-drizzle', 'orders-prisma', 'orders-typeorm', 'orders-mikro-orm'])(
  'examples/%s',
  (example) => {
    let server: ExampleServer
    beforeAll(async () => {
      server = await startExample(database, {}, example)
    }, 60_000)
    afterAll(() => server.stop())

    const customers = async (key: string): Promise<string[]> => {
      const { text } = await server.ask(`${key}.localhost`, '/orders')
      return (JSON.parse(text) as { customer: string }[]).map(({ customer }) => customer)
    }

    test('each tenant has its own rows, and strangers none', async () => {
      expect(await customers('acme')).toContain('Road Runner')
      expect(await customers('initech')).toEqual(['Milton Waddams', 'Bill Lumbergh'])
      expect((await server.ask('nobody.localhost', '/orders')).status).toBe(404)
    })

    test('orders are added all or none, by a helper that knows of no transaction', async () => {
      const before = await customers('acme')
      const good = { customer: 'Daffy Duck', amount: '5' }
      const bad = { customer: '', amount: '5' }
      expect((await server.post('acme.localhost', '/orders', [good, bad])).status).toBe(500)
      expect(await customers('acme')).toEqual(before)
      expect((await server.post('acme.localhost', '/orders', [good, good])).status).toBe(201)
      expect(await customers('acme')).toEqual([...before, 'Daffy Duck', 'Daffy Duck'])
      expect(await customers('initech')).toHaveLength(2)
    })

    test('its other way to read them', async () => {
      const path = example === 'orders-kysely' ? '/orders.csv' : '/summary'
      const { status, text } = await server.ask('initech.localhost', path)
      expect(status).toBe(200)
      expect(text).toMatch(
        example === 'orders-kysely' ? /"Bill Lumbergh",1300\.00\n/ : /"orders":2,"amount":"1307\.00"/,
      )
    })
  },
)

test('the example of Prisma fits the types of its generated client', async () => {
  const tsc = createRequire(import.meta.url).resolve('typescript/package.json')
  const program = join(tsc, '../bin/tsc')
  await promisify(execFile)(process.execPath, [program, '-p', join(root, 'examples/orders-prisma')])
}, 60_000)
