/** The contract: who is served, for which tenant or for none, and by which paths. */
import { describe, expect, test } from 'vitest'
import { exchange, get, statuses } from '../raw-http.ts'
import { inPath, type Stand } from './stand.ts'

export function describeServed(on: Stand): void {
  describe('who is served', () => {
    test('an active tenant, in its context, on the request, by key or alias', async () => {
      for (const host of ['acme.localhost', 'ACME.localhost.:80', 'acme-old.localhost']) {
        const { status, text } = await get(on.port, host, '/me')
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
          const { status, text } = await get(on.port, host, path)
          expect([host, status, text]).toEqual([host, 200, '{"tenant":null,"onRequest":null}'])
        }
      }
      expect(on.tenancy.asked).toEqual([])
    })

    test('central paths are served where no tenant is named, and nowhere else', async () => {
      for (const host of ['localhost', '127.0.0.1', '[::1]:80']) {
        expect(await get(on.port, host, '/signup')).toMatchObject({
          status: 200,
          text: '{"tenant":null,"onRequest":null}',
        })
      }
      for (const host of ['acme.localhost', 'unknown.localhost', 'sleepy.localhost', 'example.org']) {
        for (const path of ['/signup', '/signup/', '/SIGNUP', '//signup', '/x/../signup', '/sign%75p']) {
          expect([host, path, (await get(on.port, host, path)).status]).toEqual([host, path, 404])
        }
      }
      expect(on.tenancy.asked).toEqual([])
    })

    test('I2: other paths on hosts that name no tenant are refused, and no spelling smuggles them in', async () => {
      const smuggled = ['/healthz/../me', '/assets/../me', '/assets/%2e%2e/me', '/signup/../me', '//me']
      for (const host of ['localhost', '127.0.0.1', 'example.org', 'a.b.localhost']) {
        for (const path of ['/me', ...smuggled]) {
          const { status, text } = await get(on.port, host, path)
          expect([host, path, status]).toEqual([host, path, 404])
          expect(text).not.toContain('before')
        }
      }
      expect(on.tenancy.asked).toEqual([])
    })

    test('HEAD and OPTIONS go the same way', async () => {
      const head = await get(on.port, 'acme.localhost', '/me', { method: 'HEAD' })
      expect([head.status, head.text]).toEqual([200, ''])
      const options = await get(on.port, 'acme.localhost', '/me', { method: 'OPTIONS' })
      expect(JSON.parse(options.text)).toMatchObject({ after: 'acme' })
      const refused = await get(on.port, 'nobody.localhost', '/me', { method: 'HEAD' })
      expect([refused.status, refused.text]).toEqual([404, ''])
      const asterisk = 'OPTIONS * HTTP/1.1\r\nHost: nobody.localhost\r\nConnection: close\r\n\r\n'
      expect([400, 404]).toContain(statuses(await exchange(on.port, asterisk))[0])
    })

    test('a part of the path that names the tenant is for the resolver; routers see the rest', async () => {
      await on.start({ options: { resolve: inPath } })
      const acme = await get(on.port, 'any.host', '/t/acme/me?wait=1')
      expect(acme.status).toBe(200)
      expect(JSON.parse(acme.text)).toMatchObject({ after: 'acme', onRequest: 'acme', url: '/me?wait=1' })
      const body = '{"a":1}'
      const post = { method: 'POST', body, headers: { 'content-type': 'application/json' } }
      const globex = await get(on.port, 'any.host', '/t/globex/me', post)
      expect(JSON.parse(globex.text)).toMatchObject({ after: 'globex', body: { a: 1 } })
      expect((await get(on.port, 'any.host', '/healthz')).status).toBe(200)
      for (const path of ['/t/nobody/me', '/t/sleepy/me', '/me', '/t/acme/nothing', '/t//me/acme']) {
        const { status } = await get(on.port, 'any.host', path)
        expect([path, status]).toEqual([path, path === '/t//me/acme' ? 400 : 404])
      }
    })
  })
}
