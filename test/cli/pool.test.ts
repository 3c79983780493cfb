/** The pool of ready homes from the command line, on a real server. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { createProject, ORDERS, type SampleProject } from './run-cli.ts'

// Each command is a process of its own, which takes seconds on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let db: TestDatabase
let project: SampleProject

beforeAll(async () => {
  db = await createTestDatabase()
  project = createProject(
    { DATABASE_URL: db.appUrl, TENANTRY_ADMIN_URL: db.adminUrl },
    { 'migrations/tenant/0001_orders.sql': ORDERS },
  )
})
afterAll(async () => {
  project.remove()
  await db.drop()
})

test('pool: fill makes homes, create takes one, status shows them, drain drops them', async () => {
  const unsaid = await project.run('pool', 'fill')
  expect(unsaid).toMatchObject({ code: 2, stdout: '' })
  expect(unsaid.stderr).toContain('--size')
  expect(await project.run('pool', 'fill', '--size', '2')).toMatchObject({
    code: 0,
    stdout: 'Ready: 2 (2 new, 0 brought up to date).\n',
  })
  const { tenant } = await project.json<{ tenant: { home: { schema: string }; version: number } }>(
    ...['tenants', 'create', 'acme'],
  )
  expect(tenant.home.schema).toMatch(/^t_[a-z2-7]{12}$/)
  expect((await project.run('pool', 'status')).stdout).toMatch(
    /^SCHEMA +STATE +MADE\nt_[a-z2-7]{12} +ready +\d{4}-\d\d-\d\d\n$/,
  )
  project.write('tenantry.config.ts', 'export default { warmPool: 2 }')
  expect(await project.json('pool', 'fill')).toEqual({ ready: 2, made: 1, updated: 0, failed: [] })
  expect(await project.json('pool', 'drain')).toEqual({ dropped: 2 })
  expect((await project.run('pool', 'status')).stdout).toContain('The pool is empty')
})

test('a migration that fails: TNY430 with its cause, exit code 1, and the document says which', async () => {
  await project.run('pool', 'fill', '--size', '1')
  project.write('migrations/tenant/0002_broken.sql', '-- Up Migration\nselect 1 / 0;\n')
  const { code, stdout, stderr } = await project.run('pool', 'fill', '--size', '1')
  expect([code, stdout]).toEqual([1, 'Ready: 0 (0 new, 0 brought up to date).\n'])
  expect(stderr).toMatch(/TNY430: .*division by zero/)
  expect((await project.run('pool', 'status')).stdout).toMatch(/^t_[a-z2-7]{12} +stale/m)
  // With the one that the fill began to make.
  expect(await project.json('pool', 'drain', '--stale')).toEqual({ dropped: 2 })
  expect(await project.run('pool', 'fill', '--size', '1001')).toMatchObject({ code: 2 })
})
