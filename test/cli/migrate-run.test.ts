/** `tenantry migrate up` as its operator sees it: waves, gates, stops, and what the exit code says. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { createProject, ORDERS, type SampleProject } from './run-cli.ts'

// Each command is a process of its own, which takes seconds on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

const KEYS = ['acme', 'globex', 'initech']
let db: TestDatabase
let project: SampleProject

beforeAll(async () => {
  db = await createTestDatabase()
  project = createProject(
    { TENANTRY_ADMIN_URL: db.adminUrl },
    { 'migrations/tenant/0001_orders.sql': ORDERS },
  )
  for (const key of KEYS) await project.run('tenants', 'create', key)
})
afterAll(async () => {
  project.remove()
  await db.drop()
})

async function applied(): Promise<string> {
  const { tenants } = await project.json<{ tenants: { applied: number }[] }>('migrate', 'status')
  return tenants.map((tenant) => tenant.applied).join('')
}

test('waves of the configuration, their gate, and the way on', async () => {
  project.write('migrations/tenant/0002_a.sql', '-- Up Migration\nalter table orders add a int;\n')
  project.write(
    'tenantry.config.mjs',
    `export default { migrations: { waves: [{ name: 'canary', tenants: ['globex'], gate: { command: 'exit 7' } }] } }`,
  )
  const stopped = await project.run('migrate', 'up')
  expect(stopped.code).toBe(3)
  expect(stopped.stdout).toContain('tenants: 1 migrated, 0 up to date, 0 failed\n')
  expect(stopped.stderr).toContain('Wave canary: 1 to do.\n')
  expect(stopped.stderr).toContain('Gate: the command exit 7: not well, it ended with exit code 7.\n')
  expect(stopped.stderr).toMatch(
    /TNY421: The run ended after the wave "canary": .* 2 tenants are left\.\nhint: .*--no-waves/,
  )
  expect(await applied()).toBe('121')
  const rest = await project.run('migrate', 'up', '--canary', 'acme', '--wave', '100%', '--gate', 'exit 0')
  expect(rest.code).toBe(0)
  expect(rest.stdout).toMatch(/^ {2}canary: 1 migrated, 0 failed/m)
  expect(rest.stdout).toMatch(/^ {2}100 %: 1 migrated, 0 failed/m)
  project.write('tenantry.config.mjs', 'export default { migrations: { waves: [{ percent: 0 }] } }')
  expect((await project.run('migrate', 'up')).stderr).toMatch(/TNY002: .*waves\[0\] `percent`/)
  project.write('tenantry.config.mjs', 'export default {}')
})

test.each([
  [['--wave', 'ten'], /--wave is "ten"/],
  [['--wave', '0%'], /TNY420/],
])('misuse: %j', async (flags, message) => {
  const { code, stderr } = await project.run('migrate', 'up', ...flags)
  expect(stderr).toMatch(message)
  expect(code).toBe(2)
})

test('events are lines of JSON on stderr, the report is one document on stdout', async () => {
  project.write('migrations/tenant/0003_b.sql', '-- Up Migration\nalter table orders add b int;\n')
  const { code, stdout, stderr } = await project.run(
    'migrate',
    'up',
    '--events',
    '--json',
    '--only',
    'acme,globex',
  )
  expect(code).toBe(0)
  const events = stderr
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { type: string })
  expect(events.map(({ type }) => type)).toEqual(['wave', 'tenant', 'tenant', 'wave-done'])
  expect(JSON.parse(stdout)).toMatchObject({
    unchanged: 0,
    waves: [{ name: 'all', migrated: 2 }],
    quarantined: [],
  })
  expect(await applied()).toBe('332')
})

test('the first signal ends the run behind its step, the second at once; it goes on when it is run again', async () => {
  project.write(
    'migrations/tenant/0004_slow.sql',
    '-- Up Migration\nalter table orders add c int; select pg_sleep(1.5);\n',
  )
  const first = project.start(['migrate', 'up', '--workers', '1', '--events'])
  await first.says('"type":"wave"')
  first.child.kill('SIGTERM')
  const stopped = await first.ended
  expect(stopped.stderr).toContain('{"type":"stopping"}')
  expect(stopped.stderr).toContain('TNY422: The run was stopped: ')
  expect(stopped.code).toBe(143)
  expect(stopped.stdout).toContain('1 migrated')

  const second = project.start(['migrate', 'up', '--workers', '1', '--events'])
  await second.says('"type":"wave"')
  second.child.kill('SIGINT')
  await second.says('stopping')
  second.child.kill('SIGINT')
  expect(await second.ended).toMatchObject({ code: 130, stdout: '' })
  expect((await project.run('migrate', 'up')).code).toBe(0)
  expect(await applied()).toBe('444')
})
