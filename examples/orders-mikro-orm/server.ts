/** Orders with Express and MikroORM: one ORM for all tenants, on the tables of examples/orders-express. */
import { EntitySchema, RequestContext } from '@mikro-orm/postgresql'
import express from 'express'
import { createTenancy, subdomain } from 'tenantry'
import { drainOnSignal, problemHandler, tenantMiddleware } from 'tenantry/express'
import { mikroOrmForTenants } from 'tenantry/mikro-orm'

interface Order {
  id: string
  customer: string
  amount: string
}
const Order = new EntitySchema<Order>({
  name: 'Order',
  tableName: 'orders',
  properties: {
    id: { type: 'bigint', runtimeType: 'string', primary: true },
    customer: { type: 'text' },
    amount: { type: 'decimal' },
  },
})

const tenancy = createTenancy({ connection: process.env['DATABASE_URL'] })
const { orm } = await mikroOrmForTenants(tenancy, { entities: [Order] })

const app = express()
app.use(
  tenantMiddleware(tenancy, {
    resolve: subdomain({ root: process.env['ROOT_HOST'] ?? 'localhost' }),
    except: ['/healthz'],
  }),
)
// Behind the middleware that finds the tenant: what it holds belongs to that tenant.
app.use((_req, _res, next) => RequestContext.create(orm.em, next))
app.use(express.json())

app.get('/healthz', (_req, res) => res.json({ status: 'ok' }))

app.get('/orders', async (_req, res) => {
  const orders = await orm.em.find(Order, {}, { orderBy: { id: 'asc' }, limit: 1000 })
  res.json(orders.map(({ id, customer, amount }) => ({ id: String(id), customer, amount })))
})

app.get('/summary', async (_req, res) => {
  const text = 'select count(*)::int as orders, sum(amount) as amount from orders'
  res.json(await orm.em.execute(text, [], 'get'))
})

/** All of them or none: what is created here is written in one transaction, by `flush`. */
app.post('/orders', async (req, res) => {
  const given = req.body as Pick<Order, 'customer' | 'amount'>[]
  const created = given.map((order) => orm.em.create(Order, order as Order))
  await orm.em.flush()
  res.status(201).json({ ids: created.map(({ id }) => String(id)) })
})

app.use(problemHandler())

const server = app.listen(Number(process.env['PORT'] ?? 3000))
drainOnSignal({ server, close: () => tenancy.close() })
