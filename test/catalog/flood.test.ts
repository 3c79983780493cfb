/** A process that is asked for names that nobody has, on a real catalog. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenancy, TenantDomain } from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { BUSY_MS, waitFor } from '../support/wait-for.ts'

let world: TenantWorld
beforeAll(async () => {
  world = await createTenantWorld('acme')
})
afterAll(() => world.close())

/** THREATS I8: effective within a second everywhere. */
const ONE_SECOND = 1_000 + BUSY_MS

async function listening(): Promise<Tenancy> {
  const tenancy = world.open()
  await tenancy.ready()
  await waitFor(async () => (await tenancy.health()).listening)
  return tenancy
}

/** How the look-ups of so many names ended, and how many connections they held at most. */
async function flood(tenancy: Tenancy, find: (n: number) => Promise<unknown>): Promise<[string[], number]> {
  let held = 0
  let most = 0
  tenancy.on('connection:acquired', () => (most = Math.max(most, (held += 1))))
  tenancy.on('flight:done', () => (held -= 1))
  const outcomes = await Promise.allSettled(Array.from({ length: 5_000 }, (_, n) => find(n)))
  const codes = outcomes.map((outcome) =>
    outcome.status === 'rejected' ? (outcome.reason as { code: string }).code : 'absent',
  )
  return [[...new Set(codes)].sort(), most]
}

test('a flood of names takes a few connections at most, and what waits too long in line is told so', async () => {
  const tenancy = await listening()
  const [codes, held] = await flood(tenancy, (n) => tenancy.directory.find({ domain: `a${n}.flood.example` }))
  expect(codes).toEqual(['TNY112', 'absent'])
  expect(held).toBe(3)
})

test('the unsafe control: without the line it takes all of them', async () => {
  const tenancy = await listening()
  const [, held] = await flood(tenancy, (n) =>
    tenancy.central.query('select from tenantry.domains where domain = $1', [`a${n}.flood.example`]),
  )
  expect(held).toBeGreaterThan(6)
})

test('tenants are served all the while, and a name that was just refused is served at once when it is taken', async () => {
  const tenancy = await listening()
  await tenancy.run('acme', () => tenancy.pool.query('select 1'))
  let stop = false
  const flooding = Promise.all(
    Array.from({ length: 50 }, async (_, n) => {
      for (let round = 0; !stop; round += 1) {
        await tenancy.directory.find({ key: `stranger-${n}-${round}` }).catch(() => undefined)
      }
    }),
  )
  try {
    expect(await tenancy.directory.find({ key: 'newcomer' })).toBeUndefined()
    for (let n = 0; n < 50; n += 1) await tenancy.run('acme', () => tenancy.pool.query('select 1'))
    await world.plane.tenants.create({ key: 'newcomer' })
    const tookMs = await waitFor(
      async () => (await tenancy.directory.find({ key: 'newcomer' })) !== undefined,
    )
    expect(tookMs).toBeLessThan(ONE_SECOND)
  } finally {
    stop = true
    await flooding
  }
})

test('I8: a domain names its tenant within a second of its proof, and no longer within a second of its end', async () => {
  const tenancy = await listening()
  const find = async (domain: string): Promise<string | undefined> =>
    (await tenancy.directory.find({ domain }))?.key
  const lookup = async (): Promise<string[][]> => [[claim.record.value]]
  expect(await find('shop.acme.example')).toBeUndefined()
  const claim: TenantDomain = await world.plane.domains.add('acme', 'shop.acme.example')
  expect(await find('shop.acme.example')).toBeUndefined()
  await world.plane.domains.verify('shop.acme.example', { lookup })
  expect(await waitFor(async () => (await find('shop.acme.example')) === 'acme')).toBeLessThan(ONE_SECOND)
  // One object for every name of it, so that its connections and its proof are one too.
  expect(await tenancy.directory.find({ domain: 'shop.acme.example' })).toBe(
    await tenancy.directory.find({ key: 'acme' }),
  )
  await world.plane.domains.remove('acme', 'shop.acme.example')
  expect(await waitFor(async () => (await find('shop.acme.example')) === undefined)).toBeLessThan(ONE_SECOND)
  expect(await find('SHOP.acme.example')).toBeUndefined()
  expect(await find('a'.repeat(1_000_000))).toBeUndefined()
})
