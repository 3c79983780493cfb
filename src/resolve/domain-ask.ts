/** Answers a proxy that makes certificates on demand (Caddy's `ask`): is this host one that a tenant is served at? */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TenantRuntime } from '../core/runtime.ts'
import { canonicalHost } from './canonical-host.ts'
import { firstOf } from './combine.ts'
import { customDomain } from './custom-domain.ts'
import { requireRef } from './resolver.ts'
import { subdomain } from './subdomain.ts'

/** Which hosts get a certificate beside verified domains. */
export interface DomainAskOptions {
  /** The service's own hosts, as for `subdomain()`: they, and `<key>.<root>` of active tenants. None by default. */
  readonly roots?: readonly string[]
}

/** The question, and its answer in three forms. */
export interface DomainAsk {
  /**
   * Whether a certificate may be made for this host.
   * @throws TNY112, TNY202 where that cannot be found out
   */
  allows(host: string): Promise<boolean>
  /** A handler of node:http: 200 or 404, without a body; 503 where it cannot be found out. */
  readonly node: (request: IncomingMessage, response: ServerResponse) => void
  /** The same for servers that work with `Request` and `Response`. */
  readonly fetch: (request: Request) => Promise<Response>
}

/** Who asks by itself sets none of these; what comes through a proxy comes from somebody else. */
const FORWARDED = ['x-forwarded-for', 'x-forwarded-host', 'forwarded', 'via']

/**
 * Serves `GET /?domain=shop.acme.com`, the contract of Caddy's `on_demand_tls`: 200 lets it make a certificate, everything
 * else does not. Answers come from the memory of tenants, within a second of a change. Whoever can ask can find out which
 * tenants there are: let it listen on a loopback address of its own, never on the service's port. Questions that a proxy
 * has passed on get 404 all the same.
 *
 * @throws TNY002 where a root is not a host name
 * @example
 * const ask = createDomainAsk(tenancy, { roots: ['example.com'] })
 * createServer(ask.node).listen(5555, '127.0.0.1')
 */
export function createDomainAsk(
  tenancy: Pick<TenantRuntime, 'directory'>,
  { roots = [] }: DomainAskOptions = {},
): DomainAsk {
  const resolve = roots.length === 0 ? customDomain() : firstOf(subdomain({ root: roots }), customDomain())
  const own = new Set(roots.map((root) => canonicalHost(root).name))

  async function allows(text: string): Promise<boolean> {
    let ref
    try {
      const host = canonicalHost(text)
      if (host.isAddress || text.includes(':')) return false
      if (own.has(host.name)) return true
      ref = await resolve({ raw: undefined, target: '/', host: () => host, header: () => [] })
      if (typeof ref === 'string' || 'length' in ref) return false
      requireRef(ref)
    } catch {
      // No host name, or no key: nobody is served there.
      return false
    }
    const status = (await tenancy.directory.find(ref))?.status
    // Requests wait for the end of a move; a handshake cannot.
    return status === 'active' || status === 'moving'
  }

  /** The status of an answer. */
  async function answer(
    method: string | undefined,
    target: string,
    hasHeader: (name: string) => boolean,
  ): Promise<number> {
    if (method !== 'GET' || FORWARDED.some(hasHeader)) return 404
    const [domain, ...others] = new URLSearchParams(target.slice(target.indexOf('?') + 1)).getAll('domain')
    if (domain === undefined || others.length > 0) return 404
    return allows(domain).then(
      (allowed) => (allowed ? 200 : 404),
      () => 503,
    )
  }

  return {
    allows,
    node(request, response) {
      void answer(request.method, request.url ?? '', (name) => name in request.headers).then((status) => {
        response.writeHead(status, { 'cache-control': 'no-store', 'content-length': 0 }).end()
      })
    },
    async fetch(request) {
      const status = await answer(request.method, request.url, (name) => request.headers.has(name))
      return new Response(null, { status, headers: { 'cache-control': 'no-store' } })
    },
  }
}
