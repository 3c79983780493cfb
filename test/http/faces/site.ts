/** What the contract of HTTP faces asks a framework to serve: routes that know no framework, and how they are started. */
import type { Server } from 'node:http'
import type { TenantRuntime } from '../../../src/core/runtime.ts'
import type { Tenant } from '../../../src/core/tenant.ts'
import type { TenantOptions } from '../../../src/http/tenant-gate.ts'

/** One request, as its handler sees it through the framework. */
export interface Visit {
  /** What the framework's request carries. */
  readonly tenant: Tenant | undefined
  readonly tenantId: string | undefined
  /** Path and query, as routers saw them. */
  readonly url: string
  /** The body as the framework's own parser reads it, or as text where it has none. */
  body(): Promise<unknown>
  /** The body, unread. */
  upload(): AsyncIterable<Uint8Array>
}

/** What a handler answers. */
export type Reply =
  | { readonly json: object }
  /** Written as it comes. */
  | { readonly stream: AsyncIterable<string> }

export type Handle = (visit: Visit) => Promise<Reply>

/** What is to be served. Its options fit every framework: they use nothing of its request. */
export interface Site {
  readonly tenancy: TenantRuntime
  readonly options: TenantOptions<unknown>
  /** By path. */
  readonly routes: Readonly<Record<string, Handle>>
  onError(error: unknown): void
  /** Over HTTP/2, without TLS. */
  readonly http2?: boolean
}

/** A server that listens. */
export interface Running {
  readonly server: Server
  close(): Promise<void>
}

/** Starts a site on a free port of 127.0.0.1, with one framework. */
export type Face = (site: Site) => Promise<Running>

/** For frameworks without a method of their own for it. */
export async function listen(server: Server): Promise<Running> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve)
  })
  return {
    server,
    async close() {
      await new Promise((resolve) => {
        server.close(resolve)
        server.closeAllConnections?.()
      })
    },
  }
}
