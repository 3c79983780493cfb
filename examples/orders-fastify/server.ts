/** The orders backend on Fastify: one process for all customers. `node server.ts`, with DATABASE_URL in the environment. */
import fastify from 'fastify'
import { createTenancy, subdomain } from 'tenantry'
import { drainOnSignal, problemPlugin, tenantPlugin } from 'tenantry/fastify'

const tenancy = createTenancy()
const app = fastify({ logger: { level: 'warn' } })
app.register(problemPlugin({ onError: (error, request) => request.log.error(error) }))
app.register(
  tenantPlugin(tenancy, {
    resolve: subdomain({ root: process.env['ROOT_HOST'] ?? 'localhost' }),
    except: ['/healthz'],
  }),
)

app.get('/healthz', () => ({ status: 'ok' }))

const text = { type: 'string' } as const
const me = { type: 'object', properties: { key: text, name: text, plan: text } } as const

// The schema says which properties of the tenant are shown.
app.get('/me', { schema: { response: { 200: me } } }, (request) => request.tenant)

const COLUMNS = 'id::int, customer, amount::float, created_at as "createdAt"'

app.get('/orders', async () => {
  const { rows } = await tenancy.pool.query(`select ${COLUMNS} from orders order by orders.id limit 1000`)
  return rows
})

const newOrder = {
  type: 'object',
  required: ['customer', 'amount'],
  properties: {
    // PostgreSQL's text holds every character but NUL.
    customer: { type: 'string', pattern: '^[^\\0]+$' },
    amount: { type: 'number', minimum: 0, exclusiveMaximum: 1e10 },
  },
} as const

app.post<{ Body: { customer: string; amount: number } }>(
  '/orders',
  { schema: { body: newOrder } },
  async ({ body: { customer, amount }, log, tenantId }, reply) => {
    const { rows } = await tenancy.pool.query(
      `insert into orders (customer, amount) values ($1, $2) returning ${COLUMNS}`,
      [customer, amount],
    )
    log.info({ tenantId }, 'ordered')
    return reply.code(201).send(rows[0])
  },
)

await tenancy.ready()
await app.listen({ port: Number(process.env['PORT'] ?? 3000) })
drainOnSignal({
  server: app.server,
  async close() {
    await app.close()
    await tenancy.close()
  },
})
