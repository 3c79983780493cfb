import express from 'express'
import type { Express, Request } from 'express'
import fc from 'fast-check'
import type { Server } from 'node:http'
import { Agent, request } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { TenantryError } from '../../src/core/errors.ts'
import type { AdmissionOptions } from '../../src/http/admission.ts'
import { problemHandler, tenantMiddleware } from '../../src/http/express.ts'
import { allMustAgree } from '../../src/resolve/combine.ts'
import { header } from '../../src/resolve/header.ts'
import { subdomain } from '../../src/resolve/subdomain.ts'
import { exchange, get, portOf, statuses } from './raw-http.ts'
import { sampleTenancy, sampleTenant } from './sample-tenancy.ts'

const tenants = [
  sampleTenant('acme', 'active', ['acme-old']),
  sampleTenant('globex'),
  sampleTenant('sleepy', 'suspended', ['sleepy-old']),
  sampleTenant('newborn', 'provisioning'),
  sampleTenant('nomad', 'moving'),
  sampleTenant('attic', 'archived'),
  sampleTenant('ghost', 'erased'),
]
const OTHERS = tenants.filter((tenant) => tenant.status !== 'active')

let tenancy: ReturnType<typeof sampleTenancy>
let server: Server
let port: number
let reported: unknown[]

function buildApp(options: Partial<AdmissionOptions<Request>> = {}): Express {
  const app = express()
  app.use(express.text({ type: 'text/before' }))
  app.use(
    tenantMiddleware(tenancy, {
      resolve: subdomain({ root: 'localhost' }),
      except: ['/healthz', '/assets/*'],
      central: ['/signup'],
      ...options,
    }),
  )
  app.use(express.json())
  app.use(express.urlencoded())
  app.all('/me', async (req, res) => {
    const before = tenancy.context.find()?.key
    await new Promise((resolve) => setTimeout(resolve, Number(req.query['wait'] ?? 0)))
    res.json({
      before,
      after: tenancy.context.find()?.key,
      onRequest: req.tenant?.key,
      id: req.tenantId,
      body: req.body,
    })
  })
  app.get(['/healthz', '/assets/:file', '/signup', '/SIGNUP'], (req, res) => {
    res.json({ tenant: tenancy.context.find()?.key ?? null, onRequest: req.tenant ?? null })
  })
  app.post('/events', (req, res) => {
    const find = (): string | null => tenancy.context.find()?.key ?? null
    const bound = tenancy.context.bind(find)
    req.resume().on('end', () => res.json({ plain: find(), bound: bound() }))
  })
  app.get('/fails', () => {
    throw new Error('the secret of globex')
  })
  app.get('/away', async () => Promise.reject(new TenantryError('TNY202', { cause: new Error('10.0.0.1') })))
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

async function start(options?: Partial<AdmissionOptions<Request>>): Promise<void> {
  await stop()
  tenancy = sampleTenancy(tenants)
  reported = []
  await new Promise<void>((resolve) => {
    server = buildApp(options).listen(0, '127.0.0.1', () => {
      resolve()
    })
  })
  port = portOf(server)
}

async function stop(): Promise<void> {
  if (server === undefined || !server.listening) return
  await new Promise((resolve) => {
    server.close(resolve)
    server.closeAllConnections()
  })
}

beforeEach(() => start())
afterEach(stop)

/** An answer without what differs between any two: the date. */
async function comparable(host: string, path = '/me'): Promise<unknown> {
  const { headers, ...rest } = await get(port, host, path)
  return { ...rest, headers: { ...headers, date: undefined } }
}

describe('who is served', () => {
  test('an active tenant, in its context, on the request, by key or alias', async () => {
    for (const host of ['acme.localhost', 'ACME.localhost.:80', 'acme-old.localhost']) {
      const { status, text } = await get(port, host, '/me')
      expect(status).toBe(200)
      expect(JSON.parse(text)).toEqual({ before: 'acme', after: 'acme', onRequest: 'acme', id: 'id-of-acme' })
    }
  })

  test('except paths are served on every host, without a tenant and without a look-up', async () => {
    for (const host of [
      'acme.localhost',
      'localhost',
      '127.0.0.1',
      '[::1]',
      'example.org',
      'sleepy.localhost',
      'a b',
    ]) {
      for (const path of ['/healthz', '/healthz/', '/assets/a']) {
        const { status, text } = await get(port, host, path)
        expect([host, status, text]).toEqual([host, 200, '{"tenant":null,"onRequest":null}'])
      }
    }
    expect(tenancy.asked).toEqual([])
  })

  test('central paths are served where no tenant is named, and nowhere else', async () => {
    for (const host of ['localhost', '127.0.0.1', '[::1]:80']) {
      expect(await get(port, host, '/signup')).toMatchObject({
        status: 200,
        text: '{"tenant":null,"onRequest":null}',
      })
    }
    for (const host of ['acme.localhost', 'unknown.localhost', 'sleepy.localhost', 'example.org']) {
      for (const path of ['/signup', '/signup/', '/SIGNUP', '//signup', '/x/../signup', '/sign%75p']) {
        expect(await get(port, host, path)).toMatchObject({ status: 404 })
      }
    }
    expect(tenancy.asked).toEqual([])
  })

  test('I2: other paths on hosts that name no tenant are refused, and no spelling smuggles them in', async () => {
    for (const host of ['localhost', '127.0.0.1', 'example.org', 'a.b.localhost']) {
      for (const path of [
        '/me',
        '/healthz/../me',
        '//me',
        '/assets/../me',
        '/assets/%2e%2e/me',
        '/signup/../me',
      ]) {
        const { status, text } = await get(port, host, path)
        expect([host, path, status, JSON.parse(text).code]).toEqual([host, path, 404, 'TNY101'])
      }
    }
  })

  test('HEAD and OPTIONS go the same way', async () => {
    const head = await get(port, 'acme.localhost', '/me', { method: 'HEAD' })
    expect([head.status, head.text]).toEqual([200, ''])
    const options = await get(port, 'acme.localhost', '/me', { method: 'OPTIONS' })
    expect(JSON.parse(options.text)).toMatchObject({ after: 'acme' })
    const refused = await get(port, 'nobody.localhost', '/me', { method: 'HEAD' })
    expect([refused.status, refused.text]).toEqual([404, ''])
    const asterisk = await exchange(
      port,
      'OPTIONS * HTTP/1.1\r\nHost: nobody.localhost\r\nConnection: close\r\n\r\n',
    )
    expect(statuses(asterisk)).toEqual([404])
  })
})

describe('who is refused', () => {
  test.each(OTHERS.map(({ status, key }) => [status, key]))(
    'I3: to strangers, a tenant that is %s looks unknown',
    async (_, key) => {
      const unknown = await comparable('nobody.localhost')
      expect(await comparable(`${key}.localhost`)).toEqual(unknown)
      expect(unknown).toMatchObject({ status: 404 })
      // The same work too: one look-up each.
      expect(tenancy.asked).toEqual([{ key: 'nobody' }, { key }])
    },
  )

  test.each(OTHERS.map(({ status, key }) => [status, key]))(
    'I3: its members learn that it is %s',
    async (status, key) => {
      await start({
        isMember: async (req, tenant) => Promise.resolve(req.get('authorization') === tenant.key),
      })
      const { status: code, text } = await get(port, `${key}.localhost`, '/me', {
        headers: { authorization: key },
      })
      expect(code).toBe(403)
      expect(JSON.parse(text)).toMatchObject({ code: 'TNY103', detail: `This account is ${status}.` })
      const stranger = await get(port, `${key}.localhost`, '/me', { headers: { authorization: 'globex' } })
      expect(stranger.status).toBe(404)
    },
  )

  test('I3: isMember that fails counts as no, and only a true counts as yes', async () => {
    const warnings: Error[] = []
    const listen = (warning: Error): number => warnings.push(warning)
    process.on('warning', listen)
    await start({ isMember: () => Promise.reject(new Error('session store away')) })
    const unknown = await comparable('nobody.localhost')
    expect(await comparable('sleepy.localhost')).toEqual(unknown)
    await start({ isMember: () => 'globex' as unknown as boolean })
    expect(await comparable('sleepy.localhost')).toEqual(unknown)
    process.off('warning', listen)
    expect(warnings.map(({ message }) => message)).toContain('session store away')
  })

  test('I7: an invalid key is a 400, before any look-up', async () => {
    for (const host of [
      'a--b.localhost',
      'a_b.localhost',
      `${'a'.repeat(49)}.localhost`,
      'acme.localhost@x',
      "a'.localhost",
    ]) {
      const { status, text } = await get(port, host, '/me')
      expect([host, status, JSON.parse(text).code]).toEqual([host, 400, 'TNY102'])
    }
    expect(tenancy.asked).toEqual([])
  })

  test('I2: duplicate, missing and contradictory hosts are refused', async () => {
    const cases: [string, number][] = [
      ['GET /me HTTP/1.1\r\nHost: acme.localhost\r\nHost: globex.localhost', 400],
      ['GET /me HTTP/1.1\r\nHost: acme.localhost\r\nHost: acme.localhost', 400],
      ['GET /me HTTP/1.1\r\nX: y', 400],
      ['GET /me HTTP/1.0\r\nX: y', 400],
      ['GET http://globex.localhost/me HTTP/1.1\r\nHost: acme.localhost', 400],
      ['GET http://acme.localhost/me HTTP/1.1\r\nHost: ACME.localhost:80', 200],
      ['GET http://acme.localhost@globex.localhost/me HTTP/1.1\r\nHost: acme.localhost', 400],
    ]
    for (const [head, status] of cases) {
      const received = await exchange(port, `${head}\r\nConnection: close\r\n\r\n`)
      expect([head, ...statuses(received)]).toEqual([head, status])
      expect(received).not.toContain('globex"')
    }
  })

  test('I1: X-Forwarded-Host counts from a trusted proxy only, whatever Express trusts', async () => {
    const forged = { headers: { 'x-forwarded-host': 'globex.localhost' } }
    expect(JSON.parse((await get(port, 'acme.localhost', '/me', forged)).text)).toMatchObject({
      after: 'acme',
    })
    await start({ trustedProxies: ['127.0.0.0/8'] })
    expect(JSON.parse((await get(port, 'acme.localhost', '/me', forged)).text)).toMatchObject({
      after: 'globex',
    })
  })

  test('I1: where a header names a tenant it must be the one of the host', async () => {
    await start({ resolve: allMustAgree(subdomain({ root: 'localhost' }), header('x-tenant')) })
    async function ask(host: string, tenant: string): Promise<unknown> {
      const { status, text } = await get(port, `${host}.localhost`, '/me', {
        headers: { 'x-tenant': tenant },
      })
      const { code, after } = JSON.parse(text) as Record<string, unknown>
      return [status, code ?? after]
    }
    expect(await ask('acme', 'acme')).toEqual([200, 'acme'])
    expect(await ask('acme-old', 'acme')).toEqual([200, 'acme'])
    expect(await ask('acme', 'globex')).toEqual([400, 'TNY104'])
    expect(await ask('sleepy', 'sleepy')).toEqual([404, 'TNY101'])
    // Pairs of names do not tell which of them exist.
    for (const [host, tenant] of [
      ['acme', 'nobody'],
      ['nobody', 'acme'],
      ['nobody', 'noone'],
      ['sleepy', 'sleepy-old'],
    ]) {
      expect(await ask(host as string, tenant as string)).toEqual([400, 'TNY104'])
    }
    // Without the agreement, the header alone would choose.
    await start({ resolve: header('x-tenant') })
    expect(await ask('acme', 'globex')).toEqual([200, 'globex'])
  })

  test('a tenancy that closes refuses everything with 503', async () => {
    tenancy.closing = true
    for (const path of ['/me', '/healthz', '/signup']) {
      const { status, headers, text } = await get(port, 'acme.localhost', path)
      expect([status, headers['connection'], headers['retry-after']]).toEqual([503, 'close', '1'])
      expect(JSON.parse(text).code).toBe('TNY106')
    }
    expect(reported).toEqual([])
  })

  test('P7: a catalog that is away is a 503, for known and unknown tenants alike', async () => {
    tenancy.failure = new TenantryError('TNY202', { cause: new Error('10.0.0.1') })
    const answer = await comparable('acme.localhost')
    expect(answer).toMatchObject({
      status: 503,
      headers: { 'retry-after': '1' },
      text: '{"title":"Service Unavailable","status":503}',
    })
    expect(await comparable('nobody.localhost')).toEqual(answer)
    expect(reported).toEqual([tenancy.failure, tenancy.failure])
  })

  test('I1 I2 I7: whatever hosts and headers come, no crash and never another tenant', async () => {
    await start({ resolve: allMustAgree(subdomain({ root: 'localhost' }), header('x-tenant')) })
    const text = fc.string({
      unit: fc.constantFrom(
        'acme',
        'globex',
        '.localhost',
        '.',
        ':',
        '80',
        '@',
        ',',
        ' ',
        '[',
        '%',
        'A',
        "'",
        'é',
        '\t',
        '-',
      ),
      maxLength: 4,
    })
    const host = fc.oneof(
      text,
      text.map((label) => `${label}.localhost`),
      fc.constantFrom('acme.localhost', 'ACME.localhost:1'),
    )
    let served = 0
    await fc.assert(
      fc.asyncProperty(
        // Mostly requests that could be right, or every one of them would be refused for another reason.
        fc.oneof({ weight: 4, arbitrary: fc.tuple(host) }, { weight: 1, arbitrary: fc.tuple(host, host) }),
        fc.option(fc.oneof(text, fc.constantFrom('acme', 'globex')), { freq: 1 }),
        fc.option(host, { freq: 1 }),
        async (hosts, tenant, target) => {
          const lines = hosts.map((value) => `Host: ${value}`)
          if (tenant !== null) lines.push(`X-Tenant: ${tenant}`)
          const uri = target === null || /[\s]/.test(target) ? '/me' : `http://${target}/me`
          const received = await exchange(
            port,
            `GET ${uri} HTTP/1.1\r\n${lines.join('\r\n')}\r\nConnection: close\r\n\r\n`,
          )
          const [status = 0] = statuses(received)
          if (status !== 200) return [400, 404].includes(status)
          served += 1
          const { after } = JSON.parse(received.slice(received.indexOf('\r\n\r\n'))) as { after: string }
          return (
            hosts.length === 1 &&
            hosts[0]
              ?.trim()
              .toLowerCase()
              .replace(/\.?(:\d*)?$/, '') === `${after}.localhost`
          )
        },
      ),
      { numRuns: 1_500 },
    )
    expect(served).toBeGreaterThan(50)
    expect(reported).toEqual([])
  })
})

describe('the context', () => {
  test.each([
    ['text/before', 'x'],
    ['application/json', '{"a":1}'],
    ['application/x-www-form-urlencoded', 'a=1'],
    ['application/json', JSON.stringify({ a: 'x'.repeat(90_000) })],
  ])('A1: a body parser for %s keeps it', async (type, body) => {
    const { text } = await get(port, 'acme.localhost', '/me?wait=1', {
      method: 'POST',
      body,
      headers: { 'content-type': type },
    })
    expect(JSON.parse(text)).toMatchObject({ before: 'acme', after: 'acme' })
    expect(JSON.parse(text).body).toBeDefined()
  })

  test('A1: a body that dribbles in keeps it too', async () => {
    const req = request({
      port,
      host: '127.0.0.1',
      path: '/me',
      method: 'POST',
      headers: { host: 'acme.localhost', 'content-type': 'application/json' },
    })
    const answer = new Promise<string>((resolve) => {
      req.on('response', (res) => res.setEncoding('utf8').on('data', resolve))
    })
    for (const piece of ['{"a"', ':', '1', '}']) {
      req.write(piece)
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
    req.end()
    expect(JSON.parse(await answer)).toMatchObject({ before: 'acme', after: 'acme', body: { a: 1 } })
  })

  test('A1: a listener on the request itself has no context unless it is bound, and never another one', async () => {
    const req = request({
      port,
      host: '127.0.0.1',
      path: '/events',
      method: 'POST',
      headers: { host: 'acme.localhost' },
    })
    const answer = new Promise<string>((resolve) => {
      req.on('response', (res) => res.setEncoding('utf8').on('data', resolve))
    })
    req.write('a')
    await new Promise((resolve) => setTimeout(resolve, 20))
    req.end('b')
    expect(JSON.parse(await answer)).toEqual({ plain: null, bound: 'acme' })
  })

  test('I2: a connection that is kept alive switches tenants with the host', async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 })
    const sockets = new Set()
    const keys = ['acme', 'globex', 'nobody', 'acme', 'sleepy', 'globex', '', 'acme']
    for (const key of keys) {
      const host = key === '' ? 'localhost' : `${key}.localhost`
      const text = await new Promise<string>((resolve, reject) => {
        const req = request({ port, host: '127.0.0.1', path: '/me', agent, headers: { host } })
        req.on('error', reject).on('response', (res) => {
          sockets.add(res.socket)
          let body = ''
          res.setEncoding('utf8').on('data', (chunk: string) => (body += chunk))
          res.on('end', () => {
            resolve(body)
          })
        })
        req.end()
      })
      const served = tenants.find((tenant) => tenant.key === key && tenant.status === 'active')
      expect((JSON.parse(text) as { after?: string }).after).toBe(served?.key)
    }
    expect(sockets.size).toBe(1)
    agent.destroy()
  })

  test('I2: pipelined requests are each served for their own host', async () => {
    const keys = Array.from({ length: 40 }, (_, index) => ['acme', 'globex', 'nobody'][index % 3] as string)
    const text = keys.map((key, index) => {
      const last = index === keys.length - 1 ? 'Connection: close\r\n' : ''
      return `GET /me?wait=${(index * 7) % 20} HTTP/1.1\r\nHost: ${key}.localhost\r\n${last}\r\n`
    })
    const received = await exchange(port, text.join(''))
    expect(statuses(received)).toEqual(keys.map((key) => (key === 'nobody' ? 404 : 200)))
    const after = Array.from(
      received.matchAll(/"before":"(\w+)","after":"(\w+)"/g),
      (match) => `${match[1]} ${match[2]}`,
    )
    expect(after).toEqual(keys.filter((key) => key !== 'nobody').map((key) => `${key} ${key}`))
  })

  test('many tenants at once do not mix', async () => {
    const keys = Array.from({ length: 200 }, (_, index) => (index % 2 === 0 ? 'acme' : 'globex'))
    const answers = await Promise.all(
      keys.map((key, index) => get(port, `${key}.localhost`, `/me?wait=${index % 7}`)),
    )
    expect(answers.map(({ text }) => (JSON.parse(text) as { after: string }).after)).toEqual(keys)
  })

  test('A1: a context that was there before does not reach requests without a tenant', async () => {
    const outer = express()
    outer.use((_req, _res, next) => {
      tenancy.context.run(tenants[1] as (typeof tenants)[0], next)
    })
    outer.use(buildApp())
    const nested = outer.listen(0, '127.0.0.1')
    await new Promise((resolve) => nested.once('listening', resolve))
    const { text } = await get(portOf(nested), 'acme.localhost', '/healthz')
    nested.close()
    expect(JSON.parse(text)).toEqual({ tenant: null, onRequest: null })
  })
})

describe('problemHandler', () => {
  test('an error is a neutral 500, and the operator hears of it', async () => {
    const { status, headers, text } = await get(port, 'acme.localhost', '/fails')
    expect([status, headers['content-type']]).toEqual([500, 'application/problem+json'])
    expect(text).toBe('{"title":"Internal Server Error","status":500}')
    expect(reported).toEqual([expect.objectContaining({ message: 'the secret of globex' })])
  })

  test('P7: the database away is a 503 with Retry-After', async () => {
    const { status, headers, text } = await get(port, 'acme.localhost', '/away')
    expect([status, headers['retry-after'], text]).toEqual([
      503,
      '1',
      '{"title":"Service Unavailable","status":503}',
    ])
    expect(reported).toHaveLength(1)
  })

  test('errors of Express and its parsers, and missing routes, are problems too', async () => {
    const json = { 'content-type': 'application/json' }
    const broken = await get(port, 'acme.localhost', '/me', { method: 'POST', body: '{', headers: json })
    expect([broken.status, broken.headers['content-type']]).toEqual([400, 'application/problem+json'])
    expect(broken.text).not.toMatch(/at .*\.js/)
    const body = `"${'x'.repeat(200_000)}"`
    expect((await get(port, 'acme.localhost', '/me', { method: 'POST', body, headers: json })).status).toBe(
      413,
    )
    const missing = await get(port, 'acme.localhost', '/no-such-route')
    expect([missing.status, missing.text]).toEqual([404, '{"title":"Not Found","status":404}'])
    const undecodable = await get(port, 'acme.localhost', '/assets/%zz')
    expect([undecodable.status, undecodable.text]).toEqual([400, '{"title":"Bad Request","status":400}'])
    expect(reported).toEqual([])
  })

  test('an answer that has begun is cut, never completed', async () => {
    await expect(get(port, 'acme.localhost', '/half')).rejects.toThrow('aborted')
    expect(reported).toEqual([expect.objectContaining({ message: 'late' })])
  })

  test('headers of the answer that did not come are gone, those for browsers stay', async () => {
    const { headers } = await get(port, 'acme.localhost', '/stale')
    expect(headers).toMatchObject({ 'access-control-allow-origin': '*' })
    for (const name of ['set-cookie', 'etag', 'content-encoding']) expect(headers).not.toHaveProperty(name)
  })

  test('options that cannot work are refused at start', () => {
    const resolve = subdomain({ root: 'localhost' })
    for (const options of [{ except: ['healthz'] }, { central: ['/a*'] }, { trustedProxies: ['nginx'] }]) {
      expect(() => tenantMiddleware(tenancy, { resolve, ...options })).toThrow(
        expect.objectContaining({ code: 'TNY002' }),
      )
    }
  })
})
