/** The orders backend on Hono: one process for all customers. `node server.ts`, with DATABASE_URL in the environment. */
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { HTTPException } from 'hono/http-exception'
import { validator } from 'hono/validator'
import type { Server } from 'node:http'
import { createTenancy, subdomain } from 'tenantry'
import { drainOnSignal, problemHandler, tenantMiddleware, type TenantVariables } from 'tenantry/hono'

const tenancy = createTenancy()
const app = new Hono<{ Variables: TenantVariables }>()
const problems = problemHandler({
  onError: (error, c) => console.error(c.get('tenantId'), c.req.path, error),
})
app.onError(problems.onError).notFound(problems.notFound)
app.use(
  tenantMiddleware(tenancy, {
    resolve: subdomain({ root: process.env['ROOT_HOST'] ?? 'localhost' }),
    except: ['/healthz'],
  }),
)

app.get('/healthz', (c) => c.json({ status: 'ok' }))

app.get('/me', (c) => {
  const { key, name, plan } = tenancy.requireTenant()
  return c.json({ key, name, plan })
})

const COLUMNS = 'id::int, customer, amount::float, created_at as "createdAt"'

app.get('/orders', async (c) => {
  const { rows } = await tenancy.pool.query(`select ${COLUMNS} from orders order by orders.id limit 1000`)
  return c.json(rows)
})

const newOrder = validator('json', (body: unknown) => {
  const { customer, amount } = Object(body) as { customer?: unknown; amount?: unknown }
  // PostgreSQL's text holds every character but NUL.
  if (typeof customer !== 'string' || customer === '' || customer.includes('\0'))
    throw new HTTPException(400, { message: 'customer is a text that is not empty.' })
  if (typeof amount !== 'number' || !(amount >= 0 && amount < 1e10))
    throw new HTTPException(400, { message: 'amount is a number from 0 to 10,000,000,000.' })
  return { customer, amount }
})

app.post('/orders', newOrder, async (c) => {
  const { customer, amount } = c.req.valid('json')
  const { rows } = await tenancy.pool.query(
    `insert into orders (customer, amount) values ($1, $2) returning ${COLUMNS}`,
    [customer, amount],
  )
  return c.json(rows[0], 201)
})

await tenancy.ready()
// Without `createServer`, it is one of node:http.
const server = serve({ fetch: app.fetch, port: Number(process.env['PORT'] ?? 3000) }) as Server
drainOnSignal({ server, close: () => tenancy.close() })
