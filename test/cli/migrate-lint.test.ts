/** `tenantry migrate lint` and `plan`: without a database, with one, and for machines. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { createProject, ORDERS, type SampleProject } from './run-cli.ts'

// Each command is a process of its own, which takes seconds on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let db: TestDatabase
let project: SampleProject

beforeAll(async () => {
  db = await createTestDatabase({ installed: false })
  project = createProject(
    {},
    {
      'migrations/tenant/0001_orders.sql': ORDERS,
      'migrations/tenant/0002_bad.sql':
        '-- Up Migration\nalter table orders add column owner text not null;\n  create index on orders (owner);\n',
    },
  )
})
afterAll(async () => {
  project.remove()
  await db.drop()
})

test('lint needs no database, says file, line and column, and exits with 1 for errors', async () => {
  const all = await project.run('migrate', 'lint')
  expect(all).toMatchObject({ code: 1, stderr: '' })
  expect(all.stdout).toContain('error    tenant/0002_bad.sql:2:1  required-column')
  expect(all.stdout).toContain('warning  tenant/0002_bad.sql:3:3  index-not-concurrent')
  expect(all.stdout).toMatch(/1 error, 2 warnings, advice: 0\.$/m)

  const one = await project.run('migrate', 'lint', 'migrations/tenant/0001_orders.sql')
  expect(one).toMatchObject({ code: 0, stdout: 'Nothing found.\n' })
  const stray = await project.run('migrate', 'lint', 'migrations/tenant/0009_none.sql')
  expect(stray.code).toBe(2)
  expect(stray.stderr).toContain('0009_none.sql')
})

test('plan shows who is where, locks and findings, and changes nothing; up refuses, and --no-lint does not', async () => {
  project.env['TENANTRY_ADMIN_URL'] = db.adminUrl
  await project.run('migrate', 'up', '--to', '0001_orders')
  await project.run('tenants', 'create', 'acme', '--json')
  project.write(
    'migrations/tenant/0003_more.sql',
    '-- Up Migration\nalter table orders drop column customer;\n',
  )

  const plan = await project.run('migrate', 'plan')
  expect(plan.stdout).toMatch(/^0002_bad +1 +1 +schema 1 +acme$/m)
  expect(plan.stdout).toContain('tenant/0003_more.sql  for 1 tenant (schema 1)')
  expect(plan.stdout).toContain('    orders: ACCESS EXCLUSIVE, reads and writes wait, brief')
  expect(plan.stdout).toContain('drop-column')
  expect(plan.code).toBe(0)

  project.write('migrations/tenant/0003_more.sql', '-- Up Migration\ntruncate orders cascade;\n')
  const refused = await project.run('migrate', 'up')
  expect(refused.code).toBe(1)
  expect(refused.stderr).toContain('TNY434')
  expect(refused.stderr).toContain('tenant/0003_more.sql:2:1 truncate-cascade')
  const { refused: named, migrations } = await project.json<{
    refused: { rule: string }[]
    migrations: { name: string }[]
  }>('migrate', 'plan')
  expect(named.map(({ rule }) => rule)).toEqual(['truncate-cascade'])
  expect(migrations.map(({ name }) => name)).toEqual(['0003_more'])

  expect(await project.run('migrate', 'lint', '--pending')).toMatchObject({ code: 1 })
  expect(await project.run('migrate', 'up', '--no-lint')).toMatchObject({ code: 0 })
  const done = await project.run('migrate', 'plan', '--sql')
  expect(done).toMatchObject({ code: 0, stderr: '' })
  expect(done.stdout).toContain('Nothing is to run.')
})
