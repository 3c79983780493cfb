/** Express with one route that runs one query. */
import express, { type Express } from 'express'
import { tenantMiddleware } from 'tenantry/express'
import { endOnSigterm, FACE, openOneRead, PORT } from './one-read.ts'

const db = openOneRead()
const app: Express = express()
app.disable('x-powered-by')
if (db.tenancy !== undefined) app.use(tenantMiddleware(db.tenancy, FACE))
app.get('/healthz', (_req, res) => res.json({ status: 'ok' }))
app.get('/orders/:id', async (req, res) => res.json(await db.read(req.headers.host ?? '', req.params.id)))
endOnSigterm(app.listen(PORT), db)
