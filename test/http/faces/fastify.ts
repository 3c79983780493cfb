/** The contract's site on Fastify 5. */
import fastify from 'fastify'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Readable } from 'node:stream'
import { problemPlugin, tenantPlugin, tenantRewriteUrl } from '../../../src/http/fastify.ts'
import type { Face } from './site.ts'

export const fastifyFace: Face = async ({ tenancy, options, routes, onError, http2 = false }) => {
  const app = fastify({
    rewriteUrl: tenantRewriteUrl(options.resolve),
    forceCloseConnections: true,
    ...(http2 && { http2: true as never }),
  }) as unknown as FastifyInstance
  app.register(tenantPlugin(tenancy, options))
  app.register(problemPlugin({ onError }))
  // What @fastify/multipart does: the stream goes to the handler unread.
  for (const type of ['application/octet-stream', 'multipart/form-data']) {
    app.addContentTypeParser(type, (_request, payload, done) => done(null, payload))
  }
  app.register(async (site) => {
    for (const [path, handle] of Object.entries(routes)) {
      site.all(path, async (request: FastifyRequest, reply) => {
        const { tenant, tenantId, url } = request
        const answer = await handle({
          tenant,
          tenantId,
          url,
          body: async () => request.body,
          upload: () => request.body as Readable,
        })
        return reply.send('json' in answer ? answer.json : Readable.from(answer.stream))
      })
    }
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  return { server: app.server, close: () => app.close() }
}
