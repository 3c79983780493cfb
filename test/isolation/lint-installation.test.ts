import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ControlPlane, createControlPlane } from '../../src/index.ts'
import type { AdminDatabase } from '../../src/core/database.ts'
import type { Tenant } from '../../src/core/tenant.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { lintDatabase } from '../../src/isolation/lint/lint-database.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let db: TestDatabase
let plane: ControlPlane
let admin: AdminDatabase
const tenants = new Map<string, Tenant>()

beforeAll(async () => {
  db = await createTestDatabase()
  plane = createControlPlane({ connection: db.adminUrl, migrations: {} })
  for (const key of ['a1', 'b1', 'c1']) {
    tenants.set(key, await plane.tenants.create({ key, model: 'database', tier: 'guarded' }))
  }
  admin = createAdminDatabase(db.adminUrl)
}, 60_000)
afterAll(async () => {
  for (const key of tenants.keys()) await plane.tenants.delete(key, { confirm: key })
  await plane.close()
  await admin.close()
  await db.drop()
})

const homeOf = (key: string) => tenants.get(key)?.home as Tenant['home'] & { database: string }

async function inDatabaseOf(key: string, sql: string): Promise<void> {
  const { database, ownerRole, schema } = homeOf(key)
  await admin.inDatabase(database).transaction(async (tx) => {
    await tx.query(`set local role "${ownerRole}"; set local search_path = "${schema}"; ${sql}`)
  })
}

const BAD = `create function f() returns integer language sql security definer as 'select 1';
  create table notes (tenant_id uuid, body text); grant select on notes to public`

test('a sound database of a tenant’s own has no finding', async () => {
  expect(await plane.verify()).toEqual([])
})

test('S7: what is wrong in one tenant’s database, or in several alike, is found and told once', async () => {
  await inDatabaseOf('a1', BAD)
  // The control: the catalog's database alone knows nothing of it.
  expect(await lintDatabase(admin)).toEqual([])
  const one = await plane.verify()
  const { database } = homeOf('a1')
  expect(one.map(({ rule, severity, databases }) => [rule, severity, databases])).toEqual([
    ['definer-function-with-mutable-path', 'warning', { first: database, count: 1 }],
    ['table-open-to-everybody', 'warning', { first: database, count: 1 }],
  ])
  // One tenant has it alone: a column with its id needs no policy there.
  expect(one.map(({ rule }) => rule)).not.toContain('tenant-table-without-policy')
  await inDatabaseOf('c1', BAD)
  const two = await plane.verify()
  expect(two).toHaveLength(one.length)
  const first = [database, homeOf('c1').database].toSorted()[0]
  for (const { databases, schemas } of two) {
    expect(databases).toEqual({ first, count: 2 })
    expect(schemas).toBeUndefined()
  }
})

test('S25: an extension that reaches out is as bad there as anywhere', async () => {
  const { database } = homeOf('b1')
  const owner = createAdminDatabase(db.superuserUrl)
  try {
    await owner.inDatabase(database).query('create extension dblink')
    const found = (await plane.verify()).filter(({ databases }) => databases?.first === database)
    expect(found).toMatchObject([{ rule: 'risky-extension', severity: 'error', object: 'dblink' }])
  } finally {
    await owner.inDatabase(database).query('drop extension if exists dblink')
    await owner.close()
  }
})

test('a database that cannot be looked into is a finding, and hides no other', async () => {
  const { database } = homeOf('b1')
  await db.sql(`alter database "${database}" allow_connections false`)
  try {
    const found = await plane.verify()
    expect(found).toContainEqual(
      expect.objectContaining({ rule: 'database-not-looked-into', object: database, severity: 'warning' }),
    )
    expect(found.map(({ rule }) => rule)).toContain('table-open-to-everybody')
  } finally {
    await db.sql(`alter database "${database}" allow_connections true`)
  }
})
