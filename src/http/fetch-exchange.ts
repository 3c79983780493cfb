/** What adapters on the Fetch API share: a request's parts, its signal, its failure's answer. There is no socket. */
import { TenantryError } from '../core/errors.ts'
import type { RequestParts } from '../resolve/resolvable-request.ts'
import { problemHeaders } from './failures.ts'
import type { Outcome } from './failures.ts'

/** What the Fetch API does not say of a request. */
export interface FetchOptions<R> {
  /** The address of the peer, as the platform knows it; without it no forwarded header is ever believed. */
  readonly remoteAddress?: (request: R) => string | undefined
  /**
   * Where the host stands. `agree`: in the Host header and in the URL, which must name the same; where there is no such
   * header, in the URL. `header`: in the header alone, for servers that put a name of their own into the URL, such as
   * Next.js. Default: `agree`.
   */
  readonly host?: 'agree' | 'header'
}

/** The target of a request in origin form: `/orders?page=2`. */
export function fetchTarget(url: string): string {
  const path = url.indexOf('/', url.indexOf('://') + 3)
  return path === -1 ? '/' : url.slice(path)
}

/**
 * What admission looks at. Lines of one name come joined here (`a, b`), so that where two would be refused, the one
 * value is: no host, key or id has a comma in it.
 */
export function fetchParts<R>(raw: R, request: Request, options: FetchOptions<R>): RequestParts<R> {
  // Not by URL: servers put together what it would not read.
  const host = /^[^:]*:\/\/([^/?#]*)/.exec(request.url)?.[1] ?? ''
  const header = request.headers.get('host')
  const rawHeaders = [...request.headers].flat()
  if (header === null && options.host !== 'header') rawHeaders.push('host', host)
  // In absolute form a target is held against the Host header.
  const differ = header !== null && header !== host && options.host !== 'header'
  const target = differ ? request.url : fetchTarget(request.url)
  return { raw, target, rawHeaders, remoteAddress: options.remoteAddress?.(raw) }
}

/** The same request as routers see it. */
export function rewritten<R extends Request>(request: R, rewrite: (target: string) => string): R {
  const target = fetchTarget(request.url)
  const wanted = rewrite(target)
  if (wanted === target) return request
  // Of the same class: Next.js hands over one of its own.
  const Same = request.constructor as new (url: string, init: Request) => R
  return new Same(request.url.slice(0, request.url.length - target.length) + wanted, request)
}

/** For the context of one request, with a reason of ours. */
export function fetchSignal(request: Request): AbortSignal {
  const controller = new AbortController()
  const abort = (): void => controller.abort(new TenantryError('TNY107'))
  if (request.signal.aborted) abort()
  else request.signal.addEventListener('abort', abort, { once: true })
  return controller.signal
}

/** The answer to a failure that came before the answer. */
export function failureResponse(outcome: Outcome, httpVersionMajor = 1): Response {
  if (typeof outcome === 'string') return new Response(null, { status: 499 })
  const { status, body } = outcome
  return new Response(body, { status, headers: problemHeaders(outcome, httpVersionMajor) })
}
