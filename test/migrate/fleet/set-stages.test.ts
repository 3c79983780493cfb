/** Shared migrations that wait for those of tenants, and the other way round. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { reportFailure } from '../../../src/migrate/fleet/migration-report.ts'
import { createFleetWorld, type FleetWorld } from './fleet-world.ts'

let world: FleetWorld
beforeEach(async () => {
  world = await createFleetWorld(3)
  await world.shared.write({
    '1_order.sql': 'create table public.ran (step text); grant insert on public.ran to public',
    '2_after.sql':
      "-- tenantry: after tenant/2_first\n-- Up Migration\ninsert into public.ran values ('shared')",
  })
  await world.folder.write({
    '2_first.sql': "insert into public.ran values ('first')",
    '3_last.sql': "insert into public.ran values ('last')",
  })
})
afterEach(() => world.drop())

async function ran(): Promise<string> {
  const rows = await world.database.sql<{ steps: string }>(
    "select string_agg(step, ' ' order by ctid) as steps from public.ran",
  )
  return rows[0]?.steps ?? ''
}

test('a shared migration behind one of the tenants runs when all are so far', async () => {
  const report = await world.migrations().up()
  expect(reportFailure(report)).toBeUndefined()
  expect(await ran()).toBe('first first first shared last last last')
  expect(report.shared).toEqual(['1_order', '2_after'])
  expect(report.tenants.map(({ applied }) => applied.join())).toEqual(
    Array.from({ length: 3 }, () => '1_log,2_first,3_last'),
  )
})

test('where one is not so far the run ends before it, also where that one was not asked for', async () => {
  const some = await world.migrations().up({ only: ['t0'] })
  expect(reportFailure(some)).toMatchObject({
    code: 'TNY421',
    message: expect.stringMatching(/2_after\.sql waits for tenants that are not so far, t1, t2/) as string,
  })
  expect(await ran()).toBe('first')
  await world.database.sql('revoke insert on public.ran from public')
  const all = await world.migrations().up()
  expect(all.failed).toHaveLength(2)
  expect(reportFailure(all)?.code).toBe('TNY421')
  await world.database.sql('grant insert on public.ran to public')
  expect(reportFailure(await world.migrations().up({ retry: true }))).toBeUndefined()
  expect(await ran()).toBe('first first first shared last last last')
})
