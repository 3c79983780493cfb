/** GET /orders, POST /orders: those of the tenant whose host was asked. */
import { tenantFetch } from 'tenantry/fetch'
import { byHost, tenancy } from '../../tenancy.ts'

const COLUMNS = 'id::int, customer, amount::float, created_at as "createdAt"'

export const GET = tenantFetch(tenancy, byHost, async () => {
  const { rows } = await tenancy.pool.query(`select ${COLUMNS} from orders order by orders.id limit 1000`)
  return Response.json(rows)
})

export const POST = tenantFetch(tenancy, byHost, async (request) => {
  const body: unknown = await request.json().catch(() => undefined)
  const { customer, amount } = Object(body) as { customer?: unknown; amount?: unknown }
  // PostgreSQL's text holds every character but NUL.
  if (typeof customer !== 'string' || customer === '' || customer.includes('\0'))
    return refusal('customer is a text that is not empty.')
  if (typeof amount !== 'number' || !(amount >= 0 && amount < 1e10))
    return refusal('amount is a number from 0 to 10,000,000,000.')
  const { rows } = await tenancy.pool.query(
    `insert into orders (customer, amount) values ($1, $2) returning ${COLUMNS}`,
    [customer, amount],
  )
  return Response.json(rows[0], { status: 201 })
})

function refusal(detail: string): Response {
  return Response.json({ title: 'Bad Request', status: 400, detail }, { status: 400 })
}
