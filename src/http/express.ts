/** The face for Express 5 and 4: a middleware that finds the tenant, and one that answers errors. */
import type { ErrorRequestHandler, Request, RequestHandler } from 'express'
import type { TenantRuntime } from '../core/runtime.ts'
import type { Tenant } from '../core/tenant.ts'
import { createFailures, noRoute } from './failures.ts'
import type { ProblemOptions } from './failures.ts'
import { nodeParts, requestSignal, settleOnNode } from './node-exchange.ts'
import { createTenantGate } from './tenant-gate.ts'
import type { TenantOptions } from './tenant-gate.ts'

export { drainOnSignal } from './drain.ts'
export type { Drain, DrainOptions } from './drain.ts'
export type { ProblemOptions } from './failures.ts'
export type { TenantOptions } from './tenant-gate.ts'

declare global {
  namespace Express {
    interface Request {
      /** The tenant of this request; absent on `except` and `central` paths. */
      tenant?: Tenant | undefined
      /** Its id, to pass to `dbForTenant(req.tenantId)`, which throws TNY201 where there is none. */
      tenantId?: string | undefined
    }
  }
}

/**
 * Finds the tenant of each request and runs everything behind it in that tenant's context: body parsers, handlers
 * and what they await. Refusals go to `next(error)`; `problemHandler()` answers them.
 *
 * @param tenancy what `createTenancy` returned
 * @throws TNY002 where an option is not valid
 * @example
 * app.use(tenantMiddleware(tenancy, { resolve: subdomain({ root: 'example.com' }), except: ['/healthz'] }))
 */
export function tenantMiddleware(tenancy: TenantRuntime, options: TenantOptions<Request>): RequestHandler {
  const gate = createTenantGate(tenancy, options)
  const { rewrite } = options.resolve

  return async (req, res, next) => {
    let admitted
    try {
      admitted = await gate(nodeParts(req, req), () => requestSignal(res))
    } catch (error) {
      next(error)
      return
    }
    req.tenant = admitted.tenant
    req.tenantId = admitted.tenantId
    if (rewrite !== undefined) rewriteUrl(req, rewrite)
    admitted.run(next)
  }
}

/** From the original, so that a second middleware changes nothing; below the path where an app is mounted. */
function rewriteUrl(req: Request, rewrite: (target: string) => string): void {
  const { originalUrl, baseUrl } = req
  const target = rewrite(originalUrl)
  if (target !== originalUrl && target.startsWith(baseUrl)) req.url = target.slice(baseUrl.length) || '/'
}

/**
 * Answers what nothing before it answered, as problem+json (RFC 9457): errors by their status, and requests that no
 * route took by 404. Mount it last. Strangers never see a stack, SQL, or the name of another tenant.
 *
 * @example
 * app.use(problemHandler({ onError: (error, req) => logger.error({ error, path: req.path }) }))
 */
export function problemHandler(options: ProblemOptions<Request> = {}): [RequestHandler, ErrorRequestHandler] {
  const decide = createFailures(options)

  // Express knows error handlers by their four parameters.
  const onFailure: ErrorRequestHandler = (error: unknown, req, res, _next) => {
    const { tenantId } = req
    settleOnNode(decide(error, { request: req, tenantId, begun: res.headersSent }), res)
  }
  return [(_req, res) => settleOnNode(noRoute(), res), onFailure]
}
