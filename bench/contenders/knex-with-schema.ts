/** Knex alone: `withSchema` in every query, no isolation. */
import knex from 'knex'
import type { ReadContender, ReadRow } from './contender.ts'

/** `db.withSchema('tenant_a').from('orders')`. */
export function knexReads(connection: string, max: number): ReadContender {
  const db = knex({ client: 'pg', connection, pool: { min: 0, max } })
  return {
    name: 'knex',
    about: 'Knex withSchema(), no isolation',
    async read(tenant, table, id) {
      const row = await db
        .withSchema(tenant.schema)
        .from<ReadRow>(table)
        .select('id', 'customer', 'amount')
        .where({ id: String(id) })
        .first()
      return row?.customer
    },
    close: () => db.destroy(),
  }
}
