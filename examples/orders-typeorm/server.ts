/** Orders with Express and TypeORM: one DataSource for all tenants, on the tables of examples/orders-express. */
import express from 'express'
import { createTenancy, subdomain } from 'tenantry'
import { drainOnSignal, problemHandler, tenantMiddleware } from 'tenantry/express'
import { typeormForTenants } from 'tenantry/typeorm'
import { EntitySchema } from 'typeorm'

interface Order {
  id: string
  customer: string
  amount: string
}
const Order = new EntitySchema<Order>({
  name: 'Order',
  tableName: 'orders',
  columns: {
    id: { type: 'bigint', primary: true, generated: 'increment' },
    customer: { type: 'text' },
    amount: { type: 'numeric' },
  },
})

const tenancy = createTenancy({ connection: process.env['DATABASE_URL'] })
const { dataSource } = typeormForTenants(tenancy, { entities: [Order] })
await dataSource.initialize()
const orders = dataSource.getRepository(Order)

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
  res.json(await orders.find({ order: { id: 'asc' }, take: 1000 }))
})

app.get('/summary', async (_req, res) => {
  const summary = orders
    .createQueryBuilder()
    .select('count(*)::int', 'orders')
    .addSelect('sum(amount)', 'amount')
  res.json(await summary.getRawOne())
})

/** All of them or none. */
app.post('/orders', async (req, res) => {
  const given = req.body as Pick<Order, 'customer' | 'amount'>[]
  const ids = await dataSource.transaction(async () => {
    const created: string[] = []
    for (const order of given) created.push(await addOrder(order))
    return created
  })
  res.status(201).json({ ids })
})

/** Knows of no transaction, and is in that of its caller. */
async function addOrder(order: Pick<Order, 'customer' | 'amount'>): Promise<string> {
  const { id } = await orders.save({ ...order })
  return id ?? ''
}

app.use(problemHandler())

const server = app.listen(Number(process.env['PORT'] ?? 3000))
drainOnSignal({ server, close: () => tenancy.close() })
