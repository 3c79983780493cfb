/** M8: who is put into quarantine, who is not, and how a tenant comes out of it. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createControlPlane } from '../../../src/control-plane.ts'
import { createAdminDatabase } from '../../../src/gateway/admin-database.ts'
import { reportFailure } from '../../../src/migrate/fleet/migration-report.ts'
import { createFleetWorld, type FleetWorld } from './fleet-world.ts'

let world: FleetWorld
beforeEach(async () => {
  world = await createFleetWorld(4)
  await world.migrations().up()
  await world.database.sql(`insert into ${world.tenants[2]?.home.schema}.log values (null)`)
})
afterEach(() => world.drop())

const STRICT = { '2_strict.sql': 'alter table log alter column step set not null' }

function entries(): Promise<Record<string, unknown>[]> {
  return world.database.sql('select tenant_id, migration, error from tenantry.quarantine')
}

test('M8: a tenant that fails is left out by the next run, which says so, until it is asked for', async () => {
  await world.folder.write(STRICT)
  const migrations = world.migrations()
  expect((await migrations.up()).failed.map(({ key }) => key)).toEqual(['t2'])
  expect(await entries()).toEqual([
    { tenant_id: 't2', migration: '2_strict', error: expect.stringContaining('contains null values') },
  ])
  await world.folder.write({ '3_more.sql': "insert into log values ('more')" })
  const second = await migrations.up()
  expect(second.tenants).toHaveLength(3)
  expect(second.failed).toEqual([])
  expect(second.quarantined).toEqual([
    { key: 't2', migration: '2_strict', error: expect.any(String), since: expect.any(Date) },
  ])
  expect(reportFailure(second)).toMatchObject({ code: 'TNY423' })
  expect((await migrations.status()).tenants[2]).toMatchObject({
    pending: ['2_strict', '3_more'],
    quarantined: { migration: '2_strict' },
  })
  await world.database.sql(`delete from ${world.tenants[2]?.home.schema}.log where step is null`)
  expect((await migrations.up()).quarantined).toHaveLength(1)
  const retried = await migrations.up({ retry: true })
  expect(retried.tenants.map(({ key, applied }) => [key, applied])).toEqual([['t2', ['2_strict', '3_more']]])
  expect(await entries()).toEqual([])
  expect(reportFailure(await migrations.up())).toBeUndefined()
})

test('M8: it is tried again as soon as the text of the migration is another', async () => {
  await world.folder.write(STRICT)
  await world.migrations().up()
  await world.folder.write({ '2_strict.sql': 'select 1 / 0' })
  // Still bad, in another way.
  const other = world.migrations({ tenants: world.tenants.slice(2, 3) })
  expect((await other.up()).failed[0]?.error.message).toMatch(/division by zero/)
  expect((await other.up()).quarantined[0]?.error).toMatch(/division by zero/)
  await world.folder.write({
    '2_strict.sql':
      "update log set step = '' where step is null; alter table log alter column step set not null",
  })
  expect((await other.up()).tenants).toHaveLength(1)
  expect(await entries()).toEqual([])
})

test('M8: what passes by itself is a failure, and no reason for quarantine', async () => {
  await world.folder.write(STRICT)
  const schema = world.tenants[0]?.home.schema
  const superuser = createAdminDatabase(world.database.superuserUrl)
  const report = await superuser.transaction(async (tx) => {
    await tx.query(`lock table ${schema}.log`)
    return world.migrations({ tenants: world.tenants.slice(0, 1) }).up({ lockTimeoutMs: 50 })
  })
  await superuser.close()
  expect(report.failed[0]?.error.message).toMatch(/lock timeout/)
  expect(await entries()).toEqual([])
  expect((await world.migrations({ tenants: world.tenants.slice(0, 1) }).up()).tenants).toHaveLength(1)
})

test('a dry run puts nobody into quarantine', async () => {
  await world.folder.write(STRICT)
  const report = await world.migrations().up({ dryRun: true })
  expect(report.failed).toHaveLength(1)
  expect(await entries()).toEqual([])
})

test('V3: an erased tenant leaves no row', async () => {
  const plane = createControlPlane({
    connection: world.database.adminUrl,
    migrations: { tenant: world.folder.path },
  })
  await plane.tenants.create({ key: 'acme' })
  await world.folder.write({ '3_bad.sql': 'select 1 / 0' })
  expect((await plane.migrate.up()).failed).toHaveLength(1)
  expect(await entries()).toHaveLength(1)
  await plane.tenants.delete('acme', { confirm: 'acme' })
  expect(await entries()).toEqual([])
  await plane.close()
})
