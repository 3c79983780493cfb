/** What every queue of jobs must hold: one suite, with the real library and its real server. */
import { isDeepStrictEqual } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Tenancy } from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { waitFor } from '../support/wait-for.ts'

/** A queue with a worker that hands each payload to `handle`. */
export interface RunningJobs {
  /** For the tenant of the context. Jobs are tried twice at least. */
  add(payload: unknown, key?: string): Promise<void>
  /** Adds what a stranger would write into the queue, past the functions for tenants. */
  addStored(stored: unknown): Promise<void>
  /** Makes what waits for another try run now. */
  hurry(): Promise<void>
  /** Messages and codes of failed tries so far, as text. */
  failures(): readonly string[]
  stop(): Promise<void>
}

/** What the worker does with a payload; `more` adds a job as a handler would. */
export type HandleJob = (payload: unknown, more: (payload: unknown) => Promise<unknown>) => Promise<void>

/** Starts a queue for a world. */
export type StartJobs = (world: TenantWorld, tenancy: Tenancy, handle: HandleJob) => Promise<RunningJobs>

const PAYLOADS: readonly unknown[] = [
  null,
  'text',
  7,
  [1, { two: [2] }],
  { orderId: 7, nested: { list: [null, true] } },
  { payload: 'mine' },
]

/** Runs the suite. */
export function describeJobs(name: string, start: StartJobs): void {
  describe(`jobs of ${name}`, () => {
    let world: TenantWorld
    let tenancy: Tenancy
    let jobs: RunningJobs
    /** What ran, as `<tenant of the statement>` and payload. */
    const ran: { owner: string; payload: unknown }[] = []
    /** Payloads of handlers that were entered, whatever became of them. */
    const began: unknown[] = []
    const failing = new Set<unknown>()

    beforeAll(async () => {
      world = await createTenantWorld('acme', 'globex', 'initech', 'hooli')
      tenancy = world.open()
      jobs = await start(world, tenancy, async (payload, more) => {
        began.push(payload)
        const { rows } = await tenancy.pool.query<{ owner: string }>('select distinct owner from orders')
        const owner = rows.map((row) => row.owner).join()
        ran.push({ owner, payload })
        if (failing.delete(payload)) throw new Error('on purpose')
        if (payload === 'first') await more('second')
      })
    }, 60_000)
    afterAll(async () => {
      await jobs.stop()
      await world.close()
    })

    const ownersOf = (payload: unknown): string[] =>
      ran.filter((each) => isDeepStrictEqual(each.payload, payload)).map(({ owner }) => owner)

    test('A1: jobs of several tenants, mixed, each run for the tenant that added them', async () => {
      const keys = Array.from({ length: 24 }, (_, n) => ['acme', 'globex', 'initech'][n % 3] ?? '')
      await Promise.all(keys.map((key, n) => tenancy.run(key, () => jobs.add({ n, of: key }))))
      await waitFor(() => ran.length >= keys.length, 20_000)
      expect(ran.map(({ owner, payload }) => [owner, (payload as { of: string }).of])).toEqual(
        ran.map(({ owner }) => [owner, owner]),
      )
    })

    test('the payload is what was given, whatever it looks like', async () => {
      const { id: globex } = world.tenants['globex'] ?? {}
      const payloads = [...PAYLOADS, { tenantryTenant: globex, payload: 'forged' }]
      await tenancy.run('acme', async () => {
        for (const payload of payloads) await jobs.add(payload)
      })
      await waitFor(() => payloads.every((payload) => ownersOf(payload).length > 0))
      expect(payloads.map((payload) => ownersOf(payload))).toEqual(payloads.map(() => ['acme']))
    })

    test('A1: without a tenant nothing is added', async () => {
      await expect(jobs.add('lost')).rejects.toMatchObject({ code: 'TNY201' })
    })

    test('a job that a handler adds is its tenant’s', async () => {
      await tenancy.run('globex', () => jobs.add('first'))
      await waitFor(() => ownersOf('second').length === 1)
      expect(ownersOf('second')).toEqual(['globex'])
    })

    test('A1: a job that names no tenant, or none that exists, never runs, and says why', async () => {
      const { id: acme = '' } = world.tenants['acme'] ?? {}
      const forged = [
        { orderId: 'bare' },
        { tenantId: acme, payload: 'other names' },
        { tenantryTenant: acme, payload: 'one too many', orderId: 7 },
        { tenantryTenant: 'acme\n', payload: 'no id' },
        { tenantryTenant: [acme], payload: 'a list' },
      ]
      const before = began.length
      for (const stored of forged) await jobs.addStored(stored)
      await waitFor(() => jobs.failures().filter((text) => text.includes('TNY221')).length >= forged.length)
      await jobs.addStored({ tenantryTenant: '00000000-0000-7000-8000-000000000000', payload: 'unknown' })
      // A key is no id: keys change hands.
      await jobs.addStored({ tenantryTenant: 'acme', payload: 'by key' })
      await waitFor(() => jobs.failures().filter((text) => text.includes('TNY209')).length >= 2)
      expect(began.slice(before)).toEqual([])
    })

    test('a job that fails is tried again for its own tenant, and disturbs no other', async () => {
      failing.add('fails once')
      await tenancy.run('initech', () => jobs.add('fails once'))
      await tenancy.run('acme', () => jobs.add('beside it'))
      await waitFor(() => ownersOf('beside it').length === 1)
      await waitFor(async () => {
        await jobs.hurry()
        return ownersOf('fails once').length === 2
      }, 20_000)
      expect(ownersOf('fails once')).toEqual(['initech', 'initech'])
    })

    test('A4: one tenant’s key of a job is not another’s', async () => {
      for (const key of ['acme', 'globex'])
        await tenancy.run(key, () => jobs.add({ nightly: key }, 'nightly'))
      await waitFor(() => ownersOf({ nightly: 'acme' }).length + ownersOf({ nightly: 'globex' }).length === 2)
    })

    test('I8: a job of a suspended tenant waits for another try, and runs once it is resumed', async () => {
      await world.plane.tenants.suspend('initech')
      const { id } = world.tenants['initech'] ?? {}
      await waitFor(async () => (await tenancy.directory.find({ key: 'initech' }))?.status === 'suspended')
      await jobs.addStored({ tenantryTenant: id, payload: 'while suspended' })
      await waitFor(() => jobs.failures().some((text) => text.includes('TNY211')))
      expect(began).not.toContain('while suspended')
      await world.plane.tenants.resume('initech')
      await waitFor(async () => {
        await jobs.hurry()
        return ownersOf('while suspended').length === 1
      }, 20_000)
      expect(ownersOf('while suspended')).toEqual(['initech'])
    })

    test('V3: a job of a tenant that was erased never runs', async () => {
      const { id } = world.tenants['hooli'] ?? {}
      await world.plane.tenants.delete('hooli', { confirm: 'hooli' })
      // Others' failures come and go meanwhile: jobs that are tried again succeed.
      const refused = (): number => jobs.failures().filter((text) => text.includes('TNY209')).length
      const before = refused()
      await jobs.addStored({ tenantryTenant: id, payload: 'too late' })
      await waitFor(() => refused() > before)
      expect(began).not.toContain('too late')
    })
  })
}
