/** Orders with Express and Prisma: one client for all tenants, on the tables of examples/orders-express. */
import express from 'express'
import { createTenancy, subdomain } from 'tenantry'
import { drainOnSignal, problemHandler, tenantMiddleware } from 'tenantry/express'
import { prismaForTenants } from 'tenantry/prisma'
// Made by: npx prisma generate --schema examples/orders-prisma/schema.prisma
import { PrismaClient } from './generated/client.ts'

interface NewOrder {
  readonly customer: string
  readonly amount: string
}

const tenancy = createTenancy({ connection: process.env['DATABASE_URL'] })
const { db: prisma } = prismaForTenants(tenancy, (adapter) => new PrismaClient({ adapter }))

const app = express()
// JSON has no word for the ids.
app.set('json replacer', (_key: string, value: unknown) =>
  typeof value === 'bigint' ? String(value) : value,
)
app.use(
  tenantMiddleware(tenancy, {
    resolve: subdomain({ root: process.env['ROOT_HOST'] ?? 'localhost' }),
    except: ['/healthz'],
  }),
)
app.use(express.json())

app.get('/healthz', (_req, res) => res.json({ status: 'ok' }))

app.get('/orders', async (_req, res) => {
  res.json(await prisma.order.findMany({ orderBy: { id: 'asc' }, take: 1000 }))
})

app.get('/summary', async (_req, res) => {
  const { _count, _sum } = await prisma.order.aggregate({ _count: true, _sum: { amount: true } })
  res.json({ orders: _count, amount: _sum.amount?.toFixed(2) ?? null })
})

/** All of them or none. */
app.post('/orders', async (req, res) => {
  const given = req.body as NewOrder[]
  const ids = await prisma.$transaction(async () => {
    const created: bigint[] = []
    for (const order of given) created.push(await addOrder(order))
    return created
  })
  res.status(201).json({ ids })
})

/** Knows of no transaction, and is in that of its caller. */
async function addOrder(order: NewOrder): Promise<bigint> {
  const { id } = await prisma.order.create({ data: order })
  return id
}

app.use(problemHandler())

const server = app.listen(Number(process.env['PORT'] ?? 3000))
drainOnSignal({ server, close: () => tenancy.close() })
