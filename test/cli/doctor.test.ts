/** `tenantry doctor`: a sound set-up, and each thing that can be wrong with one. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { holesOf } from '../../src/isolation/known-holes.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { createProject, ORDERS, type SampleProject } from './run-cli.ts'

// Each command is a process of its own, which takes seconds on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let db: TestDatabase
let project: SampleProject

interface Report {
  readonly ok: boolean
  readonly checks: readonly { name: string; status: 'ok' | 'warn' | 'fail'; found: string; advice?: string }[]
}

beforeAll(async () => {
  db = await createTestDatabase()
  project = createProject(
    { DATABASE_URL: db.appUrl, TENANTRY_ADMIN_URL: db.adminUrl },
    { 'tenantry.config.ts': 'export default {}', 'migrations/tenant/0001_orders.sql': ORDERS },
  )
  await project.run('tenants', 'create', 'acme')
})
afterAll(async () => {
  project.remove()
  await db.drop()
})

/** The report of a project with another environment. */
async function examine(env: Record<string, string>): Promise<{ code: number | null; report: Report }> {
  const other = createProject(env, { 'tenantry.config.ts': 'export default {}' })
  const { code, stdout } = await other.run('doctor', '--json')
  other.remove()
  return { code, report: JSON.parse(stdout) as Report }
}

/** Whether its PostgreSQL has known holes: the package of the embedded server is not always the newest. */
async function isAged(): Promise<boolean> {
  const [server] = await db.sql<{ version: number }>(
    "select current_setting('server_version_num')::int as version",
  )
  return holesOf(server?.version ?? 0).length > 0
}

test('a sound set-up: every check is ok but the age of the server, for people and for machines', async () => {
  const aged = await isAged()
  const { code, stdout, stderr } = await project.run('doctor')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toMatch(/^ok {4}server version +PostgreSQL \d+\.\d+$/m)
  expect(stdout.trimEnd().split('\n').at(-1)).toBe(aged ? '0 failed, 1 warning.' : 'All is well.')
  const report = await project.json<Report>('doctor')
  expect(report.ok).toBe(true)
  const others = report.checks.filter(({ name }) => name !== 'security fixes')
  expect(new Set(others.map(({ status }) => status))).toEqual(new Set(['ok']))
  expect(report.checks.find(({ name }) => name === 'security fixes')?.status).toBe(aged ? 'warn' : 'ok')
  const names = [
    'configuration',
    'runtime connection',
    'server version',
    'security fixes',
    'tenant roles',
    'string literals',
    'runtime login',
    'enforcement',
  ]
  const catalog = ['admin connection', 'admin rights', 'catalog', 'operations', 'master key', 'migrations']
  expect(report.checks.map(({ name }) => name)).toEqual([...names, 'listener', ...catalog])
})

test('S12: a runtime login that is a superuser or owns the database fails', async () => {
  const superuser = await examine({ DATABASE_URL: db.superuserUrl, TENANTRY_ADMIN_URL: db.adminUrl })
  expect(superuser.code).toBe(1)
  expect(superuser.report.ok).toBe(false)
  const login = superuser.report.checks.filter(({ name }) => name === 'runtime login')
  expect(login).toContainEqual(
    expect.objectContaining({ status: 'fail', found: expect.stringContaining('superuser') }),
  )
  const admin = await examine({ DATABASE_URL: db.adminUrl, TENANTRY_ADMIN_URL: db.adminUrl })
  expect(admin.code).toBe(1)
  expect(admin.report.checks).toContainEqual(
    expect.objectContaining({
      name: 'runtime login',
      status: 'fail',
      found: expect.stringContaining('it owns the database'),
    }),
  )
})

test('an admin login without its rights fails', async () => {
  const { code, report } = await examine({ DATABASE_URL: db.appUrl, TENANTRY_ADMIN_URL: db.appUrl })
  expect(code).toBe(1)
  expect(report.checks).toContainEqual(
    expect.objectContaining({
      name: 'admin rights',
      status: 'fail',
      found: 'tenantry_app lacks CREATEROLE and CREATE on the database',
    }),
  )
})

test('S2, S5, S15: what is open to everybody is a warning, and the enforcement is told truthfully', async () => {
  const open = await createTestDatabase()
  await open.sql('grant execute on function set_config(text, text, boolean) to public')
  await open.sql('grant usage on language plpgsql to public')
  await open.sql(`grant temporary on database ${open.name} to public`)
  const { code, report } = await examine({ DATABASE_URL: open.appUrl, TENANTRY_ADMIN_URL: open.adminUrl })
  await open.drop()
  expect(code).toBe(0)
  const found = report.checks.find(({ name }) => name === 'enforcement')
  expect(found).toMatchObject({ status: 'warn', advice: expect.stringContaining('tenantry harden') })
  expect(found?.found).toMatch(/^guard: .*set_config.*plpgsql.*TEMPORARY/)
})

test('a catalog that is missing fails; tenants that are behind and unfinished work are warnings', async () => {
  const empty = await createTestDatabase({ installed: false })
  const without = await examine({ DATABASE_URL: empty.adminUrl, TENANTRY_ADMIN_URL: empty.adminUrl })
  await empty.drop()
  expect(without.report.checks).toContainEqual({
    name: 'catalog',
    status: 'fail',
    found: 'not installed',
    advice: 'tenantry migrate up',
  })

  project.write('migrations/tenant/0002_broken.sql', '-- Up Migration\ncreate table a (b no_such_type);\n')
  const failed = await project.run('tenants', 'create', 'globex')
  expect(failed).toMatchObject({ code: 1, stderr: expect.stringContaining('TNY306') })
  const { code, stdout } = await project.run('doctor')
  expect(code).toBe(0)
  expect(stdout).toMatch(/^warn {2}unfinished operation +create of globex: failed: migrate: /m)
  expect(stdout).toContain('To complete it: tenantry tenants create globex')
  expect(stdout).toMatch(/^warn {2}migrations +0 shared migrations pending, 1 of \d tenants behind$/m)
  expect(stdout).toContain(`0 failed, ${(await isAged()) ? 3 : 2} warnings.`)
})

test('two URLs that lead to different databases fail', async () => {
  const other = await createTestDatabase()
  const { code, report } = await examine({ DATABASE_URL: db.appUrl, TENANTRY_ADMIN_URL: other.adminUrl })
  await other.drop()
  expect(code).toBe(1)
  expect(report.checks).toContainEqual(expect.objectContaining({ name: 'same database', status: 'fail' }))
})

test('connections that fail, and none at all, are findings and no crash', async () => {
  const wrong = await examine({ DATABASE_URL: db.appUrl.replace(/:[^:@]+@/, ':wrong@') })
  expect(wrong.code).toBe(1)
  expect(wrong.report.checks).toMatchObject([
    { name: 'configuration' },
    { name: 'runtime connection', status: 'fail', found: expect.stringContaining('28P01') },
    { name: 'admin connection', status: 'warn', found: 'not configured' },
  ])
  const none = await examine({})
  expect(none.code).toBe(1)
  expect(none.report.checks.at(-1)).toMatchObject({
    name: 'connections',
    status: 'fail',
    found: expect.stringContaining('TNY035'),
  })
})
