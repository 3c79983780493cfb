/** A real history of some 400 migrations gives each tenant what psql makes of the same files. */
import { execFileSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AdminDatabase } from '../../src/core/database.ts'
import type { TenantHome } from '../../src/core/homes.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { TENANT_SCHEMA } from '../../src/migrate/baseline/scratch.ts'
import { createMigrations, type Migrations } from '../../src/migrate/migrations.ts'
import { readFingerprints } from '../../src/schema/read-schema.ts'
import { createFolder, type MigrationFolder } from '../migrate/migration-folder.ts'
import { homesOf, makeTenants } from '../migrate/tenant-schemas.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { findRealHistory, recordHistory, type RealMigration } from './real-history.ts'

/** All 50 take minutes on a small machine. */
const TENANTS = process.env['TENANTRY_NIGHTLY'] === undefined ? 4 : 50

const history = findRealHistory()
const hasPsql = ((): boolean => {
  try {
    execFileSync('psql', ['--version'])
    return true
  } catch {
    return false
  }
})()

describe.skipIf(history === undefined || !hasPsql)('a real history', () => {
  let database: TestDatabase
  let admin: AdminDatabase
  let folder: MigrationFolder
  let files: readonly RealMigration[]
  let byPsql: TenantHome
  let tenants: readonly TenantHome[]
  let migrations: Migrations

  beforeAll(async () => {
    database = await createTestDatabase()
    admin = createAdminDatabase(database.adminUrl)
    // One of them keeps rows in a temporary table, which owners of tenants may not make unless they are let.
    await database.sql(
      `grant temporary on database ${database.name} to public;
       create schema recorded; grant usage, create on schema recorded to public`,
    )
    files = await admin.session(async (session) => {
      await session.query('set search_path = recorded')
      return recordHistory(session, history ?? '')
    })
    folder = await createFolder(Object.fromEntries(files.map(({ name, sql }) => [`${name}.sql`, sql])))
    const keys = Array.from({ length: TENANTS }, (_, index) => `t${index}`)
    const [first, ...others] = await makeTenants(admin, ['by-psql', ...keys])
    if (first === undefined) throw new Error('there is no tenant')
    ;[byPsql, tenants] = [first, others]
    migrations = createMigrations({ db: admin, homes: homesOf(tenants), folders: { tenant: folder.path } })
  }, 300_000)
  afterAll(async () => {
    await admin.close()
    await folder.drop()
    await database.drop()
  })

  it('is some hundreds of files', () => {
    expect(files.length).toBeGreaterThan(350)
  })

  it('makes the same schema for each tenant as psql does', { timeout: 1_800_000 }, async () => {
    const { home } = byPsql
    const paths = files.flatMap(({ name }) => [
      '-c',
      'begin',
      '-f',
      join(folder.path, `${name}.sql`),
      '-c',
      'commit',
    ])
    execFileSync('psql', ['-qX', '-v', 'ON_ERROR_STOP=1', ...paths, database.adminUrl], {
      env: { ...process.env, PGOPTIONS: `-c role=${home.ownerRole} -c search_path=${home.schema}` },
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    const report = await migrations.up()
    expect(report.failed).toEqual([])
    expect(report.tenants.every(({ applied }) => applied.length === files.length)).toBe(true)
    const [expected, ...found] = await admin.transaction((tx) =>
      readFingerprints(
        tx,
        [byPsql, ...tenants].map((tenant) => tenant.home.schema),
        TENANT_SCHEMA,
      ),
    )
    expect(expected).toMatch(/^[0-9a-f]{64}$/)
    expect(new Set(found)).toEqual(new Set([expected]))
    expect(await migrations.diff()).toEqual({ compared: TENANTS, same: TENANTS, drifted: [] })
  })
})
