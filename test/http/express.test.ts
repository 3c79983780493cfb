import express from 'express'
import type { Express, Request } from 'express'
import { request, type Server } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { problemHandler, tenantMiddleware, type TenantOptions } from '../../src/http/express.ts'
import { subdomain } from '../../src/resolve/subdomain.ts'
import { describeHttp } from './describe-http.ts'
import { express4Face, express5Face } from './faces/express.ts'
import { get, portOf } from './raw-http.ts'
import { type SampleTenancy, sampleTenancy, sampleTenant } from './sample-tenancy.ts'

describeHttp('Express 5', express5Face, { http2: false })
describeHttp('Express 4', express4Face, { http2: false })

const tenants = [sampleTenant('acme'), sampleTenant('globex'), sampleTenant('sleepy', 'suspended')]

let tenancy: SampleTenancy
let server: Server | undefined
let port: number
let reported: unknown[]

function buildApp(options: Partial<TenantOptions<Request>> = {}): Express {
  const app = express()
  app.use(express.text({ type: 'text/before' }))
  app.use(
    tenantMiddleware(tenancy, {
      resolve: subdomain({ root: 'localhost' }),
      except: ['/healthz', '/assets/*'],
      ...options,
    }),
  )
  app.use(express.json())
  app.use(express.urlencoded())
  app.all('/me', async (req, res) => {
    const before = tenancy.context.find()?.key
    await sleep(1)
    res.json({ before, after: tenancy.context.find()?.key, body: req.body as unknown })
  })
  app.get(['/healthz', '/assets/:file'], (req, res) => {
    res.json({ tenant: tenancy.context.find()?.key ?? null, onRequest: req.tenant ?? null })
  })
  app.post('/events', (req, res) => {
    const find = (): string | null => tenancy.context.find()?.key ?? null
    const bound = tenancy.context.bind(find)
    req.resume().on('end', () => res.json({ plain: find(), bound: bound() }))
  })
  app.get('/half', (_req, res, next) => {
    res.write('half')
    setTimeout(() => {
      next(new Error('late'))
    }, 20)
  })
  app.get('/stale', (_req, res) => {
    res.set({
      'set-cookie': 'a=b',
      etag: '"x"',
      'content-encoding': 'gzip',
      'access-control-allow-origin': '*',
    })
    throw new Error('after headers')
  })
  app.use(problemHandler({ onError: (error) => reported.push(error) }))
  return app
}

async function start(app?: Express): Promise<void> {
  await stop()
  const listening = (app ?? buildApp()).listen(0, '127.0.0.1')
  await new Promise((resolve) => listening.once('listening', resolve))
  server = listening
  port = portOf(listening)
}

async function stop(): Promise<void> {
  await new Promise<unknown>((resolve) => {
    if (server === undefined) return resolve(undefined)
    server.close(resolve)
    return server.closeAllConnections()
  })
}

beforeEach(() => {
  tenancy = sampleTenancy(tenants)
  reported = []
  return start()
})
afterEach(stop)

describe('Express alone', () => {
  test.each([
    ['text/before', 'x'],
    ['application/x-www-form-urlencoded', 'a=1'],
  ])(
    'A1: a body parser for %s keeps the context, before the middleware and behind it',
    async (type, body) => {
      const post = { method: 'POST', body, headers: { 'content-type': type } }
      const { text } = await get(port, 'acme.localhost', '/me', post)
      expect(JSON.parse(text)).toMatchObject({ before: 'acme', after: 'acme' })
      expect(JSON.parse(text).body).toBeDefined()
    },
  )

  test('A1: a listener on the request itself has no context unless it is bound, and never another one', async () => {
    const headers = { host: 'acme.localhost' }
    const req = request({ port, host: '127.0.0.1', path: '/events', method: 'POST', headers })
    const answer = new Promise<string>((resolve) => {
      req.on('response', (res) => res.setEncoding('utf8').on('data', resolve))
    })
    req.write('a')
    await sleep(20)
    req.end('b')
    expect(JSON.parse(await answer)).toEqual({ plain: null, bound: 'acme' })
  })

  test('A1: a context that was there before does not reach requests without a tenant', async () => {
    const outer = express()
    outer.use((_req, _res, next) => {
      tenancy.context.run(tenants[1] as (typeof tenants)[0], next)
    })
    outer.use(buildApp())
    await start(outer)
    const { text } = await get(port, 'acme.localhost', '/healthz')
    expect(JSON.parse(text)).toEqual({ tenant: null, onRequest: null })
  })

  test('I3: isMember reads the request; one that fails counts as no, and only a true counts as yes', async () => {
    const warnings: Error[] = []
    const listen = (warning: Error): number => warnings.push(warning)
    process.on('warning', listen)
    const answer = async (isMember: TenantOptions<Request>['isMember'], authorization = 'sleepy') => {
      await start(buildApp({ isMember: isMember as NonNullable<typeof isMember> }))
      return (await get(port, 'sleepy.localhost', '/me', { headers: { authorization } })).status
    }
    const byToken = (req: Request, { key }: { key: string }): boolean => req.get('authorization') === key
    expect(await answer(byToken)).toBe(403)
    expect(await answer(byToken, 'globex')).toBe(404)
    expect(await answer(() => Promise.reject(new Error('session store away')))).toBe(404)
    expect(await answer(() => 'sleepy' as unknown as boolean)).toBe(404)
    process.off('warning', listen)
    expect(warnings.map(({ message }) => message)).toContain('session store away')
  })

  test('mounted below a path, the rest of the path is rewritten', async () => {
    const resolve = Object.assign(() => ({ key: 'acme' }), {
      rewrite: (target: string) => target.replace('/api/t/acme', '/api'),
    })
    const outer = express()
    outer.use('/api', buildApp({ resolve }))
    await start(outer)
    expect(await get(port, 'any', '/api/t/acme/me')).toMatchObject({ status: 200 })
    expect(await get(port, 'any', '/api/me')).toMatchObject({ status: 200 })
  })
})

describe('problemHandler of Express', () => {
  test('errors of Express and its parsers are problems too', async () => {
    const json = { 'content-type': 'application/json' }
    const broken = await get(port, 'acme.localhost', '/me', { method: 'POST', body: '{', headers: json })
    expect([broken.status, broken.headers['content-type']]).toEqual([400, 'application/problem+json'])
    expect(broken.text).not.toMatch(/at .*\.js/)
    const body = `"${'x'.repeat(200_000)}"`
    const large = await get(port, 'acme.localhost', '/me', { method: 'POST', body, headers: json })
    expect(large.status).toBe(413)
    const undecodable = await get(port, 'acme.localhost', '/assets/%zz')
    expect([undecodable.status, undecodable.text]).toEqual([400, '{"title":"Bad Request","status":400}'])
    expect(reported).toEqual([])
  })

  test('an error after the answer has begun cuts it', async () => {
    await expect(get(port, 'acme.localhost', '/half')).rejects.toThrow('aborted')
    expect(reported).toEqual([expect.objectContaining({ message: 'late' })])
  })

  test('headers of the answer that did not come are gone, those for browsers stay', async () => {
    const { headers } = await get(port, 'acme.localhost', '/stale')
    expect(headers).toMatchObject({ 'access-control-allow-origin': '*' })
    for (const name of ['set-cookie', 'etag', 'content-encoding']) expect(headers).not.toHaveProperty(name)
  })
})
