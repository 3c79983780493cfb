/** Hono, by @hono/node-server, with one route that runs one query. */
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import type { Server } from 'node:http'
import { tenantMiddleware } from 'tenantry/hono'
import { endOnSigterm, FACE, openOneRead, PORT } from './one-read.ts'

const db = openOneRead()
const app = new Hono()
if (db.tenancy !== undefined) app.use(tenantMiddleware(db.tenancy, FACE))
app.get('/healthz', (c) => c.json({ status: 'ok' }))
app.get('/orders/:id', async (c) => c.json(await db.read(c.req.header('host') ?? '', c.req.param('id'))))
endOnSigterm(serve({ fetch: app.fetch, port: PORT }) as Server, db)
