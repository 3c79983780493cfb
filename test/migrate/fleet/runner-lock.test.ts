/** M3: two runners at once. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createAdminDatabase } from '../../../src/gateway/admin-database.ts'
import type { Runner } from '../../../src/migrate/fleet/runner-lock.ts'
import { waitFor } from '../../support/wait-for.ts'
import { createFleetWorld, type FleetWorld } from './fleet-world.ts'

let world: FleetWorld
beforeEach(async () => {
  world = await createFleetWorld(6)
  await world.folder.write({
    '1_log.sql': "create table log (step text); insert into log values ('1'); select pg_sleep(0.1)",
  })
})
afterEach(() => world.drop())

test('M3: the second waits, says who is at work, and goes on when the first is done', async () => {
  const runners: (Runner | undefined)[] = []
  let waiting = false
  const first = world.migrations().up({
    workers: 1,
    onProgress: ({ done }) => {
      if (done === 2) waiting = true
    },
  })
  await waitFor(() => waiting)
  const second = world.migrations().up({
    onEvent: (event) => void (event.type === 'waiting' && runners.push(event.runner)),
  })
  expect((await first).tenants).toHaveLength(6)
  expect(await second).toMatchObject({ tenants: [], unchanged: 6 })
  expect(runners).toHaveLength(1)
  expect(runners[0]).toMatchObject({
    application: expect.stringContaining(`process ${process.pid}`),
    pid: expect.any(Number),
  })
  for (const tenant of world.tenants) expect(await world.logOf(tenant)).toBe('1')
})

test('M3: it goes on too where the first dies, and not where the signal comes', async () => {
  const other = createAdminDatabase(world.database.adminUrl)
  let end = (): void => undefined
  const held = other.session(async (session) => {
    await session.query('select pg_advisory_lock(7241865325823964)')
    await new Promise<void>((resolve) => (end = resolve))
  })
  const abort = new AbortController()
  const stopped = world.migrations().up({ signal: abort.signal, onEvent: () => abort.abort() })
  expect((await stopped).stopped?.error.code).toBe('TNY422')
  let runner: Runner | undefined
  const second = world.migrations().up({
    onEvent: (event) => {
      if (event.type === 'waiting') runner = event.runner
    },
  })
  await waitFor(() => runner !== undefined)
  await expect(world.migrations().up({ wait: false })).rejects.toThrow(
    expect.objectContaining({
      code: 'TNY406',
      message: expect.stringContaining(`backend ${runner?.pid}`) as string,
    }),
  )
  await world.database.sql('select pg_terminate_backend($1)', [runner?.pid])
  expect((await second).tenants).toHaveLength(6)
  end()
  await held.catch(() => undefined)
  await other.close()
})
