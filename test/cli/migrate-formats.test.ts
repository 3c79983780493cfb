/** `tenantry migrate` with folders of other tools, where Node itself runs the code. */
import { symlinkSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { TOOL_FOLDERS } from '../migrate/formats/tool-folders.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { createProject, REPOSITORY, type SampleProject } from './run-cli.ts'

// Each command is a process of its own, which takes seconds on a busy machine.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let db: TestDatabase
let project: SampleProject
beforeEach(async () => {
  db = await createTestDatabase()
  project = createProject({ TENANTRY_ADMIN_URL: db.adminUrl })
  for (const name of ['typeorm', 'knex']) {
    symlinkSync(join(REPOSITORY, 'node_modules', name), join(project.folder, 'node_modules', name))
  }
})
afterEach(async () => {
  project.remove()
  await db.drop()
})

function use(tool: keyof typeof TOOL_FOLDERS, migrations: string): void {
  const folder = /'(db|knex|mikro-orm)'/.exec(migrations)?.[1] ?? ''
  for (const [file, text] of Object.entries(TOOL_FOLDERS[tool].files))
    project.write(`${folder}/${file}`, text)
  project.write('tenantry.config.ts', `export default { migrations: { tenant: ${migrations} } }`)
}

test('code runs without a compiler', async () => {
  use('typeorm', "'db'")
  expect(await project.run('tenants', 'create', 'acme')).toMatchObject({ code: 0 })
  const names = await db.sql('select name from tenant_acme.pgmigrations order by id')
  expect(names).toEqual(TOOL_FOLDERS.typeorm.names.map((name) => ({ name })))
  await db.sql('delete from tenant_acme.pgmigrations')
  for (const tool of ['knex', 'mikro-orm'] as const) {
    use(tool, `{ folder: '${tool}', format: '${tool}' }`)
    expect(await project.json('migrate', 'status')).toMatchObject({
      tenants: [{ key: 'acme', applied: 0, pending: TOOL_FOLDERS[tool].names }],
    })
  }
})

test('a folder whose format is named, and what is refused, with its way out', async () => {
  use('prisma', "{ folder: 'db', format: 'prisma' }")
  await project.run('tenants', 'create', 'acme')
  project.write('db/20240301120000_plans/migration.sql', '\nDROP TABLE "public"."plans";\n')
  const refused = await project.run('migrate', 'up')
  expect(refused.code).toBe(1)
  expect(refused.stderr).toMatch(
    /TNY409: .*20240301120000_plans\/migration\.sql names public\.plans, .*\(line 2\)/,
  )
  project.write(
    'db/20240301120000_plans/migration.sql',
    'ALTER TABLE "public"."orders" ADD COLUMN "x" int;\n',
  )
  const up = await project.run('migrate', 'up')
  expect(up.stdout).toContain('tenants: 1 migrated')

  project.write('db/0001_orders.sql', 'select 1')
  project.write('tenantry.config.ts', "export default { migrations: { tenant: 'db' } }")
  expect((await project.run('migrate', 'up')).stderr).toMatch(/TNY408: .*\n.*format: 'prisma'/)
})
