/** The contract of every HTTP face: who is served, who is refused, where the context reaches, what becomes of errors. */
import fc from 'fast-check'
import { createHash } from 'node:crypto'
import { Agent, request } from 'node:http'
import { connect as connectHttp2, constants } from 'node:http2'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { TenantryError } from '../../src/core/errors.ts'
import type { TenantOptions } from '../../src/http/tenant-gate.ts'
import { allMustAgree } from '../../src/resolve/combine.ts'
import { header } from '../../src/resolve/header.ts'
import { requireRef, type Resolver } from '../../src/resolve/resolver.ts'
import { subdomain } from '../../src/resolve/subdomain.ts'
import { waitFor } from '../support/wait-for.ts'
import type { Face, Running } from './faces/site.ts'
import { httpRoutes, type Observed, observed } from './http-routes.ts'
import { exchange, get, keptConnection, portOf, statuses } from './raw-http.ts'
import { type SampleTenancy, sampleTenancy, sampleTenant } from './sample-tenancy.ts'

const tenants = [
  sampleTenant('acme', 'active', ['acme-old']),
  sampleTenant('globex'),
  sampleTenant('sleepy', 'suspended', ['sleepy-old']),
  sampleTenant('newborn', 'provisioning'),
  sampleTenant('nomad', 'moving'),
  sampleTenant('attic', 'archived'),
  sampleTenant('ghost', 'erased'),
]
/** A tenant that is moving is waited for. */
const OTHERS = tenants.filter(({ status }) => status !== 'active' && status !== 'moving')

/** The tenant in the first part of the path, which routers do not see. */
const inPath: Resolver = Object.assign(
  ({ target }: { readonly target: string }) => {
    const [, key] = /^\/t\/([^/?]*)/.exec(target) ?? []
    return key === undefined ? ('none' as const) : requireRef({ key })
  },
  { rewrite: (target: string) => target.replace(/^\/t\/[^/?]*/, '') || '/' },
)

/** What a framework cannot do, or does itself. */
export interface Limits {
  /** It has no HTTP/2. */
  readonly http2?: false
  /** Its server answers requests without a host, or with a strange one, itself: 400 without a body of ours. */
  readonly ownHostChecks?: true
}

/** Runs the contract on a face. */
export function describeHttp(name: string, face: Face, limits: Limits = {}): void {
  describe(`${name}, as an HTTP face`, () => {
    let tenancy: SampleTenancy
    let running: Running | undefined
    let port: number
    let reported: unknown[]
    let seen: Observed

    interface Setup {
      readonly options?: Partial<TenantOptions<unknown>>
      readonly moves?: { timeoutMs: number; maxPerTenant: number }
      readonly http2?: boolean
    }

    async function start({ options, moves, http2 }: Setup = {}): Promise<void> {
      await running?.close()
      tenancy = sampleTenancy(tenants, moves)
      reported = []
      seen = observed()
      running = await face({
        tenancy,
        options: {
          resolve: subdomain({ root: 'localhost' }),
          except: ['/healthz', '/assets/*'],
          central: ['/signup'],
          ...options,
        },
        routes: httpRoutes(tenancy, seen),
        onError: (error) => reported.push(error),
        ...(http2 !== undefined && { http2 }),
      })
      port = portOf(running.server)
    }

    beforeEach(() => start())
    afterEach(async () => {
      await running?.close()
      running = undefined
    })

    /** An answer without what differs between any two: the date. */
    async function comparable(host: string, path = '/me'): Promise<unknown> {
      const { headers, ...rest } = await get(port, host, path)
      return { ...rest, headers: { ...headers, date: undefined } }
    }

    async function keyOf(host: string, path = '/me'): Promise<unknown> {
      const { status, text } = await get(port, host, path)
      return status === 200 ? (JSON.parse(text) as { after: unknown }).after : status
    }

    describe('who is served', () => {
      test('an active tenant, in its context, on the request, by key or alias', async () => {
        for (const host of ['acme.localhost', 'ACME.localhost.:80', 'acme-old.localhost']) {
          const { status, text } = await get(port, host, '/me')
          expect([host, status]).toEqual([host, 200])
          expect(JSON.parse(text)).toMatchObject({
            before: 'acme',
            after: 'acme',
            onRequest: 'acme',
            id: 'id-of-acme',
          })
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
        ]) {
          for (const path of ['/healthz', '/assets/a']) {
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
            expect([host, path, (await get(port, host, path)).status]).toEqual([host, path, 404])
          }
        }
        expect(tenancy.asked).toEqual([])
      })

      test('I2: other paths on hosts that name no tenant are refused, and no spelling smuggles them in', async () => {
        const smuggled = ['/healthz/../me', '/assets/../me', '/assets/%2e%2e/me', '/signup/../me', '//me']
        for (const host of ['localhost', '127.0.0.1', 'example.org', 'a.b.localhost']) {
          for (const path of ['/me', ...smuggled]) {
            const { status, text } = await get(port, host, path)
            expect([host, path, status]).toEqual([host, path, 404])
            expect(text).not.toContain('before')
          }
        }
        expect(tenancy.asked).toEqual([])
      })

      test('HEAD and OPTIONS go the same way', async () => {
        const head = await get(port, 'acme.localhost', '/me', { method: 'HEAD' })
        expect([head.status, head.text]).toEqual([200, ''])
        const options = await get(port, 'acme.localhost', '/me', { method: 'OPTIONS' })
        expect(JSON.parse(options.text)).toMatchObject({ after: 'acme' })
        const refused = await get(port, 'nobody.localhost', '/me', { method: 'HEAD' })
        expect([refused.status, refused.text]).toEqual([404, ''])
        const asterisk = 'OPTIONS * HTTP/1.1\r\nHost: nobody.localhost\r\nConnection: close\r\n\r\n'
        expect([400, 404]).toContain(statuses(await exchange(port, asterisk))[0])
      })

      test('a part of the path that names the tenant is for the resolver; routers see the rest', async () => {
        await start({ options: { resolve: inPath } })
        const acme = await get(port, 'any.host', '/t/acme/me?wait=1')
        expect(acme.status).toBe(200)
        expect(JSON.parse(acme.text)).toMatchObject({ after: 'acme', onRequest: 'acme', url: '/me?wait=1' })
        const body = '{"a":1}'
        const post = { method: 'POST', body, headers: { 'content-type': 'application/json' } }
        const globex = await get(port, 'any.host', '/t/globex/me', post)
        expect(JSON.parse(globex.text)).toMatchObject({ after: 'globex', body: { a: 1 } })
        expect((await get(port, 'any.host', '/healthz')).status).toBe(200)
        for (const path of ['/t/nobody/me', '/t/sleepy/me', '/me', '/t/acme/nothing', '/t//me/acme']) {
          const { status } = await get(port, 'any.host', path)
          expect([path, status]).toEqual([path, path === '/t//me/acme' ? 400 : 404])
        }
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

      test('I3: members learn what their tenant is, and nobody else does', async () => {
        const asked: string[] = []
        await start({
          options: {
            isMember: async (_request, { key }) => Promise.resolve(asked.push(key) > 0 && key !== 'ghost'),
          },
        })
        for (const { key, status } of OTHERS) {
          const { status: code, text } = await get(port, `${key}.localhost`, '/me')
          if (key === 'ghost') expect(code).toBe(404)
          else expect([code, JSON.parse(text)]).toMatchObject([403, { detail: `This account is ${status}.` }])
        }
        expect(asked).toEqual(OTHERS.map(({ key }) => key))
      })

      test('I4 I5 I6 I7: an invalid key is a 400 before any look-up; reserved ones name nobody', async () => {
        const invalid = ['a--b', 'a_b', 'a'.repeat(49), 'caf\u00e9', 'cafe\u0301', "a'", 'acme@x', 'acme%00']
        for (const label of invalid) {
          const host = Buffer.from(`${label}.localhost`).toString('latin1')
          const { status, text } = await get(port, host, '/me')
          expect([label, status]).toEqual([label, 400])
          if (limits.ownHostChecks !== true) expect(JSON.parse(text).code).toBe('TNY102')
        }
        expect(tenancy.asked).toEqual([])
        for (const key of ['none', 'public', 'pg-x', 'postgres'])
          expect(await keyOf(`${key}.localhost`)).toBe(404)
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

      test('I1: X-Forwarded-Host counts from a trusted proxy only, and of it only what that proxy wrote', async () => {
        const ask = async (forwarded: string | string[]): Promise<unknown> => {
          const answer = await get(port, 'acme.localhost', '/me', {
            headers: { 'x-forwarded-host': forwarded },
          })
          return answer.status === 200 ? JSON.parse(answer.text).after : answer.status
        }
        expect(await ask('globex.localhost')).toBe('acme')
        await start({ options: { trustedProxies: ['127.0.0.0/8'] } })
        expect(await ask('globex.localhost')).toBe('globex')
        expect(await ask('acme.localhost, globex.localhost')).toBe('globex')
        expect(await ask(['acme.localhost', 'globex.localhost'])).toBe('globex')
        await start({ options: { trustedProxies: ['10.0.0.0/8'] } })
        expect(await ask('globex.localhost')).toBe('acme')
      })

      test('I1: where a header names a tenant it must be the one of the host, and be there once', async () => {
        await start({
          options: { resolve: allMustAgree(subdomain({ root: 'localhost' }), header('x-tenant')) },
        })
        async function ask(host: string, tenant: string | string[]): Promise<unknown> {
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
        for (const twice of [
          ['acme', 'globex'],
          ['acme', 'acme'],
          ['globex', 'acme'],
        ]) {
          expect(await ask('acme', twice)).toEqual([400, 'TNY102'])
        }
        // Pairs of names do not tell which of them exist, nor does one that moves keep anybody waiting.
        for (const [host, tenant] of [
          ['acme', 'nobody'],
          ['nobody', 'acme'],
          ['nobody', 'noone'],
          ['nomad', 'acme'],
          ['sleepy', 'sleepy-old'],
        ]) {
          expect(await ask(host as string, tenant as string)).toEqual([400, 'TNY104'])
        }
        // Without the agreement, the header alone would choose.
        await start({ options: { resolve: header('x-tenant') } })
        expect(await ask('acme', 'globex')).toEqual([200, 'globex'])
      })

      test('I8: a suspension counts for the next request, and for the answer of one that it overtook', async () => {
        expect(await keyOf('acme.localhost')).toBe('acme')
        tenancy.change('acme', 'suspended')
        expect(await comparable('acme.localhost')).toEqual(await comparable('nobody.localhost'))
        tenancy.change('acme', 'active')
        expect(await comparable('acme.localhost', '/lost')).toEqual(await comparable('nobody.localhost'))
        // Another tenant's loss is the service's fault, and says nothing.
        expect(await get(port, 'acme.localhost', '/lost-other')).toMatchObject({
          status: 503,
          text: '{"title":"Service Unavailable","status":503}',
        })
      })

      test('a tenancy that closes refuses everything with 503', async () => {
        tenancy.closing = true
        for (const path of ['/me', '/healthz', '/signup']) {
          // Kept alive, as far as the client is concerned.
          const received = await exchange(port, `GET ${path} HTTP/1.1\r\nHost: acme.localhost\r\n\r\n`)
          expect(statuses(received)).toEqual([503])
          expect(received.toLowerCase()).toContain('\r\nconnection: close\r\n')
          expect(received.toLowerCase()).toContain('\r\nretry-after: 1\r\n')
          expect(received).toContain('"code":"TNY106"')
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
        await start({
          options: { resolve: allMustAgree(subdomain({ root: 'localhost' }), header('x-tenant')) },
        })
        const served = await fuzz(port)
        expect(served).toBeGreaterThan(10)
        expect(reported).toEqual([])
      })

      test('options that cannot work are refused at start', async () => {
        for (const options of [
          { except: ['healthz'] },
          { central: ['/a*'] },
          { trustedProxies: ['nginx'] },
        ]) {
          await expect(start({ options })).rejects.toMatchObject({ code: 'TNY002' })
        }
      })
    })

    describe('a tenant that is being moved', () => {
      test('is waited for: a slow request and no error', async () => {
        const answers = [keyOf('nomad.localhost'), keyOf('nomad.localhost'), keyOf('acme.localhost')]
        expect(await answers[2]).toBe('acme')
        await waitFor(() => tenancy.asked.length >= 5)
        tenancy.change('nomad', 'active')
        expect(await Promise.all(answers)).toEqual(['nomad', 'nomad', 'acme'])
        expect(reported).toEqual([])
      })

      test('I3: what it is after the move decides', async () => {
        const answer = comparable('nomad.localhost')
        await waitFor(() => tenancy.asked.length >= 3)
        tenancy.change('nomad', 'suspended')
        expect(await answer).toEqual(await comparable('nobody.localhost'))
      })

      test('I3: past the deadline, or behind too many, it looks like a service that is busy', async () => {
        await start({ moves: { timeoutMs: 50, maxPerTenant: 1 } })
        const [one, other] = await Promise.all([comparable('nomad.localhost'), comparable('nomad.localhost')])
        expect(one).toMatchObject({ status: 503, headers: { 'retry-after': '1' } })
        expect(other).toEqual(one)
        expect(await comparable('acme.localhost', '/away')).toEqual(one)
        expect(reported.map((error) => (error as TenantryError).code)).toEqual(['TNY108', 'TNY108', 'TNY202'])
      })

      test('ends the wait where the service closes', async () => {
        const answer = get(port, 'nomad.localhost', '/me')
        await waitFor(() => tenancy.asked.length >= 3)
        tenancy.close()
        expect(JSON.parse((await answer).text)).toMatchObject({ status: 503, code: 'TNY106' })
      })
    })

    describe('the client leaves', () => {
      async function leave(host: string, path: string, until: () => boolean): Promise<void> {
        const client = request({ port, host: '127.0.0.1', path, headers: { host }, agent: false })
        client.on('error', () => undefined).end()
        await waitFor(until)
        client.destroy()
      }

      test('with abortOnDisconnect the context has a signal that tells; nothing is reported', async () => {
        await start({ options: { abortOnDisconnect: true } })
        await leave('acme.localhost', '/hang', () => seen.hanging === 1)
        await waitFor(() => seen.aborted.length === 1)
        expect(seen.aborted[0]).toMatchObject({ code: 'TNY107' })
        expect(await keyOf('acme.localhost')).toBe('acme')
        expect(reported).toEqual([])
      })

      test('after an answer nothing is aborted, also where the connection is kept alive', async () => {
        await start({ options: { abortOnDisconnect: true } })
        const agent = new Agent({ keepAlive: true, maxSockets: 1 })
        for (let turn = 0; turn < 3; turn += 1) await throughAgent(agent, port, 'acme.localhost', '/signal')
        agent.destroy()
        await sleep(20)
        expect(seen.signals.map((signal) => signal?.aborted)).toEqual([false, false, false])
      })

      test('it no longer waits for a move then', async () => {
        await start({ options: { abortOnDisconnect: true }, moves: { timeoutMs: 10_000, maxPerTenant: 1 } })
        await leave('nomad.localhost', '/me', () => tenancy.asked.length >= 2)
        // Its place is free: the next one waits, where it would be refused behind too many.
        await waitFor(async () => {
          const answer = keyOf('nomad.localhost')
          const early = await Promise.race([answer, sleep(50).then(() => 'waits')])
          if (early === 503) return false
          tenancy.change('nomad', 'active')
          return (await answer) === 'nomad'
        })
        expect(reported.every((error) => (error as TenantryError).code === 'TNY108')).toBe(true)
      })
    })

    describe('the context', () => {
      test.each([
        ['application/json', '{"a":1}'],
        ['application/json', JSON.stringify({ a: 'x'.repeat(90_000) })],
        ['text/plain', 'x'],
      ])('A1: reading a body of %s keeps it', async (type, body) => {
        const post = { method: 'POST', body, headers: { 'content-type': type } }
        const { text } = await get(port, 'acme.localhost', '/me?wait=1', post)
        const expected = type === 'text/plain' ? body : (JSON.parse(body) as unknown)
        expect(JSON.parse(text)).toMatchObject({ before: 'acme', after: 'acme', body: expected })
      })

      test('A1: a body that dribbles in keeps it too', async () => {
        const headers = { host: 'acme.localhost', 'content-type': 'application/json' }
        const req = request({ port, host: '127.0.0.1', path: '/me', method: 'POST', headers })
        const answer = new Promise<string>((resolve) => {
          req.on('response', (res) => res.setEncoding('utf8').on('data', resolve))
        })
        for (const piece of ['{"a"', ':', '1', '}']) {
          req.write(piece)
          await sleep(10)
        }
        req.end()
        expect(JSON.parse(await answer)).toMatchObject({ before: 'acme', after: 'acme', body: { a: 1 } })
      })

      test.each(['application/octet-stream', 'multipart/form-data; boundary=b'])(
        'A1: uploads (%s) that the handler reads as they come keep it, also those of several tenants at once',
        async (type) => {
          const body = createHash('sha256').update('seed').digest('hex').repeat(40_000)
          const answers = await Promise.all(
            ['acme', 'globex', 'acme', 'globex'].map((key) =>
              get(port, `${key}.localhost`, '/upload', {
                method: 'POST',
                body,
                headers: { 'content-type': type },
              }),
            ),
          )
          expect(answers.map(({ text }) => JSON.parse(text))).toEqual(
            ['acme', 'globex', 'acme', 'globex'].map((key) => ({ bytes: body.length, tenants: [key] })),
          )
        },
      )

      test('A1: answers that stream on after the handler returned keep it, to readers that are slow', async () => {
        const answers = await Promise.all(
          ['acme', 'globex', 'acme'].map(async (key) => readSlowly(port, key)),
        )
        for (const [index, key] of ['acme', 'globex', 'acme'].entries()) {
          const lines = answers[index]?.trimEnd().split('\n') ?? []
          expect(lines).toHaveLength(60)
          expect(new Set(lines.map((line) => line.split(' ')[0]))).toEqual(new Set([key]))
        }
      })

      test('A1: work that outlives its answer keeps it; a callback run elsewhere throws unless it is bound', async () => {
        await get(port, 'acme.localhost', '/later')
        await get(port, 'globex.localhost', '/later')
        await waitFor(() => seen.later.length === 2)
        expect(seen.later).toEqual(['acme', 'globex'])
        const { text } = await get(port, 'acme.localhost', '/elsewhere')
        expect(JSON.parse(text)).toEqual({ plain: 'TNY201', bound: 'acme' })
      })

      test('A2: a context inside for another tenant ends where its function ends', async () => {
        const { text } = await get(port, 'acme.localhost', '/nested')
        expect(JSON.parse(text)).toEqual({ inner: 'globex', outer: 'acme' })
      })

      test('A4: keys of caches are the tenant’s own', async () => {
        const [acme, globex] = await Promise.all(
          ['acme', 'globex'].map(async (key) => (await get(port, `${key}.localhost`, '/cache')).text),
        )
        expect(acme).toContain('id-of-acme')
        expect(globex).toBe(acme?.replace('id-of-acme', 'id-of-globex'))
      })

      test('I2: a connection that is kept alive switches tenants with the host, a thousand times', async () => {
        const kept = keptConnection(port)
        const keys = ['acme', 'globex', 'nobody', 'acme', 'sleepy', 'globex', '', 'acme']
        for (let turn = 0; turn < 1_000; turn += 1) {
          const key = keys[turn % keys.length] as string
          const answer = await kept.ask(key === '' ? 'localhost' : `${key}.localhost`, '/me')
          const served = key === 'acme' || key === 'globex' ? key : undefined
          expect((JSON.parse(answer) as { after?: string }).after).toBe(served)
        }
        kept.close()
      })

      test('I2: pipelined requests are each served for their own host', async () => {
        const keys = Array.from(
          { length: 40 },
          (_, index) => ['acme', 'globex', 'nobody'][index % 3] as string,
        )
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
        const found = await Promise.all(keys.map((key, n) => keyOf(`${key}.localhost`, `/me?wait=${n % 7}`)))
        expect(found).toEqual(keys)
      })
    })

    describe('errors', () => {
      test('are neutral, and the operator hears of them', async () => {
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

      test('of the client say what is wrong', async () => {
        const { status, text } = await get(port, 'acme.localhost', '/taken')
        expect([status, JSON.parse(text)]).toMatchObject([
          409,
          { code: 'TNY301', detail: 'The key "acme" is taken.' },
        ])
        const missing = await get(port, 'acme.localhost', '/no-such-route')
        expect(JSON.parse(missing.text)).toMatchObject({ title: 'Not Found', status: 404 })
        expect(missing.headers['content-type']).toBe('application/problem+json')
        expect(reported).toEqual([])
      })

      test('an answer that has begun is cut, never completed, and tells nothing', async () => {
        const received = await exchange(
          port,
          'GET /half HTTP/1.1\r\nHost: acme.localhost\r\nConnection: close\r\n\r\n',
        )
        expect(received).toContain('half')
        expect(received).not.toMatch(/\r\n0\r\n\r\n$/)
        expect(received).not.toContain('secret')
        expect(await keyOf('globex.localhost')).toBe('globex')
      })
    })

    if (limits.http2 === false) return
    describe('HTTP/2', () => {
      async function streams(of: readonly Record<string, string>[]): Promise<[number, string][]> {
        const session = connectHttp2(`http://127.0.0.1:${port}`)
        const answers = of.map(
          async (headers) =>
            new Promise<[number, string]>((resolve, reject) => {
              const stream = session.request({ ':path': '/me?wait=3', ...headers })
              let status = 0
              let text = ''
              stream.on('response', (answer) => (status = Number(answer[':status'])))
              stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk))
              stream.on('error', reject).on('end', () => resolve([status, text]))
            }),
        )
        try {
          return await Promise.all(answers)
        } finally {
          session.close()
        }
      }

      test('I2: streams of one connection are each served for their own authority', async () => {
        await start({ http2: true })
        const keys = Array.from(
          { length: 60 },
          (_, index) => ['acme', 'globex', 'nobody'][index % 3] as string,
        )
        const answers = await streams(keys.map((key) => ({ ':authority': `${key}.localhost` })))
        for (const [index, [status, text]] of answers.entries()) {
          const key = keys[index] as string
          const { before, after, code } = JSON.parse(text) as Record<string, unknown>
          expect([status, before, after, code]).toEqual(
            key === 'nobody' ? [404, undefined, undefined, 'TNY101'] : [200, key, key, undefined],
          )
        }
      })

      test('a stream that was answered is not aborted, one that its client resets is', async () => {
        await start({ http2: true, options: { abortOnDisconnect: true } })
        await streams([{ ':authority': 'acme.localhost', ':path': '/signal' }])
        const session = connectHttp2(`http://127.0.0.1:${port}`)
        const stream = session.request({ ':authority': 'acme.localhost', ':path': '/hang' })
        stream.on('error', () => undefined)
        await waitFor(() => seen.hanging === 1)
        stream.close(constants.NGHTTP2_CANCEL)
        await waitFor(() => seen.aborted.length === 1)
        session.close()
        expect(seen.aborted[0]).toMatchObject({ code: 'TNY107' })
        expect(seen.signals.map((signal) => signal?.aborted)).toEqual([false])
        expect(reported).toEqual([])
      })

      test('I2: an authority and a Host that differ are refused; a closing service says so', async () => {
        await start({ http2: true })
        const twice = { ':authority': 'acme.localhost', host: 'globex.localhost' }
        const [[status, text] = [0, '']] = await streams([twice])
        expect([status, JSON.parse(text).code]).toEqual([400, 'TNY102'])
        tenancy.closing = true
        const [closing] = await streams([{ ':authority': 'acme.localhost' }])
        expect([closing?.[0], JSON.parse(closing?.[1] ?? '{}').code]).toEqual([503, 'TNY106'])
      })
    })
  })
}

async function throughAgent(agent: Agent, port: number, host: string, path = '/me'): Promise<void> {
  return new Promise((resolve, reject) => {
    const req = request({ port, host: '127.0.0.1', path, agent, headers: { host } })
    req.on('error', reject).on('response', (res) => res.resume().on('end', resolve))
    req.end()
  })
}

async function readSlowly(port: number, key: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = { host: `${key}.localhost` }
    const req = request({ port, host: '127.0.0.1', path: '/stream', agent: false, headers })
    req.on('error', reject).on('response', (res) => {
      let text = ''
      res.setEncoding('utf8').on('data', (chunk: string) => {
        text += chunk
        res.pause()
        setTimeout(() => res.resume(), 1)
      })
      res.on('error', reject).on('end', () => resolve(text))
    })
    req.end()
  })
}

/** Sends requests that nobody would; @returns how many were served, each for the tenant of its host. */
async function fuzz(port: number): Promise<number> {
  const pieces = [
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
  ]
  const text = fc.string({ unit: fc.constantFrom(...pieces), maxLength: 4 })
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
        const { after } = JSON.parse(received.slice(received.indexOf('{'))) as { after: string }
        const named = hosts[0]
          ?.trim()
          .toLowerCase()
          .replace(/\.?(:\d*)?$/, '')
        return hosts.length === 1 && named === `${after}.localhost`
      },
    ),
    { numRuns: 300 },
  )
  return served
}
