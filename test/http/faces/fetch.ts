/** The contract's site as a fetch handler, with Node's server under it. */
import { createAdaptorServer } from '@hono/node-server'
import type { Server } from 'node:http'
import { tenantFetch } from '../../../src/http/fetch.ts'
import { type Face, listen, type Site } from './site.ts'

/** Without any server. */
export function fetchSite({
  tenancy,
  options,
  routes,
  onError,
}: Site): (request: Request) => Promise<Response> {
  return tenantFetch(
    tenancy,
    { ...options, onError, remoteAddress: () => '127.0.0.1' },
    async (request, served) => {
      const { pathname, search } = new URL(request.url)
      const handle = routes[pathname]
      if (handle === undefined) throw Object.assign(new Error('no such route'), { status: 404 })
      const isJson = request.headers.get('content-type') === 'application/json'
      const reply = await handle({
        ...served,
        url: pathname + search,
        body: () => (isJson ? request.json() : request.text()),
        upload: () => request.body as AsyncIterable<Uint8Array>,
      })
      if ('json' in reply) return Response.json(reply.json)
      return new Response(ReadableStream.from(bytes(reply.stream)))
    },
  )
}

/** Pulled by the server, after the handler returned. */
async function* bytes(texts: AsyncIterable<string>): AsyncIterable<Uint8Array> {
  for await (const text of texts) yield new TextEncoder().encode(text)
}

export const fetchFace: Face = async (site) =>
  listen(createAdaptorServer({ fetch: fetchSite(site), overrideGlobalObjects: false }) as Server)
