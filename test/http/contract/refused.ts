/** The contract: who is refused, and that all refusals tell a stranger the same. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TenantryError } from '../../../src/core/errors.ts'
import { allMustAgree } from '../../../src/resolve/combine.ts'
import { header } from '../../../src/resolve/header.ts'
import { subdomain } from '../../../src/resolve/subdomain.ts'
import { exchange, get, statuses } from '../raw-http.ts'
import { OTHERS, type Limits, type Stand } from './stand.ts'

const CASES = OTHERS.map(({ status, key }) => [status, key])

export function describeRefused(on: Stand, limits: Limits): void {
  describe('who is refused', () => {
    test.each(CASES)('I3: to strangers, a tenant that is %s looks unknown', async (_, key) => {
      const unknown = await on.comparable('nobody.localhost')
      expect(await on.comparable(`${key}.localhost`)).toEqual(unknown)
      expect(unknown).toMatchObject({ status: 404 })
      // The same work too: one look-up each.
      expect(on.tenancy.asked).toEqual([{ key: 'nobody' }, { key }])
    })

    test('I3: members learn what their tenant is, and nobody else does', async () => {
      const asked: string[] = []
      await on.start({
        options: {
          isMember: async (_request, { key }) => Promise.resolve(asked.push(key) > 0 && key !== 'ghost'),
        },
      })
      for (const { key, status } of OTHERS) {
        const { status: code, text } = await get(on.port, `${key}.localhost`, '/me')
        if (key === 'ghost') expect(code).toBe(404)
        else expect([code, JSON.parse(text)]).toMatchObject([403, { detail: `This account is ${status}.` }])
      }
      expect(asked).toEqual(OTHERS.map(({ key }) => key))
    })

    test('I4, I5, I6, I7: an invalid key is a 400 before any look-up; reserved ones name nobody', async () => {
      const invalid = ['a--b', 'a_b', 'a'.repeat(49), 'caf\u00e9', 'cafe\u0301', "a'", 'acme@x', 'acme%00']
      for (const label of invalid) {
        const host = Buffer.from(`${label}.localhost`).toString('latin1')
        const { status, text } = await get(on.port, host, '/me')
        expect([label, status]).toEqual([label, 400])
        if (limits.ownHostChecks !== true) expect(JSON.parse(text).code).toBe('TNY102')
      }
      expect(on.tenancy.asked).toEqual([])
      for (const key of ['none', 'public', 'pg-x', 'postgres'])
        expect(await on.keyOf(`${key}.localhost`)).toBe(404)
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
        const received = await exchange(on.port, `${head}\r\nConnection: close\r\n\r\n`)
        expect([head, ...statuses(received)]).toEqual([head, status])
        expect(received).not.toContain('globex"')
      }
    })

    test('I1: X-Forwarded-Host counts from a trusted proxy only, and of it only what that proxy wrote', async () => {
      const ask = async (forwarded: string | string[]): Promise<unknown> => {
        const answer = await get(on.port, 'acme.localhost', '/me', {
          headers: { 'x-forwarded-host': forwarded },
        })
        return answer.status === 200 ? JSON.parse(answer.text).after : answer.status
      }
      expect(await ask('globex.localhost')).toBe('acme')
      await on.start({ options: { trustedProxies: ['127.0.0.0/8'] } })
      expect(await ask('globex.localhost')).toBe('globex')
      expect(await ask('acme.localhost, globex.localhost')).toBe('globex')
      expect(await ask(['acme.localhost', 'globex.localhost'])).toBe('globex')
      await on.start({ options: { trustedProxies: ['10.0.0.0/8'] } })
      expect(await ask('globex.localhost')).toBe('acme')
    })

    test('I1: where a header names a tenant it must be the one of the host, and be there once', async () => {
      await on.start({
        options: { resolve: allMustAgree(subdomain({ root: 'localhost' }), header('x-tenant')) },
      })
      async function ask(host: string, tenant: string | string[]): Promise<unknown> {
        const { status, text } = await get(on.port, `${host}.localhost`, '/me', {
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
      await on.start({ options: { resolve: header('x-tenant') } })
      expect(await ask('acme', 'globex')).toEqual([200, 'globex'])
    })

    test('I8: a suspension counts for the next request, and for the answer of one that it overtook', async () => {
      expect(await on.keyOf('acme.localhost')).toBe('acme')
      on.tenancy.change('acme', 'suspended')
      expect(await on.comparable('acme.localhost')).toEqual(await on.comparable('nobody.localhost'))
      on.tenancy.change('acme', 'active')
      expect(await on.comparable('acme.localhost', '/lost')).toEqual(await on.comparable('nobody.localhost'))
      // Another tenant's loss is the service's fault, and says nothing.
      expect(await get(on.port, 'acme.localhost', '/lost-other')).toMatchObject({
        status: 503,
        text: '{"title":"Service Unavailable","status":503}',
      })
    })

    test('a tenancy that closes refuses everything with 503', async () => {
      on.tenancy.closing = true
      for (const path of ['/me', '/healthz', '/signup']) {
        // Kept alive, as far as the client is concerned.
        const received = await exchange(on.port, `GET ${path} HTTP/1.1\r\nHost: acme.localhost\r\n\r\n`)
        expect(statuses(received)).toEqual([503])
        expect(received.toLowerCase()).toContain('\r\nconnection: close\r\n')
        expect(received.toLowerCase()).toContain('\r\nretry-after: 1\r\n')
        expect(received).toContain('"code":"TNY106"')
      }
      expect(on.reported).toEqual([])
    })

    test('P7: a catalog that is away is a 503, for known and unknown tenants alike', async () => {
      on.tenancy.failure = new TenantryError('TNY202', { cause: new Error('10.0.0.1') })
      const answer = await on.comparable('acme.localhost')
      expect(answer).toMatchObject({
        status: 503,
        headers: { 'retry-after': '1' },
        text: '{"title":"Service Unavailable","status":503}',
      })
      expect(await on.comparable('nobody.localhost')).toEqual(answer)
      expect(on.reported).toEqual([on.tenancy.failure, on.tenancy.failure])
    })

    test('I1, I2, I7: whatever hosts and headers come, no crash and never another tenant', async () => {
      await on.start({
        options: { resolve: allMustAgree(subdomain({ root: 'localhost' }), header('x-tenant')) },
      })
      const served = await fuzz(on.port)
      expect(served).toBeGreaterThan(10)
      expect(on.reported).toEqual([])
    })

    test('options that cannot work are refused at start', async () => {
      for (const options of [{ except: ['healthz'] }, { central: ['/a*'] }, { trustedProxies: ['nginx'] }]) {
        await expect(on.start({ options })).rejects.toMatchObject({ code: 'TNY002' })
      }
    })
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
