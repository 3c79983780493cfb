import fastify, { type FastifyInstance } from 'fastify'
import { afterEach, describe, expect, test } from 'vitest'
import { problemPlugin, tenantPlugin, tenantRewriteUrl } from '../../src/http/fastify.ts'
import { subdomain } from '../../src/resolve/subdomain.ts'
import { describeHttp } from './describe-http.ts'
import { fastifyFace } from './faces/fastify.ts'
import { sampleTenancy, sampleTenant } from './sample-tenancy.ts'

describeHttp('Fastify', fastifyFace)

describe('Fastify alone', () => {
  let app: FastifyInstance | undefined
  afterEach(() => app?.close())

  const tenancy = sampleTenancy([sampleTenant('acme')])
  const resolve = subdomain({ root: 'localhost' })
  const host = 'acme.localhost'

  test('A1: every hook from onRequest to onSend, and parsers that read the stream, are in the context', async () => {
    const found: Record<string, string | undefined> = {}
    const note = (name: string): void => {
      found[name] = tenancy.context.find()?.key
    }
    app = fastify()
    app.addHook('onRequest', async () => note('before'))
    app.register(tenantPlugin(tenancy, { resolve }))
    for (const hook of ['onRequest', 'preValidation', 'preHandler'] as const) {
      app.addHook(hook, async () => note(hook))
    }
    app.addHook('preParsing', async (_request, _reply, payload) => {
      note('preParsing')
      return payload
    })
    app.addHook('onSend', async () => note('onSend'))
    app.addContentTypeParser('text/csv', async (_request: unknown, payload: AsyncIterable<Buffer>) => {
      let rows = 0
      for await (const chunk of payload) rows += chunk.toString().split('\n').length
      note('parser')
      return rows
    })
    app.post('/', async ({ body, tenant, tenantId }) => ({ body, key: tenant?.key, tenantId }))
    const headers = { host, 'content-type': 'text/csv' }
    const answer = await app.inject({ method: 'POST', url: '/', headers, body: 'a\nb\nc' })
    expect(answer.json()).toEqual({ body: 3, key: 'acme', tenantId: 'id-of-acme' })
    const { before, ...inside } = found
    expect(before).toBeUndefined()
    expect(Object.keys(inside).sort()).toEqual([
      'onRequest',
      'onSend',
      'parser',
      'preHandler',
      'preParsing',
      'preValidation',
    ])
    expect(new Set(Object.values(inside))).toEqual(new Set(['acme']))
  })

  test('registered within a plugin it holds for the routes there; twice, for one more time', async () => {
    app = fastify()
    app.register(async (shop) => {
      shop.register(tenantPlugin(tenancy, { resolve }))
      shop.get('/shop', async (request) => request.tenant?.key)
      shop.register(async (reports) => {
        reports.register(tenantPlugin(tenancy, { resolve, abortOnDisconnect: true }))
        reports.get('/reports', async () => String(tenancy.context.signal() !== undefined))
      })
    })
    app.get('/about', async () => String(tenancy.context.find()?.key))
    expect((await app.inject({ url: '/shop', headers: { host } })).body).toBe('acme')
    expect((await app.inject({ url: '/reports', headers: { host } })).body).toBe('true')
    expect((await app.inject({ url: '/about' })).body).toBe('undefined')
  })

  test('errors of Fastify say what is wrong, and headers of the answer that did not come are gone', async () => {
    const reported: unknown[] = []
    app = fastify({ bodyLimit: 1_000 })
    app.register(tenantPlugin(tenancy, { resolve }))
    app.register(problemPlugin({ onError: (error) => reported.push(error) }))
    const schema = { body: { type: 'object', properties: { a: { type: 'number' } }, required: ['a'] } }
    app.post('/', { schema }, async () => 'ok')
    app.get('/stale', async (_request, reply) => {
      reply.headers({ etag: '"x"', 'set-cookie': 'a=b', 'access-control-allow-origin': '*' })
      throw new Error('after headers')
    })
    const post = { method: 'POST', url: '/', headers: { host, 'content-type': 'application/json' } } as const
    const ask = async (body: string): Promise<unknown> => (await app?.inject({ ...post, body }))?.json()
    expect(await ask('{')).toMatchObject({ status: 400, detail: expect.any(String) })
    expect(await ask('{}')).toMatchObject({ status: 400, detail: "body must have required property 'a'" })
    expect(await ask(`{"a":1,"b":"${'x'.repeat(1_000)}"}`)).toMatchObject({ status: 413 })
    expect(reported).toEqual([])
    const stale = await app.inject({ url: '/stale', headers: { host } })
    expect([stale.statusCode, stale.headers]).toMatchObject([500, { 'access-control-allow-origin': '*' }])
    for (const name of ['set-cookie', 'etag']) expect(stale.headers).not.toHaveProperty(name)
  })

  test('a resolver that rewrites, on a server that was not told, is a fault of the set-up and no 404', async () => {
    const inPath = Object.assign(() => ({ key: 'acme' }), { rewrite: (target: string) => target.slice(7) })
    app = fastify()
    app.register(tenantPlugin(tenancy, { resolve: inPath }))
    app.get('/t/acme/me', async () => 'wrong')
    expect((await app.inject('/t/acme/me')).json()).toMatchObject({ statusCode: 500, code: 'TNY002' })
    await app.close()
    app = fastify({ rewriteUrl: tenantRewriteUrl(inPath) })
    app.register(tenantPlugin(tenancy, { resolve: inPath }))
    app.get('/me', async ({ originalUrl }) => originalUrl)
    expect((await app.inject('/t/acme/me')).body).toBe('/t/acme/me')
  })
})
