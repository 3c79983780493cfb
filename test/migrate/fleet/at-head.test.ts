/** A fleet of the catalog where nothing is missing: one query tells, and nobody's ledger is read. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { tenantHomes } from '../../../src/catalog/tenant-store.ts'
import { type ControlPlane, createControlPlane } from '../../../src/control-plane.ts'
import type { AdminDatabase } from '../../../src/core/database.ts'
import { createMigrations } from '../../../src/migrate/migrations.ts'
import { createFleetWorld, type FleetWorld } from './fleet-world.ts'

let world: FleetWorld
let plane: ControlPlane
beforeEach(async () => {
  world = await createFleetWorld(0)
  plane = createControlPlane({
    connection: world.database.adminUrl,
    migrations: { tenant: world.folder.path },
  })
  for (const key of ['acme', 'globex', 'initech']) await plane.tenants.create({ key })
})
afterEach(async () => {
  await plane.close()
  await world.drop()
})

test('no ledger of a tenant is read where all are at head, and all are where one is not', async () => {
  const texts: string[] = []
  const hearing: AdminDatabase = {
    ...world.admin,
    session: (fn) =>
      world.admin.session((session) =>
        fn({ query: (text, values) => (texts.push(text), session.query(text, values)) }),
      ),
  }
  const migrations = createMigrations({
    db: hearing,
    homes: tenantHomes(world.admin),
    folders: { tenant: world.folder.path },
  })
  expect(await migrations.up()).toMatchObject({ tenants: [], unchanged: 3, failed: [] })
  expect(texts.filter((text) => text.includes('tenantry.tenants'))).toHaveLength(1)
  expect(texts.join('\n')).not.toContain('tenant_acme')
  await world.folder.write({ '2_more.sql': "insert into log values ('more')" })
  expect(await migrations.up({ only: ['acme'] })).toMatchObject({ tenants: [{ key: 'acme' }], unchanged: 0 })
  expect(await migrations.up()).toMatchObject({ unchanged: 1, failed: [] })
  await world.folder.write({ '2_more.sql': "insert into log values ('other')" })
  expect((await migrations.up()).failed.map(({ error }) => error.code)).toEqual([
    'TNY415',
    'TNY415',
    'TNY415',
  ])
})

test('status with verify mends what the catalog does not know, and changes nothing else', async () => {
  await world.database.sql("delete from tenantry.migration_heads where schema_name = 'tenant_acme'")
  expect((await plane.migrate.status()).found).toBeUndefined()
  expect((await plane.migrate.status({ verify: true })).found).toMatchObject([
    { key: 'acme', kind: 'mended' },
  ])
  expect((await plane.migrate.status({ verify: true })).found).toEqual([])
  const { tenants } = await plane.migrate.status()
  expect(tenants.map(({ applied }) => applied)).toEqual([1, 1, 1])
})

test('a data migration in batches tells how many rows are changed so far', async () => {
  await world.database.sql("insert into tenant_acme.log select 'old' from generate_series(1, 25)")
  await world.folder.write({
    '2_new.sql':
      "-- tenantry: batch\n-- Up Migration\nupdate log set step = 'new' where ctid in (select ctid from log where step = 'old' limit 10)",
  })
  const rows: number[] = []
  const report = await plane.migrate.up({
    onEvent: (event) => void (event.type === 'batch' && event.tenant === 'acme' && rows.push(event.rows)),
  })
  expect(report.failed).toEqual([])
  expect(rows.slice(0, 3)).toEqual([10, 20, 25])
})
