/** Custom domains over real HTTP, on a real catalog: who is served at which host, and who may have a certificate. */
import express from 'express'
import { createServer, type Server } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { problemHandler, tenantMiddleware } from '../../src/http/express.ts'
import { createDomainAsk, customDomain, firstOf, subdomain, type Tenancy } from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { waitFor } from '../support/wait-for.ts'
import { get, portOf } from './raw-http.ts'

let world: TenantWorld
let tenancy: Tenancy
let service: Server
let asking: Server

beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex', 'sleepy')
  tenancy = world.open()
  await tenancy.ready()
  await waitFor(async () => (await tenancy.health()).listening)
  await prove('acme', 'shop.acme.example')
  await prove('sleepy', 'shop.sleepy.example')
  await world.plane.tenants.suspend('sleepy')
  await world.plane.domains.add('globex', 'claimed.example')

  const app = express()
  const resolve = firstOf(subdomain({ root: 'example.com' }), customDomain())
  app.use(tenantMiddleware(tenancy, { resolve, central: ['/signup'] }))
  app.get('/me', (req, res) => void res.json(req.tenant?.key))
  app.get('/signup', (_req, res) => void res.json('central'))
  app.use(problemHandler({ onError: () => undefined }))
  service = await listen(createServer(app))
  asking = await listen(createServer(createDomainAsk(tenancy, { roots: ['example.com'] }).node))
})
afterAll(async () => {
  for (const server of [service, asking]) await new Promise((resolve) => server.close(resolve))
  await world.close()
})

async function prove(tenant: string, domain: string): Promise<void> {
  const { record } = await world.plane.domains.add(tenant, domain)
  await world.plane.domains.verify(domain, { lookup: async () => [[record.value]] })
}

async function listen(server: Server): Promise<Server> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return server
}

describe('who is served', () => {
  test.each([
    ['shop.acme.example', 'acme'],
    ['SHOP.ACME.EXAMPLE.:80', 'acme'],
    ['acme.example.com', 'acme'],
    ['globex.example.com', 'globex'],
  ])('%s is %s', async (host, key) => {
    const { status, text } = await get(portOf(service), host, '/me')
    expect([status, JSON.parse(text)]).toEqual([200, key])
  })

  test('I3: unknown, claimed, suspended and foreign hosts get one and the same 404', async () => {
    const answers = await Promise.all(
      [
        'shop.nobody.example',
        'claimed.example',
        'shop.sleepy.example',
        'sleepy.example.com',
        'nobody.example.com',
        'a.b.example.com',
        'localhost',
      ].map(async (host) => {
        const { status, headers, text } = await get(portOf(service), host, '/me')
        return JSON.stringify([status, text, { ...headers, date: undefined }])
      }),
    )
    expect(new Set(answers).size).toBe(1)
    expect(answers[0]).toContain('TNY101')
  })

  test('central paths answer on the service’s own host alone', async () => {
    expect((await get(portOf(service), 'example.com', '/signup')).status).toBe(200)
    expect((await get(portOf(service), 'shop.acme.example', '/signup')).status).toBe(404)
    expect((await get(portOf(service), 'shop.nobody.example', '/signup')).status).toBe(404)
  })
})

describe('who may have a certificate', () => {
  const ask = async (query: string, headers = {}): Promise<number> =>
    (await get(portOf(asking), '127.0.0.1', `/${query}`, { headers })).status

  test.each([
    ['shop.acme.example', 200],
    ['SHOP.acme.example', 200],
    ['acme.example.com', 200],
    ['example.com', 200],
    ['claimed.example', 404],
    ['shop.sleepy.example', 404],
    ['sleepy.example.com', 404],
    ['nobody.example.com', 404],
    ['a.acme.example.com', 404],
    ['*.acme.example', 404],
    ['127.0.0.1', 404],
    ['shop.acme.example:443', 404],
    ['', 404],
    ['%00', 404],
    ['a'.repeat(300), 404],
  ])('%s: %i', async (domain, expected) => {
    expect(await ask(`?domain=${domain}`)).toBe(expected)
  })

  test('the hosts of a tenant that is being moved go on getting certificates: its requests wait, and are served', async () => {
    const setStatus = async (status: string): Promise<void> => {
      await world.db.sql(`update tenantry.tenants set status = $2 where id = $1`, [
        world.tenants['globex']?.id,
        status,
      ])
      await waitFor(async () => (await tenancy.directory.find({ key: 'globex' }))?.status === status)
    }
    await setStatus('moving')
    const ask = createDomainAsk(tenancy, { roots: ['example.com'] })
    expect(await ask.allows('globex.example.com')).toBe(true)
    await setStatus('active')
  })

  test('one question at a time, by GET, from whoever asks by itself', async () => {
    const question = '?domain=shop.acme.example'
    expect(await ask(question)).toBe(200)
    expect(await ask(`${question}&domain=shop.acme.example`)).toBe(404)
    expect(await ask('')).toBe(404)
    const byPost = await get(portOf(asking), '127.0.0.1', `/${question}`, { method: 'POST' })
    expect(byPost.status).toBe(404)
    for (const name of ['X-Forwarded-For', 'X-Forwarded-Host', 'Forwarded', 'Via']) {
      expect(await ask(question, { [name]: '203.0.113.9' })).toBe(404)
    }
  })

  test('the same for servers that work with Request and Response; without roots, domains alone', async () => {
    const { fetch, allows } = createDomainAsk(tenancy)
    const answer = await fetch(new Request('http://127.0.0.1/ask?domain=shop.acme.example'))
    expect([answer.status, await answer.text()]).toEqual([200, ''])
    expect((await fetch(new Request('http://127.0.0.1/ask'))).status).toBe(404)
    expect(await allows('acme.example.com')).toBe(false)
  })

  test('503 where the catalog cannot be asked, so that no certificate is refused for good', async () => {
    const lost = world.open({ connection: 'postgres://nobody@127.0.0.1:1/nothing', waitTimeoutMs: 500 })
    const { fetch } = createDomainAsk(lost)
    expect((await fetch(new Request('http://127.0.0.1/?domain=shop.acme.example'))).status).toBe(503)
  })

  test('the catalog is asked once for a host, however often a proxy asks', async () => {
    let flights = 0
    const stop = tenancy.on('flight:done', () => (flights += 1))
    for (let n = 0; n < 20; n += 1) {
      expect(await ask('?domain=often.example')).toBe(404)
      expect(await ask('?domain=shop.acme.example')).toBe(200)
    }
    stop()
    expect(flights).toBe(1)
  })

  test('TNY002 for a root that is no host name', () => {
    for (const root of ['*.example.com', '127.0.0.1', '']) {
      expect(() => createDomainAsk(tenancy, { roots: [root] })).toThrow(
        expect.objectContaining({ code: 'TNY002' }),
      )
    }
  })
})
