/** What holds of a face that runs without Node's server: from a Request to a Response. */
import { describe, expect, test } from 'vitest'
import type { TenantOptions } from '../../src/http/tenant-gate.ts'
import { allMustAgree } from '../../src/resolve/combine.ts'
import { header } from '../../src/resolve/header.ts'
import { subdomain } from '../../src/resolve/subdomain.ts'
import { waitFor } from '../support/wait-for.ts'
import type { Site } from './faces/site.ts'
import { httpRoutes, observed } from './http-routes.ts'
import { sampleTenancy, sampleTenant } from './sample-tenancy.ts'

type Fetch = (request: Request) => Promise<Response>

/** Runs it on a face. */
export function describeFetch(name: string, open: (site: Site) => Fetch): void {
  describe(`${name}, without a server`, () => {
    function site(options: Partial<TenantOptions<unknown>> = {}) {
      const tenancy = sampleTenancy([
        sampleTenant('acme'),
        sampleTenant('globex'),
        sampleTenant('sleepy', 'suspended'),
        sampleTenant('nomad', 'moving'),
      ])
      const seen = observed()
      const reported: unknown[] = []
      const fetch = open({
        tenancy,
        options: { resolve: subdomain({ root: 'localhost' }), except: ['/healthz'], ...options },
        routes: httpRoutes(tenancy, seen),
        onError: (error) => reported.push(error),
      })
      async function after(url: string, init?: RequestInit): Promise<unknown> {
        const response = await fetch(new Request(url, init))
        const body = (await response.json()) as Record<string, unknown>
        return response.status === 200 ? body['after'] : [response.status, body['code']]
      }
      return { tenancy, seen, reported, fetch, after }
    }

    test('the host of the URL names the tenant where there is no Host header', async () => {
      const { after } = site()
      expect(await after('http://acme.localhost/me')).toBe('acme')
      expect(await after('https://GLOBEX.localhost:8443/me?wait=1')).toBe('globex')
      expect(await after('http://sleepy.localhost/me')).toEqual([404, 'TNY101'])
      expect(await after('http://localhost/me')).toEqual([404, 'TNY101'])
      expect(await after('http://[::1]/me')).toEqual([404, 'TNY101'])
    })

    test('I2: a Host header must name the host of the URL; two of them come as one that is no host', async () => {
      const { after } = site()
      const ask = async (...hosts: string[]): Promise<unknown> =>
        after('http://acme.localhost/me', {
          headers: hosts.map((host) => ['host', host] as [string, string]),
        })
      expect(await ask('acme.localhost')).toBe('acme')
      expect(await ask('ACME.localhost.:80')).toBe('acme')
      expect(await ask('globex.localhost')).toEqual([400, 'TNY102'])
      expect(await ask('acme.localhost', 'acme.localhost')).toEqual([400, 'TNY102'])
    })

    test('I1: a header that comes twice names nobody, and no forwarded host counts', async () => {
      const { after } = site({ resolve: allMustAgree(subdomain({ root: 'localhost' }), header('x-tenant')) })
      const ask = async (...pairs: [string, string][]): Promise<unknown> =>
        after('http://acme.localhost/me', { headers: pairs })
      expect(await ask(['x-tenant', 'acme'])).toBe('acme')
      expect(await ask(['x-tenant', 'acme'], ['x-tenant', 'acme'])).toEqual([400, 'TNY102'])
      expect(await ask(['x-tenant', 'acme'], ['X-Tenant', 'globex'])).toEqual([400, 'TNY102'])
      expect(await ask(['x-forwarded-host', 'globex.localhost'])).toBe('acme')
    })

    test('A1: the context holds through bodies, and many requests at once do not mix', async () => {
      const { after, fetch } = site()
      const keys = Array.from({ length: 60 }, (_, index) => (index % 2 === 0 ? 'acme' : 'globex'))
      expect(
        await Promise.all(keys.map((key, n) => after(`http://${key}.localhost/me?wait=${n % 5}`))),
      ).toEqual(keys)
      const init = { method: 'POST', body: 'x'.repeat(200_000), duplex: 'half' } as RequestInit
      const upload = await fetch(new Request('http://acme.localhost/upload', init))
      expect(await upload.json()).toEqual({ bytes: 200_000, tenants: ['acme'] })
      const stream = await (await fetch(new Request('http://globex.localhost/stream'))).text()
      expect(
        new Set(
          stream
            .trimEnd()
            .split('\n')
            .map((line) => line.split(' ')[0]),
        ),
      ).toEqual(new Set(['globex']))
      const healthy = await fetch(new Request('http://acme.localhost/healthz'))
      expect(await healthy.json()).toEqual({ tenant: null, onRequest: null })
    })

    test('errors are problems, and tell strangers nothing', async () => {
      const { fetch, reported } = site()
      const failed = await fetch(new Request('http://acme.localhost/fails'))
      expect([failed.status, failed.headers.get('content-type')]).toEqual([500, 'application/problem+json'])
      expect(await failed.text()).toBe('{"title":"Internal Server Error","status":500}')
      expect(reported).toEqual([expect.objectContaining({ message: 'the secret of globex' })])
      const half = await fetch(new Request('http://acme.localhost/half'))
      await expect(half.text()).rejects.toBeInstanceOf(Error)
      await waitFor(() => reported.length === 2)
      expect(reported[1]).toMatchObject({ message: 'late, with the secret of globex' })
    })

    test('a request whose signal is aborted stops, also while it waits for a move', async () => {
      const { fetch, seen, tenancy, reported } = site({ abortOnDisconnect: true })
      const client = new AbortController()
      const { signal } = client
      const answers = [
        fetch(new Request('http://acme.localhost/hang', { signal })),
        fetch(new Request('http://nomad.localhost/me', { signal })),
      ]
      await waitFor(() => seen.hanging === 1 && tenancy.asked.length >= 3)
      client.abort()
      const [hanging, waiting] = await Promise.all(answers)
      expect([hanging?.status, waiting?.status]).toEqual([499, 499])
      expect(seen.aborted[0]).toMatchObject({ code: 'TNY107' })
      expect(reported).toEqual([])
    })
  })
}
