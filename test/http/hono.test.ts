import { Hono } from 'hono'
import { cors } from 'hono/cors'
import { HTTPException } from 'hono/http-exception'
import { expect, test } from 'vitest'
import { problemHandler, tenantMiddleware } from '../../src/http/hono.ts'
import { subdomain } from '../../src/resolve/subdomain.ts'
import { describeFetch } from './describe-fetch.ts'
import { describeHttp } from './describe-http.ts'
import { honoApp, honoFace } from './faces/hono.ts'
import { sampleTenancy, sampleTenant } from './sample-tenancy.ts'

describeHttp('Hono', honoFace, { ownHostChecks: true })
describeFetch('Hono', (site) => {
  const app = honoApp(site)
  return async (request) => app.fetch(request)
})

const tenancy = sampleTenancy([sampleTenant('acme')])
const resolve = subdomain({ root: 'localhost' })

test('Hono’s own exceptions say what they said, and headers of the answer that did not come are gone', async () => {
  const app = new Hono()
  const problems = problemHandler({ onError: () => undefined })
  app.onError(problems.onError).notFound(problems.notFound)
  app.use(cors(), tenantMiddleware(tenancy, { resolve }))
  app.get('/teapot', () => {
    throw new HTTPException(418, { message: 'short and stout' })
  })
  app.get('/own', () => {
    throw new HTTPException(401, { res: new Response('mine', { status: 401 }) })
  })
  app.get('/stale', (c) => {
    c.header('etag', '"x"')
    c.header('set-cookie', 'a=b')
    throw new Error('after headers')
  })
  const ask = async (path: string): Promise<Response> => app.request(`http://acme.localhost${path}`)
  expect(await (await ask('/teapot')).json()).toMatchObject({ status: 418, detail: 'short and stout' })
  expect(await (await ask('/own')).text()).toBe('mine')
  const { status, headers } = await ask('/stale')
  expect([status, headers.get('access-control-allow-origin')]).toEqual([500, '*'])
  expect([headers.get('etag'), headers.get('set-cookie')]).toEqual([null, null])
})

test('A1: a stream that the server pulls from outside has no tenant unless it is bound', async () => {
  const app = new Hono()
  app.use(tenantMiddleware(tenancy, { resolve }))
  const found: (string | undefined)[] = []
  app.get('/:how', (c) => {
    let pulls = 0
    const pull = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
      found.push(tenancy.context.find()?.key)
      pulls += 1
      if (pulls === 3) controller.close()
      else controller.enqueue(new Uint8Array(1))
    }
    const bound = c.req.param('how') === 'bound' ? tenancy.context.bind(pull) : pull
    return c.body(new ReadableStream({ pull: bound }, { highWaterMark: 0 }))
  })
  await (await app.request('http://acme.localhost/plain')).arrayBuffer()
  await (await app.request('http://acme.localhost/bound')).arrayBuffer()
  expect(found).toEqual([undefined, undefined, undefined, 'acme', 'acme', 'acme'])
})
