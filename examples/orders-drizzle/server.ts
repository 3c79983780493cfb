/** Orders with Express and Drizzle: one `db` for all tenants, on the tables of examples/orders-express. */
import { asc, count, sum } from 'drizzle-orm'
import { bigint, numeric, pgTable, text, timestamp } from 'drizzle-orm/pg-core'
import express from 'express'
import { createTenancy, subdomain } from 'tenantry'
import { drizzleForTenants } from 'tenantry/drizzle'
import { drainOnSignal, problemHandler, tenantMiddleware } from 'tenantry/express'

/** Without a schema: the same table serves every tenant. */
const orders = pgTable('orders', {
  id: bigint({ mode: 'number' }).primaryKey().generatedAlwaysAsIdentity(),
  customer: text().notNull(),
  amount: numeric({ precision: 12, scale: 2 }).notNull(),
  createdAt: timestamp('created_at', { withTimezone: true }).notNull().defaultNow(),
})

const tenancy = createTenancy({ connection: process.env['DATABASE_URL'] })
const { db } = drizzleForTenants(tenancy, { schema: { orders } })

const app = express()
app.use(
  tenantMiddleware(tenancy, {
    resolve: subdomain({ root: process.env['ROOT_HOST'] ?? 'localhost' }),
    except: ['/healthz'],
  }),
)
app.use(express.json())

app.get('/healthz', (_req, res) => res.json({ status: 'ok' }))

app.get('/orders', async (_req, res) => {
  res.json(await db.query.orders.findMany({ orderBy: [asc(orders.id)], limit: 1000 }))
})

app.get('/summary', async (_req, res) => {
  const [summary] = await db.select({ orders: count(), amount: sum(orders.amount) }).from(orders)
  res.json(summary)
})

/** All of them or none. */
app.post('/orders', async (req, res) => {
  const given = req.body as { customer: string; amount: string }[]
  const ids = await db.transaction(async () => {
    const created: number[] = []
    for (const order of given) created.push(await addOrder(order))
    return created
  })
  res.status(201).json({ ids })
})

/** Knows of no transaction, and is in that of its caller. */
async function addOrder(order: { customer: string; amount: string }): Promise<number> {
  const [created] = await db.insert(orders).values(order).returning({ id: orders.id })
  if (created === undefined) throw new Error('INSERT returned no row')
  return created.id
}

app.use(problemHandler())

const server = app.listen(Number(process.env['PORT'] ?? 3000))
drainOnSignal({ server, close: () => tenancy.close() })
