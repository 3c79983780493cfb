/** Domains and API keys from the command line, on a real server. The system's own DNS knows none of these domains. */
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
  project.write('tenantry.config.ts', "export default { roots: ['example.com'], apiKeyPrefix: 'sample' }")
  await project.run('tenants', 'create', 'acme')
})
afterAll(async () => {
  project.remove()
  await db.drop()
})

test('domains: add shows the record, verify asks the DNS, list and remove', async () => {
  const added = await project.run('domains', 'add', 'acme', 'Shop.Acme.Invalid')
  expect(added).toMatchObject({ code: 0, stderr: '' })
  expect(added.stdout).toMatch(/^domain {2}shop\.acme\.invalid\n/)
  expect(added.stdout).toMatch(/^record {2}_tenantry\.shop\.acme\.invalid TXT tenantry-[0-9a-f]{32}$/m)
  const verified = await project.run('domains', 'verify', 'shop.acme.invalid', '--tenant', 'acme')
  expect(verified).toMatchObject({ code: 1, stdout: '' })
  // Whether a DNS answers depends on the machine.
  expect(verified.stderr).toMatch(/TNY31[45]: .*\n.*hint: /s)
  const { stdout } = await project.run('domains', 'list', 'acme')
  expect(stdout).toMatch(/^DOMAIN +STATE +SINCE +CHECKED +RECORD\nshop\.acme\.invalid +claimed +\d{4}-/)
  const { domains } = await project.json<{ domains: { domain: string; record: object }[] }>(
    ...['domains', 'list', 'acme'],
  )
  expect(domains).toMatchObject([
    { domain: 'shop.acme.invalid', record: { type: 'TXT', name: '_tenantry.shop.acme.invalid' } },
  ])
  expect(await project.run('domains', 'add', 'acme', 'shop.example.com')).toMatchObject({ code: 2 })
  expect(await project.json('domains', 'recheck')).toEqual({ kept: 0, missing: [], lost: [], unknown: [] })
  expect(await project.json('domains', 'remove', 'acme', 'shop.acme.invalid')).toEqual({
    removed: 'shop.acme.invalid',
  })
  const none = await project.run('domains', 'list', 'acme')
  expect(none.stdout).toContain('no domains yet')
})

test('api-keys: create shows the secret once, list never, revoke ends it', async () => {
  const made = await project.run(
    ...['api-keys', 'create', 'acme', '--name', 'import', '--scope', 'a:read', '--scope', 'a:write'],
  )
  expect(made.code).toBe(0)
  const [, secret = ''] = /^secret {2}(sample_[0-9A-Za-z]{49})$/m.exec(made.stdout) ?? []
  expect(secret).not.toBe('')
  expect(made.stderr).toContain('shown this once')
  const { stdout } = await project.run('api-keys', 'list', 'acme')
  expect(stdout).not.toContain(secret)
  expect(stdout).toContain(`${secret.slice(0, 15)}…  valid`)
  expect(stdout).toMatch(/never +a:read a:write +import$/m)
  const { keys } = await project.json<{ keys: { id: string; revokedAt?: string }[] }>(
    'api-keys',
    'list',
    'acme',
  )
  const { key } = await project.json<{ key: object }>('api-keys', 'revoke', keys[0]?.id ?? '')
  expect(key).toMatchObject({ ...keys[0], revokedAt: expect.any(String) })
  expect(await project.run('api-keys', 'revoke', 'nothing')).toMatchObject({ code: 1 })
  for (const [option, value] of [
    ['--expires', 'tomorrow'],
    ['--scope', 'two words'],
  ] as const) {
    const misused = await project.run('api-keys', 'create', 'acme', '--name', 'x', option, value)
    expect(misused).toMatchObject({ code: 2, stdout: '' })
  }
})
