/** Orders with Express and Kysely: one `db` for all tenants, on the tables of examples/orders-express. */
import express from 'express'
import type { Generated } from 'kysely'
import Cursor from 'pg-cursor'
import { createTenancy, subdomain } from 'tenantry'
import { drainOnSignal, problemHandler, tenantMiddleware } from 'tenantry/express'
import { kyselyForTenants } from 'tenantry/kysely'

interface Database {
  orders: {
    id: Generated<string>
    customer: string
    amount: string
    created_at: Generated<Date>
  }
}

const tenancy = createTenancy({ connection: process.env['DATABASE_URL'] })
const { db } = kyselyForTenants<Database>(tenancy, { cursor: Cursor })

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
  res.json(await db.selectFrom('orders').selectAll().orderBy('id').limit(1000).execute())
})

app.get('/orders.csv', async (_req, res) => {
  res.type('text/csv')
  for await (const { customer, amount } of db.selectFrom('orders').selectAll().orderBy('id').stream()) {
    res.write(`"${customer.replaceAll('"', '""')}",${amount}\n`)
  }
  res.end()
})

/** All of them or none. */
app.post('/orders', async (req, res) => {
  const orders = req.body as { customer: string; amount: string }[]
  const ids = await db.transaction().execute(async () => {
    const created: string[] = []
    for (const order of orders) created.push(await addOrder(order))
    return created
  })
  res.status(201).json({ ids })
})

/** Knows of no transaction, and is in that of its caller. */
async function addOrder(order: { customer: string; amount: string }): Promise<string> {
  const { id } = await db.insertInto('orders').values(order).returning('id').executeTakeFirstOrThrow()
  return id
}

app.use(problemHandler())

const server = app.listen(Number(process.env['PORT'] ?? 3000))
drainOnSignal({ server, close: () => tenancy.close() })
