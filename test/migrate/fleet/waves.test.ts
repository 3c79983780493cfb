/** Runs in waves: who comes when, what stops a run between two waves, and how it goes on. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Gate } from '../../../src/core/waves.ts'
import { reportFailure } from '../../../src/migrate/fleet/migration-report.ts'
import type { MigrationEvent } from '../../../src/migrate/fleet/run-events.ts'
import { createFleetWorld, type FleetWorld } from './fleet-world.ts'

let world: FleetWorld
let events: MigrationEvent[]
const onEvent = (event: MigrationEvent): void => void events.push(event)

beforeEach(async () => {
  world = await createFleetWorld(8)
  events = []
})
afterEach(() => world.drop())

async function applied(): Promise<string> {
  const { tenants } = await world.migrations().status()
  return tenants.map((tenant) => tenant.applied).join('')
}

test('the canary first, then shares, then all others; each wave is in the report', async () => {
  const plans = world.tenants.map((tenant, place) => ({ ...tenant, plan: place < 4 ? 'free' : 'pro' }))
  const waves = [{ name: 'canary', tenants: ['t7'] }, { plan: 'free' }, { name: 'nobody', plan: 'none' }]
  const asked: string[] = []
  const check: Gate['check'] = async (wave) =>
    void asked.push(`${wave.name} ${wave.migrated} ${await applied()}`)
  const report = await world
    .migrations({ tenants: plans, waves: waves.map((wave) => ({ ...wave, gate: { check } })) })
    .up({ onEvent })
  expect(reportFailure(report)).toBeUndefined()
  expect(report.waves.map(({ name, migrated }) => `${name} ${migrated}`)).toEqual([
    'canary 1',
    'plan free 4',
    'all others 3',
  ])
  // The gate of a wave without anybody is asked too, as others come behind it.
  expect(asked).toEqual(['canary 1 00000001', 'plan free 4 11110001', 'nobody 0 11110001'])
  expect(report.slowest).toHaveLength(5)
  const finished = events.flatMap((event) => (event.type === 'tenant' ? [event.tenant] : []))
  expect(finished[0]).toBe('t7')
  expect(finished.slice(1, 5).sort()).toEqual(['t0', 't1', 't2', 't3'])
})

test('a canary that nobody is ends the run before any tenant: there would be none', async () => {
  const migrations = world.migrations({ waves: [{ tenants: ['t0', 't99'] }] })
  await expect(migrations.up()).rejects.toMatchObject({
    code: 'TNY420',
    message: expect.stringContaining('a wave names "t99"') as string,
  })
  expect(await applied()).toBe('00000000')
})

test('a gate that is not well ends the run; the next asks it again and goes on from there', async () => {
  let well = false
  const waves = [{ tenants: ['t0', 't1'], gate: { check: () => well, retries: 1, intervalMs: 1 } }]
  const migrations = world.migrations({ waves })
  const report = await migrations.up({ onEvent })
  expect(report.stopped).toMatchObject({ left: 6, error: { code: 'TNY421' } })
  expect(reportFailure(report)?.message).toBe(
    'The run ended after the wave "t0, t1": its gate is not well: it gave false. 6 tenants are left.',
  )
  expect(events.filter(({ type }) => type === 'gate')).toHaveLength(2)
  expect(await applied()).toBe('11000000')
  // Nothing is left of the first wave, and all the same the gate holds the others back.
  expect((await migrations.up()).stopped?.left).toBe(6)
  expect(await applied()).toBe('11000000')
  well = true
  expect(reportFailure(await migrations.up())).toBeUndefined()
  expect(await applied()).toBe('11111111')
  // Where there is nothing to do nobody is asked.
  well = false
  expect(reportFailure(await migrations.up())).toBeUndefined()
})

test('waves can be given for one run, and taken away for one', async () => {
  const waves = [{ tenants: ['t0'], gate: { check: () => false } }]
  const migrations = world.migrations({ waves })
  expect(
    (await migrations.up({ waves: [{ tenants: ['t1'], gate: waves[0]?.gate ?? [] }] })).stopped?.left,
  ).toBe(7)
  expect(await applied()).toBe('01000000')
  expect((await migrations.up({ waves: [] })).stopped).toBeUndefined()
  await expect(migrations.up({ waves: [{}] })).rejects.toMatchObject({ code: 'TNY420' })
})

test('a canary that fails ends the run, unless the wave allows for it', async () => {
  await world.migrations().up()
  await world.database.sql(`insert into ${world.tenants[0]?.home.schema}.log values (null)`)
  await world.folder.write({ '2_strict.sql': 'alter table log alter column step set not null' })
  const waves = [{ name: 'canary', tenants: ['t0', 't1'] }]
  const report = await world.migrations({ waves }).up()
  expect(reportFailure(report)).toMatchObject({
    code: 'TNY421',
    message: 'The run ended after the wave "canary": 1 of its 2 tenants failed. 6 tenants are left.',
  })
  expect(await applied()).toBe('12111111')
  const generous = waves.map((wave) => ({ ...wave, maxFailures: 1 }))
  const second = await world.migrations({ waves: generous }).up({ retry: true })
  expect(reportFailure(second)?.code).toBe('TNY405')
  expect(await applied()).toBe('12222222')
})

test('a pause ends where the signal comes, and what is left is told', async () => {
  const abort = new AbortController()
  const waves = [{ tenants: ['t0'], pauseMs: 600_000 }]
  const report = await world.migrations({ waves }).up({
    signal: abort.signal,
    onEvent: (event) => {
      onEvent(event)
      if (event.type === 'pause') abort.abort()
    },
  })
  expect(reportFailure(report)).toMatchObject({
    code: 'TNY422',
    message: 'The run was stopped: 7 tenants are left.',
  })
  expect(events.at(-1)).toEqual({ type: 'stopping' })
  expect(await applied()).toBe('10000000')
})
