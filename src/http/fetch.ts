/** The face for fetch handlers, from a Request to a Response: Next.js, Deno, Bun, workers. */
import type { TenantRuntime } from '../core/runtime.ts'
import { passOn } from '../resolve/credential.ts'
import { createFailures } from './failures.ts'
import type { ProblemOptions } from './failures.ts'
import { failureResponse, fetchParts, fetchSignal, rewritten } from './fetch-exchange.ts'
import type { FetchOptions } from './fetch-exchange.ts'
import { createTenantGate } from './tenant-gate.ts'
import type { Admitted, Served, TenantOptions } from './tenant-gate.ts'

export type { ProblemOptions } from './failures.ts'
export type { FetchOptions } from './fetch-exchange.ts'
export type { Served, TenantOptions } from './tenant-gate.ts'

/** What `tenantFetch` may be told. */
export interface TenantFetchOptions<R> extends TenantOptions<R>, ProblemOptions<R>, FetchOptions<R> {}

/**
 * A fetch handler that finds the tenant of each request and runs `handler` in that tenant's context, where the body of
 * its response is read too. Refusals, and what the handler throws, are answered as problem+json.
 *
 * @param tenancy what `createTenancy` returned
 * @param handler gets the request, its tenant, and whatever else the platform passes, such as Next.js's `{ params }`
 * @throws TNY002 where an option is not valid
 * @example
 * export const GET = tenantFetch(tenancy, { resolve: subdomain({ root: 'example.com' }) }, async (request, { tenant }) =>
 *   Response.json((await tenancy.pool.query('select * from orders')).rows))
 */
export function tenantFetch<R extends Request = Request, A extends unknown[] = []>(
  tenancy: TenantRuntime,
  options: TenantFetchOptions<R>,
  handler: (request: R, served: Served, ...rest: A) => Response | Promise<Response>,
): (request: R, ...rest: A) => Promise<Response> {
  const gate = createTenantGate(tenancy, options)
  const decide = createFailures(options)
  const { rewrite } = options.resolve

  return async (request, ...rest) => {
    let tenantId: string | undefined
    try {
      const admitted = await gate(fetchParts(request, request, options), () => fetchSignal(request))
      const { tenant } = admitted
      tenantId = tenant?.id
      const routed = rewrite === undefined ? request : rewritten(request, rewrite)
      passOn(request, routed)
      const response = await admitted.run(() => handler(routed, { tenant, tenantId }, ...rest))
      return readInside(response, admitted, (error) => decide(error, { request, tenantId, begun: true }))
    } catch (error) {
      return failureResponse(decide(error, { request, tenantId, begun: false }))
    }
  }
}

/** The server reads the body after the handler returned, from outside: a stream that asks for rows would have no tenant. */
function readInside(response: Response, { run }: Admitted, report: (error: unknown) => void): Response {
  if (response.body === null) return response
  const reader = response.body.getReader()
  const body = new ReadableStream<Uint8Array>(
    {
      pull: (controller) =>
        run(async () => {
          try {
            const { done, value } = await reader.read()
            if (done) controller.close()
            else controller.enqueue(value)
          } catch (error) {
            report(error)
            // Servers log it, and some of them tell the client its message.
            controller.error(new Error('The answer broke off.'))
          }
        }),
      cancel: (reason) => run(() => reader.cancel(reason)),
    },
    // Nothing is read ahead that the server has not asked for.
    { highWaterMark: 0 },
  )
  return new Response(body, response)
}
