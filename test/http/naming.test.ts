/** Requests that name their tenant by path, cookie, token and API key, over HTTP: what handlers get, and what strangers see. */
import express from 'express'
import type { Express, Request } from 'express'
import { createSecretKey } from 'node:crypto'
import type { Server } from 'node:http'
import { afterEach, describe, expect, test } from 'vitest'
import type { AdmissionOptions } from '../../src/http/admission.ts'
import { problemHandler, tenantMiddleware } from '../../src/http/express.ts'
import { apiKey } from '../../src/resolve/api-key.ts'
import { allMustAgree, firstOf } from '../../src/resolve/combine.ts'
import { cookie } from '../../src/resolve/cookie.ts'
import { credentialOf, requireScope } from '../../src/resolve/credential.ts'
import { jwt } from '../../src/resolve/jwt.ts'
import { pathPrefix } from '../../src/resolve/path-prefix.ts'
import { subdomain } from '../../src/resolve/subdomain.ts'
import { sampleKeys } from '../resolve/sample-keys.ts'
import { AUDIENCE, claimsOf, ISSUER, sign } from '../resolve/sample-tokens.ts'
import { type Answer, exchange, get, portOf, statuses } from './raw-http.ts'
import { sampleTenancy, sampleTenant } from './sample-tenancy.ts'

const SECRET = Buffer.alloc(32, 5)
const tenancy = sampleTenancy([
  sampleTenant('acme', 'active', ['acme-old']),
  sampleTenant('globex'),
  sampleTenant('sleepy', 'suspended'),
])
const keys = sampleKeys({ late: true })
const byPath = pathPrefix({ prefix: '/t' })
const byHost = subdomain({ root: 'localhost' })
const byToken = jwt({ secret: SECRET, issuer: ISSUER, audience: AUDIENCE })
const byKey = apiKey({ apiKeys: keys })

const tokenFor = async (key: string, others = {}): Promise<Record<string, string>> => {
  const token = await sign(claimsOf(`id-of-${key}`, others), createSecretKey(SECRET), { alg: 'HS256' })
  return { authorization: `Bearer ${token}` }
}

let server: Server
let port: number
let reported: unknown[]
afterEach(async () => {
  await new Promise((done) => server.close(done))
  expect(reported).toEqual([])
})

async function start(options: AdmissionOptions<Request>): Promise<void> {
  reported = []
  const app: Express = express()
  app.use(tenantMiddleware(tenancy, options))
  app.use((req, _res, next) => {
    req.url = options.resolve.rewrite?.(req.url) ?? req.url
    next()
  })
  app.get(['/me', '/signup', '/t/:key'], (req, res) => {
    res.json({
      tenant: tenancy.context.find()?.key ?? null,
      url: req.url,
      credential: credentialOf(req)?.kind,
    })
  })
  app.get('/orders', (req, res) => {
    requireScope(req, 'orders:read')
    res.json([])
  })
  app.use(problemHandler({ onError: (error) => reported.push(error) }))
  server = app.listen(0, '127.0.0.1')
  await new Promise((done) => server.once('listening', done))
  port = portOf(server)
}

const body = ({ text }: Answer): unknown => JSON.parse(text)

describe('by path', () => {
  const options: AdmissionOptions<Request> = { resolve: firstOf(byPath, byHost) }

  test('the route is what stands behind the tenant', async () => {
    await start(options)
    expect(body(await get(port, 'localhost', '/t/acme/me?x=1'))).toEqual({ tenant: 'acme', url: '/me?x=1' })
    expect(body(await get(port, 'acme.localhost', '/me'))).toEqual({ tenant: 'acme', url: '/me' })
    expect((await get(port, 'localhost', '/t/acme')).status).toBe(404)
    expect((await get(port, 'localhost', '/t/nobody/me')).status).toBe(404)
    const absolute = await exchange(
      port,
      'GET http://localhost/t/globex/me HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n',
    )
    expect(absolute).toContain('"tenant":"globex"')
  })

  test('I2: no central route is served in the context of a tenant', async () => {
    await start({ ...options, central: ['/signup'] })
    expect(body(await get(port, 'localhost', '/signup'))).toMatchObject({ tenant: null })
    // The unsafe control: to the router, and so to rules that see only what came, this is /signup.
    expect(byPath.rewrite?.('/t/acme/signup')).toBe('/signup')
    for (const path of ['/t/acme/signup', '/t/acme/SIGNUP/', '/t/acme/%73ignup', '/t/acme/x/../signup'])
      expect([path, (await get(port, 'localhost', path)).status]).toEqual([path, 404])
  })

  test('I2: no route of a tenant is served without it, whatever the rules say of the path that came', async () => {
    const rules = { central: ['/t/*'], except: ['/t/acme/me'] }
    for (const resolve of [options.resolve, allMustAgree(byHost, byPath)]) {
      await start({ resolve, ...rules })
      for (const path of ['/t/acme/me', '/t/globex/me'])
        expect([path, (await get(port, 'localhost', path)).status]).toEqual([path, 404])
      await new Promise((done) => server.close(done))
    }
    await start(options)
  })

  test('I2: devious paths are a 400 on the wire', async () => {
    await start(options)
    const paths = [
      '//t/acme/me',
      '/t//acme/me',
      '/T/acme/me',
      '/t/acme/../globex/me',
      '/t/acme/%2e%2e/globex/me',
      '/t/%61cme/me',
      '/t/acme;x/me',
      '/t/acme/t/globex/me',
      '/t/acme//me',
      '/x/../t/acme/me',
    ]
    const text = paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`).join('')
    const received = await exchange(
      port,
      `${text}GET /t/acme/me HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`,
    )
    expect(statuses(received)).toEqual([...paths.map(() => 400), 200])
  })
})

describe('by token and host', () => {
  test('I1: the tenant of the token must be that of the host, whatever each calls it', async () => {
    await start({ resolve: allMustAgree(byHost, byToken) })
    const headers = await tokenFor('acme')
    for (const host of ['acme.localhost', 'acme-old.localhost'])
      expect(body(await get(port, host, '/me', { headers }))).toMatchObject({
        tenant: 'acme',
        credential: 'jwt',
      })
    expect(body(await get(port, 'acme.localhost', '/me'))).toEqual({ tenant: 'acme', url: '/me' })
    expect((await get(port, 'globex.localhost', '/me', { headers })).status).toBe(400)
    // The unsafe control: where the first decides, the host's tenant is served to the bearer of another's token.
    const careless = firstOf(byHost, byToken)
    expect(
      await careless({
        header: () => [],
        host: () => ({ name: 'globex.localhost', isAddress: false }),
        raw: {},
        target: '/',
      }),
    ).toEqual({ key: 'globex' })
  })

  test('I3: a token tells strangers nothing about tenants: neither an invalid one nor a valid one elsewhere', async () => {
    await start({ resolve: allMustAgree(byHost, byToken) })
    const answers = async (headers: Record<string, string>): Promise<Answer[]> =>
      Promise.all(
        ['acme', 'sleepy', 'nobody'].map(async (key) => {
          const { status, headers: sent, text } = await get(port, `${key}.localhost`, '/me', { headers })
          return { status, text, headers: { ...sent, date: '' } }
        }),
      )
    const [first, ...others] = await answers(await tokenFor('acme', { exp: 1 }))
    expect(first?.status).toBe(401)
    expect(others).toEqual([first, first])
    const [elsewhere, ...alike] = await answers(await tokenFor('globex'))
    expect(elsewhere?.status).toBe(400)
    expect(alike).toEqual([elsewhere, elsewhere])
  })

  test('members of a suspended tenant, known by their token, learn its status', async () => {
    await start({
      resolve: allMustAgree(byHost, byToken),
      isMember(req, { id }) {
        const credential = credentialOf(req)
        return credential?.kind === 'jwt' && credential.claims['tenant'] === id
      },
    })
    expect((await get(port, 'sleepy.localhost', '/me', { headers: await tokenFor('sleepy') })).status).toBe(
      403,
    )
    expect((await get(port, 'sleepy.localhost', '/me')).status).toBe(404)
  })
})

describe('by API key or token', () => {
  test('a handler reads what was verified, and demands scopes', async () => {
    await start({ resolve: firstOf(byKey, byToken) })
    const bearerOf = (secret: string): { headers: Record<string, string> } => ({
      headers: { authorization: `Bearer ${secret}` },
    })
    const reader = bearerOf(keys.issue('id-of-globex', { scopes: ['orders:read'] }))
    expect(body(await get(port, 'any', '/me', reader))).toMatchObject({
      tenant: 'globex',
      credential: 'apiKey',
    })
    expect((await get(port, 'any', '/orders', reader)).status).toBe(200)
    expect(body(await get(port, 'any', '/me', { headers: await tokenFor('acme') }))).toMatchObject({
      tenant: 'acme',
      credential: 'jwt',
    })

    const scopeless = await get(port, 'any', '/orders', bearerOf(keys.issue('id-of-globex')))
    expect([scopeless.status, scopeless.headers['www-authenticate']]).toEqual([
      403,
      'Bearer error="insufficient_scope"',
    ])
    expect(body(scopeless)).toEqual({
      type: 'urn:tenantry:TNY115',
      title: 'Forbidden',
      status: 403,
      code: 'TNY115',
      detail: 'The token or API key does not have the scope "orders:read".',
    })
    const unknown = await get(port, 'any', '/orders', bearerOf('tny_unknown'))
    const forged = await get(port, 'any', '/orders', bearerOf('a.b.c'))
    expect([unknown.status, unknown.headers['www-authenticate']]).toEqual([
      401,
      'Bearer error="invalid_token"',
    ])
    expect([forged.status, forged.text]).toEqual([401, unknown.text])
    expect(body(unknown)).toMatchObject({ code: 'TNY113', detail: 'The token or API key is not valid.' })
    expect((await get(port, 'any', '/orders')).status).toBe(404)
  })

  test('a handler that nobody may reach without one says so', async () => {
    await start({ resolve: allMustAgree(byHost, firstOf(byKey, byToken)) })
    const none = await get(port, 'acme.localhost', '/orders')
    expect([none.status, none.headers['www-authenticate']]).toEqual([401, 'Bearer'])
  })
})

test('by cookie, beside the host', async () => {
  await start({ resolve: firstOf(cookie('tenant'), byHost) })
  const headers = { cookie: 'a=b; tenant=globex' }
  expect(body(await get(port, 'acme.localhost', '/me', { headers }))).toMatchObject({ tenant: 'globex' })
  expect(
    (await get(port, 'acme.localhost', '/me', { headers: { cookie: 'tenant=globex; tenant=acme' } })).status,
  ).toBe(400)
})
