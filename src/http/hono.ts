/** The face for Hono 4, on Node and on any fetch platform: a middleware that finds the tenant, and what answers errors. */
import type { Context, ErrorHandler, MiddlewareHandler, NotFoundHandler } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { getPath } from 'hono/utils/url'
import type { TenantRuntime } from '../core/runtime.ts'
import type { RequestParts } from '../resolve/resolvable-request.ts'
import type { Resolver } from '../resolve/resolver.ts'
import { createFailures, noRoute, STALE_HEADERS } from './failures.ts'
import type { Outcome, ProblemOptions } from './failures.ts'
import { failureResponse, fetchParts, fetchSignal, fetchTarget } from './fetch-exchange.ts'
import type { FetchOptions } from './fetch-exchange.ts'
import { nodeParts, requestSignal } from './node-exchange.ts'
import type { NodeRequest, NodeResponse } from './node-exchange.ts'
import { createTenantGate } from './tenant-gate.ts'
import type { Served, TenantOptions } from './tenant-gate.ts'

export { drainOnSignal } from './drain.ts'
export type { Drain, DrainOptions } from './drain.ts'
export type { ProblemOptions } from './failures.ts'
export type { FetchOptions } from './fetch-exchange.ts'
export type { TenantOptions } from './tenant-gate.ts'

/** The variables that the middleware sets: `new Hono<{ Variables: TenantVariables }>()`. */
export type TenantVariables = Served

/** What `tenantMiddleware` may be told. */
export interface TenantMiddlewareOptions extends TenantOptions<Context>, FetchOptions<Context> {}

/**
 * Finds the tenant of each request and runs everything behind it in that tenant's context: later middleware, handlers
 * and what they await. It sets `c.get('tenant')` and `c.get('tenantId')`. Refusals are thrown; `problemHandler()` answers
 * them. With `@hono/node-server` it reads the request as it came on the wire, elsewhere what the Request holds.
 *
 * @param tenancy what `createTenancy` returned
 * @throws TNY002 where an option is not valid
 * @example
 * app.use(tenantMiddleware(tenancy, { resolve: subdomain({ root: 'example.com' }), except: ['/healthz'] }))
 */
export function tenantMiddleware(
  tenancy: TenantRuntime,
  options: TenantMiddlewareOptions,
): MiddlewareHandler<{ Variables: TenantVariables }> {
  const gate = createTenantGate(tenancy, options)

  return async (c, next) => {
    const node = nodeBindings(c.env)
    const admitted = await gate(partsOf(c, node, options), () =>
      node === undefined ? fetchSignal(c.req.raw) : requestSignal(node.outgoing),
    )
    c.set('tenant', admitted.tenant)
    c.set('tenantId', admitted.tenantId)
    await admitted.run(next)
  }
}

/** What `@hono/node-server` passes as `c.env`. */
interface NodeBindings {
  readonly incoming: NodeRequest
  readonly outgoing: NodeResponse
}

function nodeBindings(env: unknown): NodeBindings | undefined {
  const { incoming, outgoing } = (env ?? {}) as Partial<NodeBindings>
  return Array.isArray(incoming?.rawHeaders) && outgoing !== undefined ? { incoming, outgoing } : undefined
}

function partsOf(
  c: Context,
  node: NodeBindings | undefined,
  options: FetchOptions<Context>,
): RequestParts<Context> {
  if (node === undefined) return fetchParts(c, c.req.raw, options)
  const parts = nodeParts(c, node.incoming)
  return options.remoteAddress === undefined ? parts : { ...parts, remoteAddress: options.remoteAddress(c) }
}

/**
 * What a resolver with the tenant in the path needs, since Hono chooses the routes before any middleware runs: they see
 * `/orders` where the client asked for `/t/acme/orders`. `c.req.url` stays what the client sent.
 *
 * @example
 * const app = new Hono({ getPath: tenantPath(resolve) })
 */
export function tenantPath(resolve: Resolver<never>): (request: Request) => string {
  return (request) => {
    const target = fetchTarget(request.url)
    const wanted = resolve.rewrite?.(target) ?? target
    return wanted === target ? getPath(request) : getPath({ url: `http://any${wanted}` } as Request)
  }
}

/** For `app.onError()` and `app.notFound()`. */
export interface ProblemHandlers {
  readonly onError: ErrorHandler
  readonly notFound: NotFoundHandler
}

/**
 * Answers errors, and requests that no route took, as problem+json (RFC 9457). Strangers never see a stack, SQL, or the
 * name of another tenant. An HTTPException with a response of its own keeps it.
 *
 * @example
 * const problems = problemHandler({ onError: (error, c) => logger.error({ error, path: c.req.path }) })
 * app.onError(problems.onError).notFound(problems.notFound)
 */
export function problemHandler(options: ProblemOptions<Context> = {}): ProblemHandlers {
  const decide = createFailures(options)

  return {
    notFound: (c) => settle(noRoute(), c),
    onError(error, c) {
      if (error instanceof HTTPException && error.res !== undefined) return error.getResponse()
      const tenantId = c.get('tenantId') as string | undefined
      return settle(decide(exposed(error), { request: c, tenantId, begun: false }), c)
    },
  }
}

/** The message of an HTTPException is what Hono itself would answer. */
function exposed(error: Error): unknown {
  if (!(error instanceof HTTPException) || error.status >= 500) return error
  return { status: error.status, message: error.message, expose: true }
}

function settle(outcome: Outcome, c: Context): Response {
  for (const name of STALE_HEADERS) c.header(name, undefined)
  return failureResponse(outcome, nodeBindings(c.env)?.incoming.httpVersionMajor)
}
