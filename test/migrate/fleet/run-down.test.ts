/** `down`, and runs that change nothing. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { reportFailure } from '../../../src/migrate/fleet/migration-report.ts'
import { createFleetWorld, type FleetWorld } from './fleet-world.ts'

const A = '-- Up Migration\ncreate table a (id int);\n-- Down Migration\ndrop table a;\n'
const B =
  "-- Up Migration\ninsert into log values ('b');\n-- Down Migration\ndelete from log where step = 'b';\n"

let world: FleetWorld
beforeEach(async () => {
  world = await createFleetWorld(4)
  await world.folder.write({ '2_a.sql': A, '3_b.sql': B })
})
afterEach(() => world.drop())

async function applied(): Promise<string> {
  const { tenants } = await world.migrations().status()
  return tenants.map((tenant) => tenant.applied).join('')
}

test('down undoes the newest in every tenant, or those named; up runs them again', async () => {
  const migrations = world.migrations()
  await migrations.up()
  const report = await migrations.down({ steps: 1 })
  expect(report.tenants.map((tenant) => tenant.applied)).toEqual(Array.from({ length: 4 }, () => ['3_b']))
  expect(await applied()).toBe('2222')
  expect(await world.logOf(world.tenants[0])).toBe('')
  await migrations.up({ only: ['t1'] })
  const second = await migrations.down({ to: '1_log', only: ['t1', 't2'] })
  expect(second.tenants.map((tenant) => tenant.applied.join()).sort()).toEqual(['2_a', '3_b,2_a'])
  expect(await applied()).toBe('2112')
  expect((await migrations.down({ to: '3_b' })).unchanged).toBe(4)
  await migrations.up()
  expect(await applied()).toBe('3333')
})

test('what has no down part is refused before anything happens', async () => {
  const migrations = world.migrations()
  await migrations.up()
  const report = await migrations.down({ steps: 3 })
  expect(report.failed).toHaveLength(4)
  expect(reportFailure(report)?.cause).toMatchObject({
    code: 'TNY424',
    message: expect.stringContaining('1_log.sql cannot be undone: it has no down part') as string,
  })
  expect(await applied()).toBe('3333')
  await world.folder.write({ '4_c.sql': 'select 1' })
  await migrations.up()
  await expect(migrations.down({ to: '3' })).rejects.toMatchObject({ code: 'TNY424' })
  await expect(migrations.down({})).rejects.toMatchObject({ code: 'TNY420' })
  await expect(migrations.down({ steps: 0 })).rejects.toMatchObject({ code: 'TNY420' })
  await expect(migrations.down({ to: '9' })).rejects.toMatchObject({ code: 'TNY420' })
})

test('a down part that fails leaves its tenant as it was, and the others go on', async () => {
  const migrations = world.migrations()
  await migrations.up()
  await migrations.down({ steps: 1 })
  await world.database.sql(`drop table ${world.tenants[1]?.home.schema}.a`)
  const report = await migrations.down({ steps: 1 })
  expect(report.failed).toMatchObject([{ key: 't1', error: { code: 'TNY402' } }])
  expect(await applied()).toBe('1211')
})

test('a dry run upwards finds what fails, and changes nothing', async () => {
  await world.shared.write({ '1_plans.sql': 'create table public.plans (name text primary key)' })
  await world.folder.write({
    '2_a.sql': 'create table a (plan text references public.plans)',
    '4_bad.sql': "insert into log values ('4'); insert into a values ('none')",
  })
  const migrations = world.migrations()
  const report = await migrations.up({ dryRun: true, to: '3_b' })
  expect(report).toMatchObject({ dryRun: true, shared: ['1_plans'], failed: [] })
  expect(report.tenants.map((tenant) => tenant.applied)).toEqual(
    Array.from({ length: 4 }, () => ['1_log', '2_a', '3_b']),
  )
  expect((await migrations.up({ dryRun: true })).failed.map(({ error }) => error.message)[0]).toMatch(
    /4_bad\.sql failed for t\d: .*foreign key/,
  )
  expect(await applied()).toBe('0000')
  expect(await world.database.sql("select to_regclass('public.plans')::text as name")).toEqual([
    { name: null },
  ])
})

test('a dry run downwards does the same', async () => {
  const migrations = world.migrations()
  await migrations.up()
  const report = await migrations.down({ steps: 2, dryRun: true })
  expect(report.tenants[0]?.applied).toEqual(['3_b', '2_a'])
  expect(await applied()).toBe('3333')
  await world.database.sql(`drop table ${world.tenants[1]?.home.schema}.a`)
  expect((await migrations.down({ steps: 2, dryRun: true })).failed.map(({ key }) => key)).toEqual(['t1'])
})
