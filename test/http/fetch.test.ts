import { expect, test } from 'vitest'
import { tenantFetch } from '../../src/http/fetch.ts'
import { credentialOf, remember } from '../../src/resolve/credential.ts'
import { subdomain } from '../../src/resolve/subdomain.ts'
import { describeFetch } from './describe-fetch.ts'
import { describeHttp } from './describe-http.ts'
import { fetchFace, fetchSite } from './faces/fetch.ts'
import { sampleTenancy, sampleTenant } from './sample-tenancy.ts'

describeHttp('fetch', fetchFace, { http2: false, ownHostChecks: true })
describeFetch('fetch', fetchSite)

const tenancy = sampleTenancy([sampleTenant('acme')])

test('host: header, for servers whose URL holds a name of their own', async () => {
  const resolve = subdomain({ root: 'localhost' })
  const handler = tenantFetch(tenancy, { resolve, host: 'header' }, (_request, { tenantId }) =>
    Response.json({ tenantId }),
  )
  const ask = async (headers: Record<string, string>): Promise<unknown> =>
    (await handler(new Request('http://globex.localhost:3000/me', { headers }))).json()
  expect(await ask({ host: 'acme.localhost:3000' })).toEqual({ tenantId: 'id-of-acme' })
  expect(await ask({})).toMatchObject({ status: 400, code: 'TNY102' })
})

test('what else the platform passes reaches the handler, and the request keeps its class', async () => {
  class OwnRequest extends Request {
    readonly own = true
  }
  const resolve = Object.assign(() => ({ key: 'acme' }), {
    rewrite: (target: string) => target.slice('/t/acme'.length),
  })
  const handler = tenantFetch(
    tenancy,
    { resolve },
    async (request: OwnRequest, { tenant }, { params }: { params: { id: string } }) =>
      Response.json([
        request.own,
        new URL(request.url).pathname,
        await request.text(),
        tenant?.key,
        params.id,
      ]),
  )
  const request = new OwnRequest('http://any/t/acme/me', { method: 'POST', body: 'text' })
  const response = await handler(request, { params: { id: '7' } })
  expect(await response.json()).toEqual([true, '/me', 'text', 'acme', '7'])
})

test('what was verified is known of the request that the handler gets, also where its path was rewritten', async () => {
  const key = { id: 'k', tenantId: 'id-of-acme', name: 'import', scopes: [], expiresAt: undefined }
  const resolve = Object.assign(
    ({ raw }: { readonly raw: unknown }) => {
      remember(raw, { kind: 'apiKey', key })
      return { key: 'acme' }
    },
    { rewrite: (target: string) => target.replace('/t/acme', '') },
  )
  const handler = tenantFetch(tenancy, { resolve }, (request) => Response.json(credentialOf(request) ?? null))
  for (const path of ['/me', '/t/acme/me']) {
    const response = await handler(new Request(`http://any${path}`))
    expect(await response.json(), path).toMatchObject({ kind: 'apiKey', key: { id: 'k' } })
  }
})

test('a body that fails tells its reader nothing, and the operator all', async () => {
  const reported: unknown[] = []
  const resolve = subdomain({ root: 'localhost' })
  const handler = tenantFetch(tenancy, { resolve, onError: (error) => reported.push(error) }, () => {
    const pull = (): never => {
      throw new Error('the secret of globex')
    }
    return new Response(new ReadableStream({ pull }, { highWaterMark: 0 }))
  })
  const response = await handler(new Request('http://acme.localhost/'))
  await expect(response.text()).rejects.toThrow('The answer broke off.')
  expect(reported).toEqual([expect.objectContaining({ message: 'the secret of globex' })])
})

test('answers without a body, and several cookies, pass as they are', async () => {
  const resolve = subdomain({ root: 'localhost' })
  const answers: Record<string, () => Response> = {
    '/empty': () => new Response(null, { status: 204 }),
    '/moved': () => Response.redirect('http://acme.localhost/there'),
    '/cookies': () => {
      const response = Response.json({})
      response.headers.append('set-cookie', 'a=1')
      response.headers.append('set-cookie', 'b=2')
      return response
    },
  }
  const handler = tenantFetch(tenancy, { resolve }, (request) => {
    const answer = answers[new URL(request.url).pathname]
    return answer === undefined ? new Response() : answer()
  })
  const ask = async (path: string): Promise<Response> => handler(new Request(`http://acme.localhost${path}`))
  expect((await ask('/empty')).status).toBe(204)
  expect((await ask('/moved')).headers.get('location')).toBe('http://acme.localhost/there')
  expect((await ask('/cookies')).headers.getSetCookie()).toEqual(['a=1', 'b=2'])
})
