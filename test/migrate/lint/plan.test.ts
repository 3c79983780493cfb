/** What `plan` tells of a fleet of all models, and what `up` refuses. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createControlPlane, type ControlPlane } from '../../../src/control-plane.ts'
import type { MigrationConfig } from '../../../src/core/config.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { createFolder, type MigrationFolder } from '../migration-folder.ts'

let db: TestDatabase
let tenant: MigrationFolder
let shared: MigrationFolder
let control: ControlPlane

beforeAll(async () => {
  db = await createTestDatabase()
  tenant = await createFolder({ '1_orders.sql': 'create table orders (id bigint primary key, total int)' })
  shared = await createFolder({ '1_plans.sql': 'create table plans (name text primary key)' })
  control = planeWith({})
  await control.migrate.up()
  await control.tenants.create({ key: 'acme' })
  await control.tenants.create({ key: 'tiny', model: 'shared' })
  await control.tenants.create({ key: 'grand', model: 'database' })
  await tenant.write({ '2_notes.sql': 'create table notes (id bigint primary key, text text)' })
  await control.migrate.up({ only: ['acme'] })
}, 120_000)
afterAll(async () => {
  await control.close()
  await db.drop()
  await tenant.drop()
  await shared.drop()
})

function planeWith(more: MigrationConfig): ControlPlane {
  const folders = { tenant: tenant.path, shared: shared.path }
  return createControlPlane({
    connection: db.adminUrl,
    masterKey: 'a-master-key-for-the-plans-of-these-tests',
    migrations: { ...folders, ...more },
  })
}

const MIGRATION = `-- Up Migration
create index notes_text on notes (text);
alter table orders add column code uuid default gen_random_uuid();
do $$ begin
  update orders set total = 0;
end $$;
`

test('plan: tenants by version, in all models and databases; SQL, locks, sizes and findings; nothing changes', async () => {
  await tenant.write({ '3_codes.sql': MIGRATION })
  await db.sql('insert into tenant_acme.orders select n, n from generate_series(1, 5000) n')
  await db.sql('analyze tenant_acme.orders')
  await shared.write({ '2_more.sql': 'alter table plans add column price int not null default 0' })
  const plan = await control.migrate.plan()
  expect(plan.versions).toEqual([
    {
      migration: '1_orders',
      tenants: 2,
      models: { shared: 1, database: 1 },
      behind: 2,
      keys: ['shared tenants', 'grand'],
    },
    { migration: '2_notes', tenants: 1, models: { schema: 1 }, behind: 1, keys: ['acme'] },
  ])
  expect(
    plan.migrations.map(({ file, tenants, models }) => [file.replace(/^.*\//, ''), tenants, models]),
  ).toEqual([
    ['2_more.sql', 0, {}],
    ['2_notes.sql', 2, { shared: 1, database: 1 }],
    ['3_codes.sql', 3, { shared: 1, schema: 1, database: 1 }],
  ])
  const [more, notes, codes] = plan.migrations
  expect(more?.statements[0]?.locks).toEqual([
    { table: 'plans', mode: 'ACCESS EXCLUSIVE', work: 'brief', blocks: 'everything' },
  ])
  expect(notes?.statements[0]?.locks).toEqual([])
  expect(codes?.statements.map(({ sql, line, inside }) => [sql.split(' ')[0], line, inside])).toEqual([
    ['create', 2, false],
    ['alter', 3, false],
    ['do', 4, false],
    ['update', 5, true],
  ])
  expect(codes?.statements[1]?.locks).toEqual([
    {
      table: 'orders',
      mode: 'ACCESS EXCLUSIVE',
      work: 'rewrite',
      blocks: 'everything',
      largest: { tenant: 'acme', rows: 5000, bytes: expect.any(Number) },
    },
  ])
  expect(codes?.findings.map(({ rule, line }) => [rule, line])).toEqual([
    ['index-not-concurrent', 2],
    ['volatile-default', 3],
    ['backfill-under-lock', 5],
    ['backfill-at-once', 5],
  ])
  expect(plan.waves).toEqual([{ name: 'all', tenants: 3 }])
  expect(plan.refused).toEqual([])
  expect(plan.problems).toEqual([])
  const { tenants } = await control.migrate.status()
  expect(tenants.find(({ key }) => key === 'acme')?.pending).toEqual(['3_codes'])
})

test('only some tenants, and where nobody behind has the table, it is new', async () => {
  const plan = await control.migrate.plan({ only: ['grand'] })
  expect(plan.versions.map(({ tenants }) => tenants)).toEqual([1])
  const codes = plan.migrations.find(({ name }) => name === '3_codes')
  expect(codes?.findings.map(({ rule }) => rule)).not.toContain('index-not-concurrent')
  await expect(control.migrate.plan({ only: ['nobody'] })).rejects.toMatchObject({ code: 'TNY420' })
})

test('a tenant whose ledger does not fit is named, and the others are planned', async () => {
  await db.sql("insert into tenant_acme.pgmigrations (name, run_on) values ('9_unknown', now())")
  const plan = await control.migrate.plan()
  expect(plan.problems.map(({ key, error }) => [key, error.code])).toEqual([['acme', 'TNY403']])
  expect(plan.versions).toHaveLength(1)
  await db.sql("delete from tenant_acme.pgmigrations where name = '9_unknown'")
})

describe('up', () => {
  const BAD = 'alter table orders add column owner text not null'
  test('refuses errors before anything runs, and names file, line and rule', async () => {
    await tenant.write({ '4_owner.sql': BAD })
    const before = await control.migrate.status()
    await expect(control.migrate.up()).rejects.toMatchObject({
      code: 'TNY434',
      message: expect.stringMatching(/4_owner\.sql:1:1 required-column \(owner is NOT NULL/),
    })
    expect(await control.migrate.status()).toEqual(before)
    expect((await control.migrate.plan()).refused.map(({ rule }) => rule)).toEqual(['required-column'])
  })
  test('up to a migration before it runs; warnings are let pass, unless the settings say otherwise', async () => {
    const strict = planeWith({ lint: { refuse: 'warning' } })
    await expect(strict.migrate.up({ to: '3_codes' })).rejects.toMatchObject({ code: 'TNY434' })
    await strict.close()
    expect((await control.migrate.up({ to: '3_codes' })).failed).toEqual([])
  })
  test('what ran already is no reason to refuse', async () => {
    const strict = planeWith({ lint: { refuse: 'warning', rules: { 'required-column': 'advice' } } })
    expect(await strict.migrate.lint({ pending: true })).toMatchObject([
      { rule: 'required-column', level: 'advice' },
    ])
    await strict.close()
  })
  test('an ignore lets it pass, with a reason alone', async () => {
    await tenant.write({ '4_owner.sql': `-- tenantry: ignore required-column: all are empty\n${BAD}` })
    expect(await control.migrate.lint({ files: ['4_owner.sql'] })).toEqual([])
    expect((await control.migrate.plan()).refused).toEqual([])
    await tenant.write({ '4_owner.sql': `-- tenantry: ignore required-column\n${BAD}` })
    await expect(control.migrate.plan()).rejects.toMatchObject({
      code: 'TNY401',
      message: expect.stringContaining('needs a rule and a reason'),
    })
    await tenant.write({ '4_owner.sql': BAD })
  })
  test('with the lint off, it runs: and fails for the tenant that has rows', async () => {
    const report = await control.migrate.up({ lint: false })
    expect(report.failed.map(({ key }) => key)).toEqual(['acme'])
    expect(report.tenants.map(({ key }) => key)).toEqual(['shared tenants', 'grand'])
    await tenant.remove('4_owner.sql')
  })
})

test('the settings are checked as other options are', async () => {
  const { configProblem } = await import('../../../src/core/config.ts')
  const problem = (lint: unknown): string | undefined => configProblem({ migrations: { lint } })
  expect(problem({ rules: { 'drop-column': 'off', truncate: 'error' }, refuse: 'never' })).toBeUndefined()
  expect(problem({ rules: { 'column-drop': 'off' } })).toContain(
    '`column-drop`, which does not exist; the nearest is drop-column',
  )
  expect(problem({ rules: { truncate: 'fatal' } })).toContain('`truncate`')
  expect(problem({ refuse: true })).toContain('`refuse`')
  expect(problem({ ignore: [] })).toContain('`ignore`')
  expect(problem('off')).toContain('not an object')
})
