/** node-postgres alone: no isolation, the schema written by hand before every table. */
import { openBarePool } from '../support/bare-pool.ts'
import { type ReadContender, type ReadRow, readText } from './contender.ts'

/** `pool.query('select … from tenant_a.orders …')`. */
export function barePgReads(connectionString: string, max: number): ReadContender {
  const pool = openBarePool(connectionString, max)
  return {
    name: 'bare_pg',
    about: 'pg.Pool, schema.table by hand, no isolation',
    async read(tenant, table, id) {
      const { rows } = await pool.query<ReadRow>(readText(`${tenant.schema}.${table}`), [id])
      return rows[0]?.customer
    },
    close: () => pool.end(),
  }
}
