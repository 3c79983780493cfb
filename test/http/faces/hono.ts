/** The contract's site on Hono 4, with Node's server under it. */
import { createAdaptorServer } from '@hono/node-server'
import { Hono } from 'hono'
import type { Server } from 'node:http'
import { createServer as createHttp2Server } from 'node:http2'
import { Readable, Writable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { problemHandler, tenantMiddleware, tenantPath, type TenantVariables } from '../../../src/http/hono.ts'
import { type Face, listen, type Site } from './site.ts'

/** Without any server: what runs at the edge. */
export function honoApp({ tenancy, options, routes, onError }: Site): Hono<{ Variables: TenantVariables }> {
  const app = new Hono<{ Variables: TenantVariables }>({ getPath: tenantPath(options.resolve) })
  const problems = problemHandler({ onError })
  app.onError(problems.onError).notFound(problems.notFound)
  app.use(tenantMiddleware(tenancy, options))
  for (const [path, handle] of Object.entries(routes)) {
    app.all(path, async (c) => {
      const { search } = new URL(c.req.url)
      const isJson = c.req.header('content-type') === 'application/json'
      const reply = await handle({
        tenant: c.get('tenant'),
        tenantId: c.get('tenantId'),
        url: c.req.path + search,
        body: () => (isJson ? c.req.json() : c.req.text()),
        upload: () => c.req.raw.body as AsyncIterable<Uint8Array>,
      })
      if ('json' in reply) return c.json(reply.json)
      const { readable, writable } = new TransformStream<string, string>()
      // By itself stream() would end an answer that fails as if it were whole.
      const written = pipeline(Readable.from(reply.stream), Writable.fromWeb(writable))
      written.catch((error: unknown) => onError(error))
      return c.body(readable.pipeThrough(new TextEncoderStream()))
    })
  }
  return app
}

export const honoFace: Face = async (site) => {
  const { fetch } = honoApp(site)
  const options = site.http2 === true ? { createServer: createHttp2Server } : {}
  return listen(createAdaptorServer({ fetch, ...options }) as Server)
}
