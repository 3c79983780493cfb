/** The contract's site on node:http and node:http2, without any framework. */
import { createServer, type Server } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import { pipeline, Readable } from 'node:stream'
import { json, text } from 'node:stream/consumers'
import { type NodeRequest, type NodeResponse, withTenant } from '../../../src/http/node.ts'
import { type Face, listen } from './site.ts'

export const nodeFace: Face = async ({ tenancy, options, routes, onError, http2 = false }) => {
  const listener = withTenant<NodeRequest, NodeResponse>(
    tenancy,
    { ...options, onError },
    async (req, res, { tenant, tenantId }) => {
      const url = req.url ?? '/'
      const handle = routes[new URL(url, 'http://any').pathname]
      if (handle === undefined) throw Object.assign(new Error('no such route'), { status: 404 })
      const isJson = req.headers['content-type'] === 'application/json'
      const reply = await handle({
        tenant,
        tenantId,
        url,
        body: async () => (isJson ? json(req) : text(req)),
        upload: () => req,
      })
      if ('stream' in reply) {
        pipeline(
          Readable.from(reply.stream),
          res as NodeJS.WritableStream,
          (error) => error && onError(error),
        )
        return
      }
      res.setHeader('content-type', 'application/json')
      res.end(JSON.stringify(reply.json))
    },
  )
  return listen(http2 ? (createHttp2Server(listener) as unknown as Server) : createServer(listener))
}
