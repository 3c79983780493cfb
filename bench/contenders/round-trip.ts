/** What a round trip costs at least: no tenants, one table, one prepared statement that every backend knows. */
import { openBarePool } from '../support/bare-pool.ts'
import type { ReadContender, ReadRow } from './contender.ts'

/** The same values back and forth as for the others; whoever has 25,000 tables to read cannot be faster. */
export function roundTripReads(connectionString: string, max: number): ReadContender {
  const pool = openBarePool(connectionString, max)
  const text = 'select id, $2::text as customer, amount from bare.orders where id = $1'
  return {
    name: 'round_trip',
    about: 'pg.Pool, one table for all, one prepared statement',
    async read(tenant, _, id) {
      const { rows } = await pool.query<ReadRow>({ name: 'read', text, values: [id, tenant.key] })
      return rows[0]?.customer
    },
    close: () => pool.end(),
  }
}
