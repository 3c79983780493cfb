/** The example's backend without tenants: one schema, Knex with a pool of its own, the same routes and answers. */
import express, { type Express } from 'express'
import knex from 'knex'

const db = knex({
  client: 'pg',
  connection: process.env['DATABASE_URL'] ?? '',
  searchPath: ['bare'],
  pool: { min: 0, max: Number(process.env['POOL_MAX'] ?? 10) },
})

interface Order {
  id: string
  customer: string
  amount: string
  created_at: Date
}

const app: Express = express()
app.disable('x-powered-by')
app.use(express.json())

app.get('/healthz', (_req, res) => res.json({ status: 'ok' }))

app.get('/orders', async (_req, res) => {
  const orders = await db<Order>('orders').orderBy('id').limit(1000)
  res.json(orders.map(toJson))
})

app.get('/orders/:id', async (req, res) => {
  const id = /^\d{1,18}$/.test(req.params.id) ? req.params.id : '0'
  const order = await db<Order>('orders').where({ id }).first()
  if (order === undefined) res.sendStatus(404)
  else res.json(toJson(order))
})

function toJson({ id, customer, amount, created_at }: Order): object {
  return { id: Number(id), customer, amount: Number(amount), createdAt: created_at }
}

const server = app.listen(Number(process.env['PORT'] ?? 3000))
process.once('SIGTERM', () => {
  server.close()
  server.closeAllConnections()
  void db.destroy()
})
