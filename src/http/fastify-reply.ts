/** How a failure is answered through Fastify's reply, so that hooks and headers of plugins such as CORS count. */
import type { FastifyReply } from 'fastify'
import { problemHeaders, STALE_HEADERS } from './failures.ts'
import type { Outcome } from './failures.ts'
import { settleOnNode } from './node-exchange.ts'

/** Carries out what was decided about a failure. */
export function settleOnReply(outcome: Outcome, reply: FastifyReply): void {
  if (typeof outcome === 'string') {
    reply.hijack()
    settleOnNode(outcome, reply.raw)
    return
  }
  for (const name of STALE_HEADERS) reply.removeHeader(name)
  const headers = problemHeaders(outcome, reply.request.raw.httpVersionMajor)
  // As bytes: to a text Fastify would add a charset, which JSON does not have.
  void reply.code(outcome.status).headers(headers).send(Buffer.from(outcome.body))
}
