/** `tenantry migrate`: from an empty database to tenants that are up to date, and back to some that are not. */
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
    { TENANTRY_ADMIN_URL: db.adminUrl },
    { 'migrations/tenant/0001_orders.sql': ORDERS },
  )
})
afterAll(async () => {
  project.remove()
  await db.drop()
})

test('before the catalog is there, commands say how to make it', async () => {
  const { code, stderr } = await project.run('tenants', 'list')
  expect(code).toBe(1)
  expect(stderr).toContain('TNY005')
  expect(stderr).toContain('tenantry migrate up')
})

test('up installs the catalog, then the shared tables, then every tenant', async () => {
  const first = await project.json<{ catalog: string[] }>('migrate', 'up')
  expect(first).toEqual({ catalog: expect.any(Array), shared: [], tenants: [], failed: [] })
  expect(first.catalog).not.toEqual([])
  await project.run('tenants', 'create', 'acme')
  await project.run('tenants', 'create', 'globex')
  project.write('migrations/shared/0001_plans.sql', '-- Up Migration\ncreate table plans (name text);\n')
  project.write('migrations/tenant/0002_notes.sql', '-- Up Migration\ncreate table notes (text text);\n')

  const before = await project.run('migrate', 'status')
  expect(before).toMatchObject({ code: 0, stderr: '' })
  expect(before.stdout).toMatch(/^\(shared tables\) +0 {2}0001_plans$/m)
  expect(before.stdout).toMatch(/^acme +active +1 {2}0002_notes$/m)
  expect(before.stdout).toContain('2 of 2 tenants are behind: tenantry migrate up')
  const { tenants } = await project.json<{ tenants: unknown[] }>('migrate', 'status')
  expect(tenants[0]).toEqual({ key: 'acme', status: 'active', applied: 1, pending: ['0002_notes'] })

  const up = await project.run('migrate', 'up')
  expect(up).toMatchObject({ code: 0, stderr: '' })
  expect(up.stdout).toBe(
    'catalog: up to date\nshared: 0001_plans\ntenants: 2 migrated, 0 up to date, 0 failed\n',
  )
  expect(await project.json('migrate', 'status', '--pending')).toMatchObject({ tenants: [] })
})

test('M8: one tenant fails, the others go on, and the exit code says so', async () => {
  await db.sql('alter table tenant_acme.notes rename to memos')
  project.write('migrations/tenant/0003_index.sql', '-- Up Migration\ncreate index on notes (text);\n')
  const { code, stdout, stderr } = await project.run('migrate', 'up', '--json')
  expect(code).toBe(1)
  expect(JSON.parse(stdout)).toMatchObject({
    tenants: [{ key: 'globex', applied: ['0003_index'] }],
    failed: [
      { key: 'acme', applied: [], error: { code: 'TNY402', message: expect.stringContaining('notes') } },
    ],
  })
  expect(stderr).toContain('TNY405')
  expect(stderr).toContain('acme: TNY402')
})

test('a migration that shared tables cannot have runs nowhere, and its way out is told', async () => {
  await db.sql('alter table tenant_acme.memos rename to notes')
  expect((await project.run('migrate', 'up')).code).toBe(0)
  for (const key of ['tiny', 'small']) await project.run('tenants', 'create', key, '--model', 'shared')
  const text = '-- Up Migration\ncreate materialized view totals as\n  select text from notes;\n'
  project.write('migrations/tenant/0004_totals.sql', text)
  const { code, stdout, stderr } = await project.run('migrate', 'up')
  expect(code).toBe(1)
  expect(stdout).toContain('tenants: 0 migrated, 2 unchanged, 2 failed; 0004_totals is held back for all\n')
  expect(stderr).toMatch(/^shared tenants: TNY407: .*0004_totals\.sql .*\(line 2\)\.\nhint: .*view/m)
  expect(stderr).toContain('TNY405: 2 of 4 tenants could not be migrated: shared tenants.')
  const late = await project.run('tenants', 'create', 'late', '--model', 'shared')
  expect(late.stderr).toMatch(/^tenantry: TNY306: .*\(line 2\)\.\nhint: Write a view.* Mend the cause/m)
})

test('diff lists whose schema was changed by hand, and shows for one what would mend it', async () => {
  await db.sql('alter table tenant_globex.orders add by_hand int')
  const all = await project.run('migrate', 'diff')
  expect(all.code).toBe(1)
  expect(all.stdout).toContain('globex\n  column orders.by_hand is there only')
  const one = await project.run('migrate', 'diff', 'globex')
  expect(one.code).toBe(1)
  expect(one.stdout).toContain(
    '-- loses the values of orders.by_hand\nalter table orders drop column by_hand;',
  )
  expect(await project.run('migrate', 'diff', 'nobody')).toMatchObject({ code: 1 })
})
