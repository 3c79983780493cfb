/** `tenantry exec` and `tenantry psql`: other programs, inside one tenant. */
import { spawnSync } from 'node:child_process'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { createProject, ORDERS, type SampleProject } from './run-cli.ts'

// Each command is a process of its own, which takes seconds on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let db: TestDatabase
let project: SampleProject

const REPORT = `
import pg from 'pg'
const client = process.argv[2] === 'url' ? new pg.Client(process.env.DATABASE_URL) : new pg.Client()
await client.connect()
const ask = async (text) => (await client.query(text)).rows[0]
const report = {
  ...(await ask("select current_user as role, session_user as login, current_schema as schema")),
  ...(await ask("select customer, current_setting('app.current_tenant') as tenant from orders")),
}
await client.query('reset role')
await client.query('reset search_path')
report.afterReset = await ask('select current_user as role, current_schema as schema')
report.foreign = await client.query('select * from tenant_globex.orders').then(() => 'open', (error) => error.code)
await client.end()
console.log(JSON.stringify(report))
`

beforeAll(async () => {
  db = await createTestDatabase()
  project = createProject(
    { DATABASE_URL: db.appUrl, TENANTRY_ADMIN_URL: db.adminUrl },
    {
      'migrations/tenant/0001_orders.sql': ORDERS,
      'report.mjs': REPORT,
      'tenantry.config.mjs':
        'export default { seed: (db, tenant) => db.query("insert into orders (customer) values ($1)", [tenant.key]) }',
    },
  )
  for (const key of ['acme', 'globex']) {
    const { code, stderr } = await project.run('tenants', 'create', key, '--id', `id=${key}\\`)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  }
})
afterAll(async () => {
  project.remove()
  await db.drop()
})

test.each(['url', 'variables'])(
  'S1: node-postgres lands inside the tenant by %s, and RESET leads nowhere else',
  async (by) => {
    const { code, stdout, stderr } = await project.run('exec', 'acme', '--', 'node', 'report.mjs', by)
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const report = JSON.parse(stdout) as Record<string, string>
    expect(report).toEqual({
      role: expect.stringMatching(/^tny_[a-z0-9]+$/),
      login: 'tenantry_app',
      schema: 'tenant_acme',
      customer: 'acme',
      tenant: 'id=acme\\',
      afterReset: { role: report['role'], schema: 'tenant_acme' },
      foreign: '42501',
    })
  },
)

test('V2: the program knows its tenant and not the admin; no argument holds a password', async () => {
  const show = `
    const { TENANTRY_TENANT, TENANTRY_TENANT_ID, TENANTRY_ADMIN_URL } = process.env
    const own = require('child_process').execFileSync('ps', ['-p', String(process.ppid), '-o', 'args='], { encoding: 'utf8' })
    console.log(JSON.stringify({ TENANTRY_TENANT, TENANTRY_TENANT_ID, TENANTRY_ADMIN_URL, own }))`
  const { stdout } = await project.run('exec', 'acme', '--', 'node', '-e', show)
  const said = JSON.parse(stdout) as Record<string, string>
  expect(said).toMatchObject({ TENANTRY_TENANT: 'acme', TENANTRY_TENANT_ID: 'id=acme\\' })
  expect(said['TENANTRY_ADMIN_URL']).toBeUndefined()
  expect(said['own']).toContain('exec acme')
  expect(said['own']).not.toContain(new URL(db.appUrl).password)
})

test('needs the runtime login alone', async () => {
  const runtime = createProject({ DATABASE_URL: db.appUrl })
  const outcome = await runtime.run('exec', 'acme', '--', 'true')
  runtime.remove()
  expect(outcome).toMatchObject({ code: 0, stderr: '' })
})

test('words after -- are the program’s, our options among them', async () => {
  const { stdout } = await project.run('exec', 'acme', '--', 'echo', '--json', '--', '--help')
  expect(stdout).toBe('--json -- --help\n')
})

test('the exit code is the program’s own', async () => {
  expect(await project.run('exec', 'acme', '--', 'sh', '-c', 'exit 37')).toMatchObject({ code: 37 })
  expect(await project.run('exec', 'acme', '--', 'sh', '-c', 'kill -KILL $$')).toMatchObject({ code: 137 })
  const missing = await project.run('exec', 'acme', '--', 'no-such-program')
  expect(missing).toMatchObject({ code: 1, stdout: '' })
  expect(missing.stderr).toMatch(
    /^tenantry: TNY033: The program "no-such-program" could not be run: it was not found\./,
  )
})

test.each(['SIGTERM', 'SIGINT', 'SIGHUP'] as const)(
  '%s reaches the program, and we wait for it',
  async (signal) => {
    const program = `
    process.on('${signal}', () => setTimeout(() => { console.log('bye'); process.exit(5) }, 200))
    setInterval(() => {}, 1000)
    console.log('up')`
    const running = project.start(['exec', 'acme', '--', 'node', '-e', program])
    await running.says('up')
    running.child.kill(signal)
    expect(await running.ended).toMatchObject({ code: 5, stdout: 'up\nbye\n' })
  },
)

test('I8: a suspended tenant is refused, and so is one that does not exist', async () => {
  await project.run('tenants', 'suspend', 'globex')
  for (const command of ['exec', 'psql']) {
    const { code, stderr } = await project.run(command, 'globex', '--', 'true')
    expect(code).toBe(1)
    expect(stderr).toContain('TNY036: The tenant "globex" is suspended.')
    expect(stderr).toContain('tenantry tenants resume globex')
  }
  await project.run('tenants', 'resume', 'globex')
  const unknown = await project.run('exec', 'initech', '--', 'true')
  expect(unknown).toMatchObject({ code: 1, stderr: expect.stringContaining('TNY302') })
})

test('psql runs inside the tenant', async (context) => {
  if (!hasPsql()) context.skip('psql is not installed')
  const question = 'select current_schema, current_user <> session_user, customer from orders'
  const { code, stdout, stderr } = await project.run('psql', 'acme', '--', '-X', '-Atc', question)
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: 'tenant_acme|t|acme\n', stderr: '' })
})

test('without psql it says what to install', async () => {
  const bare = createProject({ ...project.env, PATH: '/nonexistent' })
  const { code, stderr } = await bare.run('psql', 'acme')
  bare.remove()
  expect(code).toBe(1)
  expect(stderr).toContain('The program "psql" could not be run: it was not found.')
  expect(stderr).toContain('postgresql-client')
})

/** Not every machine has it: Debian brings it along with postgresql-client. */
function hasPsql(): boolean {
  const program = 'psql'
  return spawnSync(program, ['--version']).status === 0
}
