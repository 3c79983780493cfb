/** The backend of a SaaS that keeps orders: Express and Knex, one process for all customers. */
import express, { type Express } from 'express'
import { createControlPlane, createTenancy, subdomain } from 'tenantry'
import { problemHandler, tenantMiddleware } from 'tenantry/express'
import { knexForTenants } from 'tenantry/knex'
import { resolve } from 'node:path'
import { seed } from './seed.ts'

const folder = (name: string): string => resolve(import.meta.dirname, 'migrations', name)

export const tenancy = createTenancy({
  connection: process.env['DATABASE_URL'],
  max: Number(process.env['POOL_MAX'] ?? 10),
})
export const controlPlane = createControlPlane({
  connection: process.env['TENANTRY_ADMIN_URL'] ?? '',
  migrations: { shared: folder('shared'), tenant: folder('tenant') },
  seed,
})
const root = process.env['ROOT_HOST'] ?? 'localhost'
const dbForTenant = knexForTenants(tenancy)

export const app: Express = express()
app.disable('x-powered-by')
app.use(
  tenantMiddleware(tenancy, {
    resolve: subdomain({ root }),
    except: ['/healthz', '/readyz'],
    central: ['/signup'],
  }),
)
app.use(express.json())

app.get('/healthz', (_req, res) => res.json({ status: 'ok' }))

app.get('/readyz', async (_req, res) => {
  const { ok } = await tenancy.health()
  res.status(ok ? 200 : 503).json({ status: ok ? 'ready' : 'database away' })
})

app.post('/signup', async (req, res) => {
  const { key, name } = fields(req.body)
  const tenant = await controlPlane.tenants.create({
    key: text(key, 'key'),
    name: text(name ?? key, 'name'),
    plan: 'free',
  })
  const port = req.socket.localPort ?? 80
  res.status(201).json({ key: tenant.key, name: tenant.name, url: `http://${tenant.key}.${root}:${port}` })
})

app.get('/me', (req, res) => {
  const { key, name, plan } = tenancy.requireTenant()
  res.json({ key, name, plan })
})

app.get('/orders', async (req, res) => {
  const orders = await dbForTenant(req.tenantId)<Order>('orders').orderBy('id').limit(1000)
  res.json(orders.map(toJson))
})

app.get('/orders/:id', async (req, res) => {
  const id = /^\d{1,18}$/.test(req.params.id) ? req.params.id : '0'
  const order = await dbForTenant(req.tenantId)<Order>('orders').where({ id }).first()
  if (order === undefined) throw httpError(404, 'There is no such order.')
  res.json(toJson(order))
})

app.post('/orders', async (req, res) => {
  const { customer, amount } = fields(req.body)
  if (typeof amount !== 'number' || !(amount >= 0 && amount < 1e10)) {
    throw httpError(400, 'amount is a number from 0 to 10,000,000,000.')
  }
  const order = { customer: text(customer, 'customer'), amount: amount.toFixed(2) }
  const [created] = await dbForTenant(req.tenantId)<Order>('orders').insert(order).returning('*')
  if (created === undefined) throw new Error('INSERT returned no row')
  res.status(201).location(`/orders/${created.id}`).json(toJson(created))
})

app.use(problemHandler())

interface Order {
  id: string
  customer: string
  amount: string
  created_at: Date
}

function toJson({ id, customer, amount, created_at }: Order): object {
  return { id: Number(id), customer, amount: Number(amount), createdAt: created_at }
}

function fields(body: unknown): Record<string, unknown> {
  if (typeof body === 'object' && body !== null) return body as Record<string, unknown>
  throw httpError(400, 'Send JSON, with Content-Type: application/json.')
}

function text(value: unknown, name: string): string {
  if (typeof value === 'string' && value.trim() !== '' && !value.includes('\0')) return value
  throw httpError(400, `${name} is a text that is not empty.`)
}

function httpError(status: number, message: string): Error {
  return Object.assign(new Error(message), { status, expose: true })
}
