/** What adapters on Node's servers share: a request's parts as they came on the wire, its signal, its failure's answer. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'
import { TenantryError } from '../core/errors.ts'
import type { RequestParts } from '../resolve/resolvable-request.ts'
import type { Resolver } from '../resolve/resolver.ts'
import { problemHeaders, STALE_HEADERS } from './failures.ts'
import type { Outcome } from './failures.ts'

/** A request of `node:http` or `node:http2`. */
export type NodeRequest = IncomingMessage | Http2ServerRequest
/** Its response. */
export type NodeResponse = ServerResponse | Http2ServerResponse

/** Where the target stays that came on the wire, while `url` and `originalUrl` are rewritten by whoever likes to. */
const TARGET = Symbol('tenantry.target')

interface WithTarget {
  [TARGET]?: string
  originalUrl?: string
}

/** Keeps the target before anything rewrites it. */
export function keepTarget(request: NodeRequest): string {
  const target = wireTarget(request)
  ;(request as WithTarget)[TARGET] = target
  return target
}

/** The target as it came, as far as it was kept. */
function wireTarget(request: NodeRequest): string {
  const { [TARGET]: kept, originalUrl } = request as WithTarget
  return kept ?? originalUrl ?? request.url ?? '/'
}

/** Whether `keepTarget` saw this request. */
export function isTargetKept(request: NodeRequest): boolean {
  return (request as WithTarget)[TARGET] !== undefined
}

/**
 * What a resolver with the tenant in the path needs on Fastify, which chooses the route before any plugin runs: routers
 * see `/orders` where the client asked for `/t/acme/orders`. `request.originalUrl` stays what the client sent.
 *
 * @example
 * const app = fastify({ rewriteUrl: tenantRewriteUrl(resolve) })
 */
export function tenantRewriteUrl(resolve: Resolver<never>): (request: NodeRequest) => string {
  return (request) => {
    const target = keepTarget(request)
    return resolve.rewrite?.(target) ?? target
  }
}

/** For requests whose target nobody kept: their route was chosen by the wrong path. */
export function untoldOfRewriting(): TenantryError {
  const reason =
    'the resolver takes a part of the path away, and Fastify was made without { rewriteUrl: tenantRewriteUrl(resolve) }'
  return new TenantryError('TNY002', { params: { reason } })
}

/** What admission looks at. */
export function nodeParts<R>(raw: R, request: NodeRequest): RequestParts<R> {
  return {
    raw,
    target: wireTarget(request),
    rawHeaders: request.rawHeaders,
    remoteAddress: request.socket.remoteAddress,
  }
}

/** For the context of one request. Its reason is TNY107; it listens until the response is closed, however it ends. */
export function requestSignal(response: NodeResponse): AbortSignal {
  const controller = new AbortController()
  const { destroyed } = 'stream' in response ? response.stream : response
  const onClose = (): void => {
    if (!isFinished(response)) controller.abort(new TenantryError('TNY107'))
  }
  // Gone before anybody listened: nothing will tell it a second time.
  if (destroyed) onClose()
  else response.once('close', onClose)
  return controller.signal
}

/** RFC 9113, section 7. */
const NO_ERROR = 0

/** A stream of HTTP/2 that its client resets counts as finished with Node; only its code tells. */
function isFinished(response: NodeResponse): boolean {
  return 'stream' in response
    ? response.writableEnded && response.stream.rstCode === NO_ERROR
    : response.writableFinished
}

/** Carries out what was decided about a failure. */
export function settleOnNode(outcome: Outcome, response: NodeResponse): void {
  if (outcome === 'nothing') return
  if (outcome === 'break') {
    // HTTP/2: this answer alone, the connection has others.
    if ('stream' in response) response.stream.destroy()
    else (response.req.socket ?? response).destroy()
    return
  }
  for (const name of STALE_HEADERS) response.removeHeader(name)
  for (const [name, value] of Object.entries(problemHeaders(outcome, response.req.httpVersionMajor))) {
    response.setHeader(name, value)
  }
  response.statusCode = outcome.status
  response.end(outcome.body)
}
