/** The life of tenants from the command line, on a real server. */
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { Tenant } from '../../src/core/tenant.ts'
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
    {
      'migrations/tenant/0001_orders.sql': ORDERS,
      'seed.sql': "insert into orders (customer) values ('first')",
    },
  )
  project.write('tenantry.config.ts', "export default { seed: 'seed.sql' as string }")
})
afterAll(async () => {
  project.remove()
  await db.drop()
})

type Shown = Omit<Tenant, 'createdAt'> & { createdAt: string }

test('create makes a tenant that is there, with its seed, and says so in one sentence', async () => {
  const { code, stdout, stderr } = await project.run(
    'tenants',
    'create',
    'acme',
    '--name',
    'Acme Inc.',
    '--plan',
    'pro',
  )
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(stdout).toMatch(/^Created acme: schema tenant_acme, id [0-9a-f-]{36}\.\n$/)
  expect(await db.sql('select customer from tenant_acme.orders')).toEqual([{ customer: 'first' }])
  const again = await project.run('tenants', 'create', 'acme')
  expect(again).toMatchObject({ code: 1, stdout: '' })
  expect(again.stderr).toMatch(/^tenantry: TNY301: The key "acme" is taken\.\n.*hint: /s)
})

test('--json gives the same shape for create, show, rename, suspend and resume', async () => {
  const { tenant } = await project.json<{ tenant: Shown }>(
    ...['tenants', 'create', 'globex', '--id', 'customer-17', '--settings', '{"locale":"en"}'],
  )
  expect(tenant).toEqual({
    id: 'customer-17',
    key: 'globex',
    aliases: [],
    name: 'globex',
    status: 'active',
    plan: 'default',
    settings: { locale: 'en' },
    home: {
      model: 'schema',
      tier: 'guarded',
      schema: 'tenant_globex',
      role: expect.stringMatching(/^tny_/),
      ownerRole: expect.stringMatching(/^tny_/),
      epoch: 1,
    },
    version: 1,
    createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
  })
  expect(await project.json('tenants', 'show', 'customer-17')).toEqual({
    tenant,
    enforcement: 'database',
  })
  expect(await project.json('tenants', 'suspend', 'globex', '--reason', 'unpaid')).toEqual({
    tenant: { ...tenant, status: 'suspended', statusReason: 'unpaid' },
  })
  const { stdout } = await project.run('tenants', 'show', 'globex')
  expect(stdout).toMatch(/^status {7}suspended: unpaid$/m)
  expect(await project.json('tenants', 'resume', 'globex')).toEqual({ tenant })
  expect(
    await project.json('tenants', 'rename', 'globex', '--to', 'globex-corp', '--name', 'Globex Corp.'),
  ).toEqual({
    tenant: { ...tenant, key: 'globex-corp', aliases: ['globex'], name: 'Globex Corp.' },
  })
  const { code } = await project.run('tenants', 'rename', 'globex-corp', '--to', 'gx', '--no-alias')
  expect(code).toBe(0)
  expect(await project.run('tenants', 'show', 'globex-corp')).toMatchObject({ code: 1 })
})

test('list shows aligned columns, and everything by --json, page by page', async () => {
  const { stdout } = await project.run('tenants', 'list')
  const [heading = '', acme = '', gx = ''] = stdout.split('\n')
  expect(heading).toMatch(/^KEY +STATUS +PLAN +MODEL +TIER +HOME +CREATED +NAME$/)
  for (const title of ['STATUS', 'HOME', 'NAME']) {
    const at = heading.indexOf(title)
    expect(acme.slice(at - 2, at)).toBe('  ')
    expect(gx[at]).not.toBe(' ')
  }
  expect(stdout).not.toContain('\u001b')
  const { tenants } = await project.json<{ tenants: Shown[] }>('tenants', 'list')
  expect(tenants.map(({ key }) => key)).toEqual(['acme', 'gx'])
  const rest = await project.json<{ tenants: Shown[] }>('tenants', 'list', '--after', 'acme', '--limit', '1')
  expect(rest.tenants.map(({ key }) => key)).toEqual(['gx'])
  expect(await project.json('tenants', 'list', '--status', 'suspended')).toEqual({ tenants: [] })
})

test('show says every fact on a line of its own', async () => {
  const { stdout } = await project.run('tenants', 'show', 'acme')
  expect(stdout).toMatch(/^key {10}acme$/m)
  expect(stdout).toMatch(/^name {9}Acme Inc\.$/m)
  expect(stdout).toMatch(/^role {9}tny_/m)
  expect(stdout).toMatch(/^enforcement {2}database$/m)
  // As on a server that gives everybody what a tenant must not have.
  await db.sql('grant execute on function pg_catalog.set_config(text, text, boolean) to public')
  const open = await project.run('tenants', 'show', 'acme')
  expect(open.stdout).toMatch(/^enforcement {2}guard$/m)
  await db.sql('revoke execute on function pg_catalog.set_config(text, text, boolean) from public')
})

test('delete wants the key again, and leaves nothing', async () => {
  const refused = await project.run('tenants', 'delete', 'acme')
  expect(refused).toMatchObject({ code: 2, stdout: '' })
  expect(refused.stderr).toContain('--confirm acme')
  expect(await project.run('tenants', 'delete', 'acme', '--confirm', 'gx')).toMatchObject({ code: 2 })
  expect(await db.sql("select 1 from pg_namespace where nspname = 'tenant_acme'")).toHaveLength(1)
  expect(await project.json('tenants', 'delete', 'acme', '--confirm', 'acme')).toEqual({ deleted: 'acme' })
  expect(await db.sql("select 1 from pg_namespace where nspname = 'tenant_acme'")).toHaveLength(0)
  const gone = await project.run('tenants', 'show', 'acme')
  expect(gone).toMatchObject({ code: 1 })
  expect(gone.stderr).toMatch(/^tenantry: TNY302: /)
})

test('an unknown name is shown without its control characters', async () => {
  const { code, stderr } = await project.run('tenants', 'show', '\u001b[2J\u202eevil')
  expect(code).toBe(1)
  expect(stderr).not.toMatch(/[\u001b\u202e]/)
})

test('a reader that stops early (| head) does not disturb the work', async () => {
  const running = project.start(['tenants', 'create', 'initech', '--json'])
  running.child.stdout?.destroy()
  expect(await running.ended).toMatchObject({ code: 0, stderr: '' })
  expect(await project.run('tenants', 'show', 'initech')).toMatchObject({ code: 0 })
})

test('without the folder of tenant migrations a new tenant comes with a notice', async () => {
  const bare = createProject(project.env)
  const { code, stderr } = await bare.run('tenants', 'create', 'bare')
  bare.remove()
  expect(code).toBe(0)
  expect(stderr).toContain('the tenant has no tables yet')
})
