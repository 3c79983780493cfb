import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { createTenancy, type LintFinding } from '../../src/index.ts'
import { createProject, type SampleProject } from './run-cli.ts'

vi.setConfig({ testTimeout: 60_000 })

let database: TestDatabase
let project: SampleProject
beforeAll(async () => {
  database = await createTestDatabase()
  project = createProject()
  project.env['DATABASE_URL'] = database.appUrl
  project.env['TENANTRY_ADMIN_URL'] = database.adminUrl
})
afterAll(async () => {
  project.remove()
  await database.drop()
})

test('verify finds a table with a tenant’s column and no policy, and says how to mend it', async () => {
  await database.sql(`create table public.users (id bigint primary key, tenant_id text not null, email text);
    alter table public.users owner to tenantry_admin; grant select on public.users to tenantry_tenants`)
  const bad = await project.run('verify')
  expect(bad.code).toBe(1)
  expect(bad.stdout).toMatch(/^error +public\.users +tenant-table-without-policy$/m)
  expect(bad.stdout).toContain('tenantry.protect')
  const { ok, findings } = JSON.parse((await project.run('verify', '--json')).stdout) as {
    ok: boolean
    findings: LintFinding[]
  }
  expect(ok).toBe(false)
  expect(findings[0]).toMatchObject({ rule: 'tenant-table-without-policy', severity: 'error' })
  await database.sql("set role tenantry_admin; select tenantry.protect('public.users')")
  const good = await project.run('verify')
  expect(good.stdout).not.toContain('tenant-table-without-policy')
  expect(good.code).toBe(0)
})

test('context rotate and retire: tenants are served through both', async () => {
  await database.sql('drop table if exists public.users')
  await project.json('tenants', 'create', 'acme', '--model', 'shared')
  const tenancy = createTenancy({ connection: database.appUrl })
  const whoAmI = async (): Promise<unknown> =>
    (await tenancy.poolFor('acme').query('select tenantry.current_tenant() is not null as known')).rows[0]
  try {
    expect(await whoAmI()).toEqual({ known: true })
    const { key } = await project.json<{ key: number }>('context', 'rotate')
    expect(key).toBeGreaterThan(1)
    expect(await whoAmI()).toEqual({ known: true })
    expect(await project.json('context', 'retire')).toEqual({ retired: 0 })
    expect(await project.json('context', 'retire', '--older-than', '0')).toEqual({ retired: 1 })
    expect(await whoAmI()).toEqual({ known: true })
  } finally {
    await tenancy.close()
  }
  const { code, stderr } = await project.run('context', 'retire', '--older-than', 'soon')
  expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('"soon"') })
})
