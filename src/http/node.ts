/** The face for plain node:http and node:http2: a listener that finds the tenant, and answers errors. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { TenantRuntime } from '../core/runtime.ts'
import { createFailures } from './failures.ts'
import type { ProblemOptions } from './failures.ts'
import { keepTarget, nodeParts, requestSignal, settleOnNode } from './node-exchange.ts'
import type { NodeRequest, NodeResponse } from './node-exchange.ts'
import { createTenantGate } from './tenant-gate.ts'
import type { Served, TenantOptions } from './tenant-gate.ts'

export { drainOnSignal } from './drain.ts'
export type { Drain, DrainOptions } from './drain.ts'
export type { ProblemOptions } from './failures.ts'
export type { NodeRequest, NodeResponse } from './node-exchange.ts'
export type { Served, TenantOptions } from './tenant-gate.ts'

/** What `withTenant` may be told. */
export interface WithTenantOptions<R> extends TenantOptions<R>, ProblemOptions<R> {}

/**
 * A request listener that finds the tenant of each request and runs `handler` in that tenant's context. Refusals, and
 * what the handler throws or rejects with, are answered as problem+json.
 *
 * @param tenancy what `createTenancy` returned
 * @throws TNY002 where an option is not valid
 * @example
 * createServer(withTenant(tenancy, { resolve: subdomain({ root: 'example.com' }) }, async (req, res, { tenant }) => {
 *   const { rows } = await tenancy.pool.query('select * from orders')
 *   res.end(JSON.stringify(rows))
 * }))
 */
export function withTenant<
  Req extends NodeRequest = IncomingMessage,
  Res extends NodeResponse = ServerResponse,
>(
  tenancy: TenantRuntime,
  options: WithTenantOptions<Req>,
  handler: (request: Req, response: Res, served: Served) => unknown,
): (request: Req, response: Res) => void {
  const gate = createTenantGate(tenancy, options)
  const decide = createFailures(options)
  const { rewrite } = options.resolve

  return (request, response) => {
    let tenantId: string | undefined

    async function serve(): Promise<void> {
      const target = keepTarget(request)
      const { tenant, run } = await gate(nodeParts(request, request), () => requestSignal(response))
      tenantId = tenant?.id
      if (rewrite !== undefined) request.url = rewrite(target)
      await run(() => handler(request, response, { tenant, tenantId }))
    }

    serve().catch((error: unknown) => {
      settleOnNode(decide(error, { request, tenantId, begun: response.headersSent }), response)
    })
  }
}
