/** The face for Express 5 and 4: a middleware that finds the tenant, and one that answers errors. */
import type { ErrorRequestHandler, Request, RequestHandler, Response } from 'express'
import { TenantryError } from '../core/errors.ts'
import type { TenantRuntime } from '../core/runtime.ts'
import type { Tenant } from '../core/tenant.ts'
import { createAdmission } from './admission.ts'
import type { AdmissionOptions } from './admission.ts'
import { problemOf, tenantryCause } from './problem.ts'
import { reportToStderr } from './report.ts'
import { requestSignal } from './request-signal.ts'

export type { AdmissionOptions } from './admission.ts'
export { drainOnSignal } from './drain.ts'
export type { Drain, DrainOptions } from './drain.ts'

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

/** What `tenantMiddleware` may be told. */
export interface TenantMiddlewareOptions extends AdmissionOptions<Request> {
  /**
   * Whether a request's statements stop (TNY107) when its client leaves before the answer was finished. Off by default:
   * with Node a request goes on then, and a POST whose client lost its network has had its effect.
   */
  readonly abortOnDisconnect?: boolean
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
export function tenantMiddleware(tenancy: TenantRuntime, options: TenantMiddlewareOptions): RequestHandler {
  const admit = createAdmission(tenancy, options)

  return async (req, res, next) => {
    const { originalUrl: target, rawHeaders } = req
    let tenant
    try {
      tenant = await admit({ raw: req, target, rawHeaders, remoteAddress: req.socket.remoteAddress })
    } catch (error) {
      next(error)
      return
    }
    req.tenant = tenant
    req.tenantId = tenant?.id
    if (tenant === undefined) tenancy.context.exit(next)
    else if (options.abortOnDisconnect !== true) tenancy.context.run(tenant, next)
    else tenancy.context.run(tenant, next, { signal: requestSignal(res) })
  }
}

/** What `problemHandler` may be told. */
export interface ProblemHandlerOptions {
  /** Hears every error that is the service's own fault (5xx), for a logger. Writes to standard error by default. */
  readonly onError?: (error: unknown, req: Request) => void
}

/** Headers that described the answer which is not coming. Others stay: without CORS's, browsers hide the problem. */
const STALE_HEADERS = [
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-range',
  'etag',
  'expires',
  'last-modified',
  'set-cookie',
  'transfer-encoding',
]

/**
 * Answers what nothing before it answered, as problem+json (RFC 9457): errors by their status, and requests that no
 * route took by 404. Mount it last. Strangers never see a stack, SQL, or the name of another tenant.
 *
 * @example
 * app.use(problemHandler({ onError: (error, req) => logger.error({ error, path: req.path }) }))
 */
export function problemHandler(options: ProblemHandlerOptions = {}): [RequestHandler, ErrorRequestHandler] {
  const onError = options.onError ?? reportToStderr

  function report(error: unknown, req: Request): void {
    try {
      onError(error, req)
    } catch (failure) {
      // Express would answer a second time, with the stack.
      process.emitWarning(failure instanceof Error ? failure : String(failure))
    }
  }

  // Express knows error handlers by their four parameters.
  const onFailure: ErrorRequestHandler = (error: unknown, req, res, _next) => {
    // Nobody reads an answer, and nothing failed.
    if (tenantryCause(error)?.code === 'TNY107') return
    if (res.headersSent) {
      // Half an answer is out: only a broken connection tells the client that the rest is missing.
      req.socket.destroy()
      report(error, req)
      return
    }
    const status = answer(lostTenant(error, req) ? new TenantryError('TNY101') : error, res)
    if (status >= 500 && !isClosing(error)) report(error, req)
  }
  return [(_req, res) => void answer({ status: 404 }, res), onFailure]
}

/** Suspended or erased while it was being served: the answer is the one that the next request gets (I3). */
function lostTenant(error: unknown, req: Request): boolean {
  return (
    error instanceof TenantryError &&
    (error.code === 'TNY209' || error.code === 'TNY211') &&
    error.tenantId !== undefined &&
    error.tenantId === req.tenantId
  )
}

function isClosing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'TNY106'
}

function answer(error: unknown, res: Response): number {
  const { status, headers, body } = problemOf(error)
  for (const name of STALE_HEADERS) res.removeHeader(name)
  res.writeHead(status, headers).end(body)
  return status
}
