/** `tenantry exec` for tenants that share tables, that have a database, and that have a login of their own. */
import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { createProject, ORDERS, type SampleProject } from './run-cli.ts'

// Each command is a process of its own, which takes seconds on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

/** Databases belong to the whole server. */
const suffix = randomBytes(4).toString('hex')

const REPORT = `
import pg from 'pg'
const client = process.argv[2] === 'url' ? new pg.Client(process.env.DATABASE_URL) : new pg.Client()
await client.connect()
const ask = async (text) => (await client.query(text)).rows
const place = 'select current_user as role, session_user as login, current_database() as database, current_schema as schema'
const customers = async () => (await ask('select customer from orders')).map(({ customer }) => customer)
const report = { ...(await ask(place))[0], customers: await customers(), key: process.env.TENANTRY_MASTER_KEY ?? 'unknown' }
await client.query('reset all')
await client.query('reset role')
report.afterReset = [...(await ask(place)), ...(await customers())]
await client.query("set app.current_tenant = '" + process.env.OTHER + "'")
report.asOther = await customers()
await client.end()
console.log(JSON.stringify(report))
`

let db: TestDatabase
let project: SampleProject

beforeAll(async () => {
  db = await createTestDatabase()
  project = createProject(
    {
      DATABASE_URL: db.appUrl,
      TENANTRY_ADMIN_URL: db.adminUrl,
      TENANTRY_MASTER_KEY: 'a master key for tests and long enough to be one',
      OTHER: 'the-other-id',
    },
    {
      'migrations/tenant/0001_orders.sql': ORDERS,
      'report.mjs': REPORT,
      'tenantry.config.mjs':
        'export default { seed: (db, tenant) => db.query("insert into orders (customer) values ($1)", [tenant.key]) }',
    },
  )
  const other = await project.run('tenants', 'create', 'other', '--model', 'shared', '--id', 'the-other-id')
  expect(other).toMatchObject({ code: 0, stderr: '' })
})
afterAll(async () => {
  project.remove()
  await db.drop()
})

describe.each([
  { model: 'shared', tier: 'guarded', login: 'tenantry_app' },
  { model: 'shared', tier: 'sealed', login: 'its own' },
  { model: 'database', tier: 'guarded', login: 'tenantry_app' },
  { model: 'database', tier: 'sealed', login: 'its own' },
])('a tenant of model $model, tier $tier', ({ model, tier, login }) => {
  const key = `${model}-${tier}-${suffix}`
  beforeAll(async () => {
    const made = await project.run('tenants', 'create', key, '--model', model, '--tier', tier)
    expect(made).toMatchObject({ code: 0, stderr: '' })
  })

  test.each(['url', 'variables'])(
    'S4, S27: a program lands in its place by %s, as whom it may be, and RESET or another id leads nowhere',
    async (by) => {
      const { code, stdout, stderr } = await project.run('exec', key, '--', 'node', 'report.mjs', by)
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
      const report = JSON.parse(stdout) as Record<string, string>
      const place = {
        role: expect.stringMatching(/^tny_[a-z0-9]+$/),
        login: login === 'its own' ? report['role'] : login,
        database: model === 'database' ? `tenant_${key.replaceAll('-', '_')}` : db.name,
        schema: model === 'database' ? 'tenant' : 'tenant_shared',
      }
      expect(report).toEqual({
        ...place,
        customers: [key],
        key: 'unknown',
        afterReset: [place, key],
        asOther: model === 'shared' ? [] : [key],
      })
    },
  )
})
