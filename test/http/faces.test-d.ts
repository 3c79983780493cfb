/** Types of what each face gives its handlers; tsc reads this along with the rest. */
import 'reflect-metadata'
import type { Request as ExpressRequest } from 'express'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Hono } from 'hono'
import { createServer } from 'node:http'
import {
  createServer as createHttp2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
} from 'node:http2'
import { expectTypeOf } from 'vitest'
import type { Tenancy, Tenant } from '../../src/index.ts'
import { tenantMiddleware as forExpress } from '../../src/http/express.ts'
import { tenantPlugin } from '../../src/http/fastify.ts'
import { tenantFetch } from '../../src/http/fetch.ts'
import { tenantMiddleware as forHono, type TenantVariables } from '../../src/http/hono.ts'
import { TenantryModule } from '../../src/http/nest.ts'
import { withTenant } from '../../src/http/node.ts'
import { header } from '../../src/resolve/header.ts'

declare const tenancy: Tenancy
const resolve = header('x-tenant')

expectTypeOf<ExpressRequest['tenant']>().toEqualTypeOf<Tenant | undefined>()
forExpress(tenancy, { resolve, isMember: (req, { key }) => req.get('x-member') === key })

expectTypeOf<FastifyRequest['tenant']>().toEqualTypeOf<Tenant | undefined>()
expectTypeOf<FastifyRequest['tenantId']>().toEqualTypeOf<string | undefined>()
declare const fastify: FastifyInstance
fastify.register(
  tenantPlugin(tenancy, { resolve, isMember: ({ headers }) => headers['x-member'] !== undefined }),
)

const hono = new Hono<{ Variables: TenantVariables }>()
hono.use(forHono(tenancy, { resolve, isMember: (c) => c.req.header('x-member') !== undefined }))
hono.get('/', (c) => {
  expectTypeOf(c.get('tenant')).toEqualTypeOf<Tenant | undefined>()
  return c.text(c.var.tenantId ?? '')
})
// Without Variables of one's own, the middleware's reach the handlers behind it.
new Hono().get('/', forHono(tenancy, { resolve }), (c) => {
  expectTypeOf(c.get('tenantId')).toEqualTypeOf<string | undefined>()
  return c.body(null)
})

createServer(
  withTenant(tenancy, { resolve }, (req, res, { tenant }) => {
    expectTypeOf(tenant).toEqualTypeOf<Tenant | undefined>()
    res.end(req.url)
  }),
)
createHttp2Server(
  withTenant(tenancy, { resolve }, (req: Http2ServerRequest, res: Http2ServerResponse) => {
    res.stream.respond({ ':path': req.url })
  }),
)

const handler = tenantFetch(tenancy, { resolve }, (_request, { tenantId }) => new Response(tenantId))
expectTypeOf(handler).toEqualTypeOf<(request: Request) => Promise<Response>>()
const withParams = tenantFetch(
  tenancy,
  { resolve },
  async (_request: Request, _served, { params }: { params: Promise<{ id: string }> }) =>
    new Response((await params).id),
)
expectTypeOf(withParams).parameters.toEqualTypeOf<[Request, { params: Promise<{ id: string }> }]>()

TenantryModule.forRoot({ tenancy, resolve, isMember: (request) => request.headers['x-member'] !== undefined })
TenantryModule.forRootAsync({ inject: ['CONFIG'], useFactory: (_config: object) => ({ tenancy, resolve }) })
// @ts-expect-error -- a resolver is not optional
TenantryModule.forRoot({ tenancy })
