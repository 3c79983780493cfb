/** What teams write themselves: the tenant's role and path for one transaction, in five round trips. */
import { openBarePool } from '../support/bare-pool.ts'
import { type ReadContender, type ReadRow, readText } from './contender.ts'

/** BEGIN, SET LOCAL role, SET LOCAL search_path, the statement, COMMIT. */
export function setLocalReads(connectionString: string, max: number): ReadContender {
  const pool = openBarePool(connectionString, max)
  return {
    name: 'naive',
    about: 'BEGIN, SET LOCAL ×2, statement, COMMIT',
    async read(tenant, table, id) {
      const client = await pool.connect()
      try {
        await client.query('begin')
        await client.query(`set local role ${tenant.role}`)
        await client.query(`set local search_path to ${tenant.schema}, public`)
        const { rows } = await client.query<ReadRow>(readText(table), [id])
        await client.query('commit')
        return rows[0]?.customer
      } finally {
        client.release()
      }
    },
    close: () => pool.end(),
  }
}
