/** Fastify with one route that runs one query. */
import fastify from 'fastify'
import { tenantPlugin } from 'tenantry/fastify'
import { endOnSigterm, FACE, openOneRead, PORT } from './one-read.ts'

const db = openOneRead()
const app = fastify()
if (db.tenancy !== undefined) app.register(tenantPlugin(db.tenancy, FACE))
app.get('/healthz', () => ({ status: 'ok' }))
app.get<{ Params: { id: string } }>('/orders/:id', async ({ headers, params }) =>
  db.read(headers.host ?? '', params.id),
)
await app.listen({ port: PORT })
endOnSigterm(app.server, db)
