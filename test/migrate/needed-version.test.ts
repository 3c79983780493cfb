import express from 'express'
import fc from 'fast-check'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAdmission } from '../../src/http/admission.ts'
import { problemHandler, tenantMiddleware } from '../../src/http/express.ts'
import { createTenancy, header, type Tenancy } from '../../src/index.ts'
import { requireTenantVersion, routeByVersion, versionNumber } from '../../src/migrate/needed-version.ts'
import { createSampleControl, type SampleControl } from '../lifecycle/sample-control.ts'
import { sampleTenancy, sampleTenant } from '../http/sample-tenancy.ts'
import { waitFor } from '../support/wait-for.ts'

let sample: SampleControl
let tenancy: Tenancy
beforeAll(async () => {
  sample = await createSampleControl()
  tenancy = createTenancy({ connection: sample.database.appUrl })
})
afterAll(async () => {
  await tenancy.close()
  await sample.close()
})

/** Moves a head as a migration does: with the news of it, in one commit. */
async function moveTo(version: number, schema: string, { database = '', tenantId = '' } = {}): Promise<void> {
  await sample.database.sql(
    `with moved as (
       insert into tenantry.migration_heads (schema_name, database_name, version) values ($1, $2, $3)
       on conflict (schema_name, database_name) do update set version = excluded.version)
     select pg_notify('tenantry_catalog', $4)`,
    [schema, database, version, tenantId],
  )
}

test('the record says how far a tenant is, and says so again within a second after a migration', async () => {
  const { id, home } = await sample.control.tenants.create({ key: 'acme' })
  await moveTo(1700000000001, home.schema, { tenantId: id })
  expect((await sample.control.tenants.get('acme')).version).toBe(1700000000001)
  expect((await tenancy.run('acme', () => tenancy.requireTenant())).version).toBe(1700000000001)
  await moveTo(1700000000005, home.schema, { tenantId: id })
  const took = await waitFor(
    async () => (await tenancy.directory.find({ key: 'acme' }))?.version === 1700000000005,
  )
  expect(took).toBeLessThan(2_500)
  const listed: number[] = []
  await tenancy.forEachTenant(({ version }) => void listed.push(version))
  expect(listed).toContain(1700000000005)
})

test('tenants that share tables have the version of the pattern, one in a database that of its copy, and none is 0', async () => {
  const { tenants } = sample.control
  const [one, two] = [
    await tenants.create({ key: 'sharing-one', model: 'shared' }),
    await tenants.create({ key: 'sharing-two', model: 'shared' }),
  ]
  // What a schema of the same name would be at is not asked for.
  await moveTo(7, one.home.schema)
  await moveTo(1700000000002, `${one.home.schema}_pattern`)
  for (const { key } of [one, two]) {
    expect((await tenants.get(key)).version).toBe(1700000000002)
    expect((await tenancy.directory.find({ key }))?.version).toBe(1700000000002)
  }
  const { id, home } = await tenants.create({ key: 'elsewhere', model: 'database' })
  await moveTo(7, home.schema)
  await moveTo(1700000000003, home.schema, { database: home.database ?? '', tenantId: id })
  expect((await tenants.get('elsewhere')).version).toBe(1700000000003)
  await sample.database.sql('delete from tenantry.migration_heads')
  expect((await tenants.get('elsewhere')).version).toBe(0)
})

test('I3: the application’s login reads versions, and nothing else of what ran where', async () => {
  await expect(tenancy.central.query('select digest from tenantry.migration_heads')).rejects.toMatchObject({
    code: '42501',
  })
  await expect(tenancy.central.query('select role_name from tenantry.shared_homes')).rejects.toMatchObject({
    code: '42501',
  })
  await expect(tenancy.central.query('select from tenantry.ready_homes')).rejects.toMatchObject({
    code: '42501',
  })
})

test('requests: 503 with Retry-After where a tenant is older, each tenant by its own version, without a restart', async () => {
  const { id, home } = await sample.control.tenants.create({ key: 'rolling' })
  await moveTo(1, home.schema, { tenantId: id })
  const app = express()
  app.use(tenantMiddleware(tenancy, { resolve: header('x-tenant') }))
  app.get('/new', (_req, res) => {
    tenancy.requireVersion('5_split-name')
    res.json('new only')
  })
  app.get(
    '/routed',
    tenancy.byVersion([
      [0, (_req, res) => void res.json('old')],
      [5, (_req, res) => void res.json('new')],
    ]),
  )
  const strict = express()
  strict.use(
    tenantMiddleware(tenancy, { resolve: header('x-tenant'), requireVersion: 5, except: ['/healthz'] }),
  )
  strict.get('/healthz', (_req, res) => void res.json('ok'))
  strict.get('/', (_req, res) => void res.json('served'))
  for (const each of [app, strict]) each.use(problemHandler())
  const servers = [app.listen(0), strict.listen(0)]
  const ports = servers.map((server) => (server.address() as AddressInfo).port)
  const ask = async (server: number, path: string): Promise<[number, string | null, unknown]> => {
    const answer = await fetch(`http://127.0.0.1:${ports[server]}${path}`, {
      headers: { 'x-tenant': 'rolling' },
    })
    return [answer.status, answer.headers.get('retry-after'), await answer.json()]
  }
  try {
    await waitFor(async () => (await tenancy.directory.find({ key: 'rolling' }))?.version === 1)
    expect(await ask(0, '/new')).toEqual([503, '5', { title: 'Service Unavailable', status: 503 }])
    expect(await ask(1, '/')).toEqual([503, '5', { title: 'Service Unavailable', status: 503 }])
    expect(await ask(1, '/healthz')).toEqual([200, null, 'ok'])
    expect(await ask(0, '/routed')).toEqual([200, null, 'old'])
    await moveTo(5, home.schema, { tenantId: id })
    await waitFor(async () => (await tenancy.directory.find({ key: 'rolling' }))?.version === 5)
    expect(await ask(0, '/new')).toEqual([200, null, 'new only'])
    expect(await ask(1, '/')).toEqual([200, null, 'served'])
    expect(await ask(0, '/routed')).toEqual([200, null, 'new'])
  } finally {
    await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  }
})

test('A2: without a tenant there is no version: requireVersion and a routed call throw TNY201', () => {
  expect(() => tenancy.requireVersion(1)).toThrow(expect.objectContaining({ code: 'TNY201' }))
  const routed = tenancy.byVersion([[0, () => 'old']])
  expect(() => routed()).toThrow(expect.objectContaining({ code: 'TNY201' }))
})

test('whatever the routes: the newest that fits is called, and none that needs more', () => {
  const versions = fc.uniqueArray(fc.nat(50), { minLength: 1 })
  fc.assert(
    fc.property(versions, fc.nat(60), (froms, version) => {
      const tenant = { ...sampleTenant('acme'), version }
      const fits = Math.max(...froms.filter((from) => from <= version))
      const routed = routeByVersion(
        () => tenant,
        froms.map((from) => [from, () => from] as const),
      )
      if (fits >= 0) expect(routed()).toBe(fits)
      else expect(routed).toThrow(expect.objectContaining({ code: 'TNY431' }))
    }),
  )
})

test('routes keep arguments and `this`, and what is thrown or promised', async () => {
  const tenant = { ...sampleTenant('acme'), version: 3 }
  const store = {
    prefix: 'p',
    find: routeByVersion(
      () => tenant,
      [
        [
          0,
          async function (this: unknown, id: number) {
            return `${(this as { prefix: string }).prefix}${id}`
          },
        ],
      ],
    ),
  }
  expect(await store.find(7)).toBe('p7')
})

test('TNY431 names both versions; TNY432 for what is none, before anything runs', () => {
  const tenant = { ...sampleTenant('acme'), version: 3 }
  expect(() => requireTenantVersion(tenant, 4)).toThrow(
    expect.objectContaining({ code: 'TNY431', status: 503, retryAfter: 5, tenantId: tenant.id }),
  )
  expect(() => requireTenantVersion(tenant, 4)).toThrow(/is at the migration 3; this needs 4/)
  expect(() => requireTenantVersion(tenant, '3_x')).not.toThrow()
  expect(versionNumber('Migration20240101000000')).toBe(20240101000000)
  for (const wrong of [-1, 1.5, Number.NaN, Infinity, '', 'split-name', '\n', null as never, {} as never]) {
    expect(() => versionNumber(wrong)).toThrow(expect.objectContaining({ code: 'TNY432' }))
    expect(() => createAdmission(sampleTenancy([]), { resolve: header('x'), requireVersion: wrong })).toThrow(
      expect.objectContaining({ code: 'TNY432' }),
    )
  }
  for (const routes of [
    [],
    [
      [1, () => 1],
      ['1_x', () => 2],
    ],
  ] as never[]) {
    expect(() => tenancy.byVersion(routes)).toThrow(expect.objectContaining({ code: 'TNY432' }))
  }
})
