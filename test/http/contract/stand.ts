/** What the parts of the contract stand on: one face with its site, started anew for each test. */
import type { TenantOptions } from '../../../src/http/tenant-gate.ts'
import { requireRef, type Resolver } from '../../../src/resolve/resolver.ts'
import { subdomain } from '../../../src/resolve/subdomain.ts'
import type { Face, Running } from '../faces/site.ts'
import { httpRoutes, type Observed, observed } from '../http-routes.ts'
import { get, portOf } from '../raw-http.ts'
import { type SampleTenancy, sampleTenancy, sampleTenant } from '../sample-tenancy.ts'

const tenants = [
  sampleTenant('acme', 'active', ['acme-old']),
  sampleTenant('globex'),
  sampleTenant('sleepy', 'suspended', ['sleepy-old']),
  sampleTenant('newborn', 'provisioning'),
  sampleTenant('nomad', 'moving'),
  sampleTenant('attic', 'archived'),
  sampleTenant('ghost', 'erased'),
]
/** A tenant that is moving is waited for. */
export const OTHERS = tenants.filter(({ status }) => status !== 'active' && status !== 'moving')

/** The tenant in the first part of the path, which routers do not see. */
export const inPath: Resolver = Object.assign(
  ({ target }: { readonly target: string }) => {
    const [, key] = /^\/t\/([^/?]*)/.exec(target) ?? []
    return key === undefined ? ('none' as const) : requireRef({ key })
  },
  { rewrite: (target: string) => target.replace(/^\/t\/[^/?]*/, '') || '/' },
)

/** What a framework cannot do, or does itself. */
export interface Limits {
  /** It has no HTTP/2. */
  readonly http2?: false
  /** Its server answers requests without a host, or with a strange one, itself: 400 without a body of ours. */
  readonly ownHostChecks?: true
}

/** How a site is started. */
export interface Setup {
  readonly options?: Partial<TenantOptions<unknown>>
  readonly moves?: { timeoutMs: number; maxPerTenant: number }
  readonly http2?: boolean
}

/** A site that listens, and what it and its tenancy have seen since it was started. */
export interface Stand {
  readonly tenancy: SampleTenancy
  readonly port: number
  readonly reported: unknown[]
  readonly seen: Observed
  /** Starts afresh. */
  start(setup?: Setup): Promise<void>
  close(): Promise<void>
  /** An answer without what differs between any two: the date. */
  comparable(host: string, path?: string): Promise<unknown>
  /** The tenant that was found while the request was served, or the status of its refusal. */
  keyOf(host: string, path?: string): Promise<unknown>
}

export function createStand(face: Face): Stand {
  let running: Running | undefined
  let tenancy = sampleTenancy(tenants)
  let reported: unknown[] = []
  let seen = observed()
  let port = 0

  return {
    get tenancy() {
      return tenancy
    },
    get port() {
      return port
    },
    get reported() {
      return reported
    },
    get seen() {
      return seen
    },
    async start({ options, moves, http2 } = {}) {
      await running?.close()
      tenancy = sampleTenancy(tenants, moves)
      reported = []
      seen = observed()
      running = await face({
        tenancy,
        options: {
          resolve: subdomain({ root: 'localhost' }),
          except: ['/healthz', '/assets/*'],
          central: ['/signup'],
          ...options,
        },
        routes: httpRoutes(tenancy, seen),
        onError: (error) => reported.push(error),
        ...(http2 !== undefined && { http2 }),
      })
      port = portOf(running.server)
    },
    async close() {
      await running?.close()
      running = undefined
    },
    async comparable(host, path = '/me') {
      const { headers, ...rest } = await get(port, host, path)
      return { ...rest, headers: { ...headers, date: undefined } }
    },
    async keyOf(host, path = '/me') {
      const { status, text } = await get(port, host, path)
      return status === 200 ? (JSON.parse(text) as { after: unknown }).after : status
    },
  }
}
