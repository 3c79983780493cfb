/** The secrets of sealed tenants from the command line. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createKeyring } from '../../src/isolation/master-key.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { createProject, ORDERS, type SampleProject } from './run-cli.ts'

// Each command is a process of its own, which takes seconds on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

const [FORMER, NEWER] = ['the former master key of a project', 'the newer master key of a project']
const [former, newer] = [createKeyring(FORMER).newest, createKeyring(NEWER).newest]

let db: TestDatabase
let project: SampleProject
beforeAll(async () => {
  db = await createTestDatabase()
  project = createProject(
    { DATABASE_URL: db.appUrl, TENANTRY_ADMIN_URL: db.adminUrl, TENANTRY_MASTER_KEY: FORMER },
    { 'migrations/tenant/0001_orders.sql': ORDERS },
  )
})
afterAll(async () => {
  project.remove()
  await db.drop()
})

test('rotate gives every sealed tenant a secret of the newest key, and status tells so', async () => {
  for (const key of ['acme', 'globex']) await project.json('tenants', 'create', key, '--tier', 'sealed')
  project.env['TENANTRY_MASTER_KEY'] = `${NEWER},${FORMER}`
  expect(await project.json('secrets', 'status')).toEqual({
    keys: [
      { id: newer, tenants: 0, known: true, newest: true },
      { id: former, tenants: 2, known: true, newest: false },
    ],
  })
  expect(await project.json('secrets', 'rotate')).toEqual({ key: newer, rotated: 2, left: [] })
  const { stdout } = await project.run('secrets', 'status')
  expect(stdout).toMatch(new RegExp(`^MASTER KEY +TENANTS +HERE\n${newer} +2 +newest\n$`))
  project.env['TENANTRY_MASTER_KEY'] = FORMER
  expect((await project.run('secrets', 'status')).stdout).toMatch(new RegExp(`${newer} +2 +missing`))
})

test('without a master key it says which variable to set', async () => {
  project.env['TENANTRY_MASTER_KEY'] = ''
  const { code, stderr } = await project.run('secrets', 'rotate')
  expect(code).toBe(1)
  expect(stderr).toMatch(/^tenantry: TNY021: .*\n.*hint: Set TENANTRY_MASTER_KEY/s)
  const missing = { id: newer, tenants: 2, known: false, newest: false }
  expect(await project.json('secrets', 'status')).toEqual({ keys: [missing] })
  const doctor = await project.run('doctor', '--json')
  expect(doctor.code).toBe(1)
  expect(JSON.parse(doctor.stdout)).toMatchObject({
    checks: expect.arrayContaining([
      expect.objectContaining({
        name: 'master key',
        status: 'fail',
        found: `missing: ${newer}, which 2 of 2 sealed tenants need`,
      }),
    ]),
  })
})
