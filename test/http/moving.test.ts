/** A tenant that is being moved, in a real catalog: requests and jobs wait until its status changes. */
import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { LookupLine } from '../../src/catalog/lookup-line.ts'
import { TenantCache } from '../../src/catalog/tenant-cache.ts'
import { withTenant } from '../../src/http/node.ts'
import {
  subdomain,
  type Tenancy,
  type TenancyOptions,
  type Tenant,
  type TenantStatus,
} from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { BUSY_MS, waitFor } from '../support/wait-for.ts'
import { listen, type Running } from './faces/site.ts'
import { get, portOf } from './raw-http.ts'

let world: TenantWorld
let running: Running | undefined
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
})
afterAll(() => world.close())
afterEach(async () => {
  await running?.close()
  running = undefined
  await become('active')
})

async function become(status: TenantStatus): Promise<void> {
  await world.db.sql(
    `update tenantry.tenants set status = '${status}' where id = '${world.tenants['acme']?.id}'`,
  )
}

/** A tenancy that knows of the move, and how many look-ups of a tenant its catalog has seen since. */
async function opened(options?: TenancyOptions): Promise<Tenancy> {
  const tenancy = world.open(options)
  await tenancy.ready()
  await waitFor(async () => (await tenancy.health()).listening)
  await become('moving')
  await waitFor(async () => (await tenancy.directory.find({ key: 'acme' }))?.status === 'moving')
  return tenancy
}

async function serve(tenancy: Tenancy): Promise<number> {
  const resolve = subdomain({ root: 'localhost' })
  const listener = withTenant(tenancy, { resolve, onError: () => undefined }, async (_req, res) => {
    const { rows } = await tenancy.pool.query('select min(owner) as owner from orders')
    res.end(String(rows[0]?.['owner']))
  })
  running = await listen(createServer(listener))
  return portOf(running.server)
}

/** Whether a promise is still open after a while in which it could have ended. */
async function waits(...promises: Promise<unknown>[]): Promise<boolean> {
  const ended = Promise.race(promises.map((promise) => promise.then(() => false)))
  return Promise.race([ended, sleep(300).then(() => true)])
}

test('requests and jobs wait for the end of the move, and go on as soon as it is heard of', async () => {
  const tenancy = await opened({ movingTimeoutMs: 60_000 })
  const port = await serve(tenancy)
  const requests = Array.from({ length: 20 }, () => get(port, 'acme.localhost', '/'))
  const job = tenancy.run(
    'acme',
    async () => (await tenancy.pool.query('select min(owner) as owner from orders')).rows,
  )
  expect(await waits(...requests, job)).toBe(true)
  expect((await get(port, 'globex.localhost', '/')).text).toBe('globex')
  await become('active')
  const startedAt = performance.now()
  for (const { status, text } of await Promise.all(requests)) expect([status, text]).toEqual([200, 'acme'])
  expect(await job).toEqual([{ owner: 'acme' }])
  expect(performance.now() - startedAt).toBeLessThan(1_000 + BUSY_MS)
})

test('I8: a tenant that is suspended at the end of its move is not served', async () => {
  const tenancy = await opened()
  const port = await serve(tenancy)
  const [request, job] = [get(port, 'acme.localhost', '/'), tenancy.run('acme', () => 1)]
  expect(
    await waits(
      request,
      job.catch(() => 0),
    ),
  ).toBe(true)
  await become('suspended')
  const unknown = await get(port, 'nobody.localhost', '/')
  expect({ ...(await request), headers: {} }).toEqual({ ...unknown, headers: {} })
  await expect(job).rejects.toMatchObject({ code: 'TNY211' })
})

test('past the deadline it is TNY108, for jobs at once where they are not to wait; closing ends every wait', async () => {
  const impatient = await opened({ movingTimeoutMs: 0 })
  await expect(impatient.run('acme', () => 1)).rejects.toMatchObject({ code: 'TNY108', status: 503 })
  // A statement of a tenant that was let in before the move.
  await expect(impatient.poolFor('acme').query('select 1')).rejects.toMatchObject({ code: 'TNY108' })
  const port = await serve(impatient)
  expect(await get(port, 'acme.localhost', '/')).toMatchObject({
    status: 503,
    headers: { 'retry-after': '1' },
    text: '{"title":"Service Unavailable","status":503}',
  })

  const patient = await opened({ movingTimeoutMs: 60_000 })
  const job = patient.run('acme', () => 1)
  const client = new AbortController()
  const left = patient.run('acme', () => 1, { signal: client.signal })
  expect(
    await waits(
      job.catch(() => 0),
      left.catch(() => 0),
    ),
  ).toBe(true)
  client.abort(new Error('gone'))
  await expect(left).rejects.toThrow('gone')
  await patient.close()
  await expect(job).rejects.toMatchObject({ code: 'TNY106' })
})

test('the end of a move is found without hearing of it, within a second or so', async () => {
  const moving = { ...(world.tenants['acme'] as Tenant), status: 'moving' as TenantStatus }
  let loads = 0
  let status: TenantStatus = 'moving'
  const deaf = new TenantCache({
    async load() {
      loads += 1
      const tenant = { ...moving, status }
      await sleep(5)
      return tenant
    },
    isCurrent: () => false,
    max: 10,
    line: new LookupLine({ atOnce: 2, waiting: 100 }),
  })
  const waiting = Promise.all(
    Array.from({ length: 100 }, async (_, index) => {
      await sleep(index)
      return deaf.settled({ id: moving.id })
    }),
  )
  await sleep(300)
  loads = 0
  status = 'active'
  expect((await waiting).every((tenant) => tenant?.status === 'active')).toBe(true)
  // Those who wait look together.
  expect(loads).toBeLessThan(5)
})

test('a change that is heard of is looked at without delay, and other tenants’ changes are not', async () => {
  const moving = { ...(world.tenants['acme'] as Tenant), status: 'moving' as TenantStatus }
  let loads = 0
  let status: TenantStatus = 'moving'
  const cache = new TenantCache({
    async load() {
      loads += 1
      return Promise.resolve({ ...moving, status })
    },
    isCurrent: () => true,
    max: 10,
    line: new LookupLine({ atOnce: 2, waiting: 100 }),
  })
  const waiting = cache.settled({ id: moving.id })
  await sleep(10)
  cache.changed({ tenantId: 'somebody else', name: undefined })
  await sleep(10)
  expect(loads).toBe(1)
  status = 'active'
  cache.changed({ tenantId: moving.id, name: undefined })
  // The next look without having heard would come after a second.
  expect(await Promise.race([waiting, sleep(500)])).toMatchObject({ status: 'active' })
})

test('only so many wait for one tenant, and those who leave make room; other tenants have room of their own', async () => {
  const tenant = (id: string): Tenant => ({ ...(world.tenants['acme'] as Tenant), id, status: 'moving' })
  const cache = new TenantCache({
    load: async (ref) => Promise.resolve(tenant('id' in ref ? ref.id : '')),
    isCurrent: () => true,
    max: 10,
    line: new LookupLine({ atOnce: 2, waiting: 100 }),
    movingTimeoutMs: 60_000,
    maxMoveWaits: 2,
  })
  const clients = [new AbortController(), new AbortController(), new AbortController()]
  const waiting = ['one', 'one', 'two'].map((id, n) =>
    cache.settled({ id }, clients[n]?.signal).catch(() => 'ended'),
  )
  await sleep(10)
  await expect(cache.settled({ id: 'one' })).rejects.toMatchObject({ code: 'TNY108' })
  clients[0]?.abort()
  expect(await waiting[0]).toBe('ended')
  const next = cache.settled({ id: 'one' }).catch(() => 'ended')
  expect(await waits(next, ...waiting.slice(1))).toBe(true)
  cache.close()
  expect(await Promise.all([next, ...waiting])).toEqual(['ended', 'ended', 'ended', 'ended'])
})
