/** Refuses a pooler that takes another server connection for each statement: nothing behind it is a transaction. */
import { TenantryError } from '../core/errors.ts'
import type { Connections } from '../gateway/gateway.ts'
import { sqlState } from '../sql/sql-state.ts'

/**
 * Opens a transaction where a pooler answers. PgBouncer in statement mode serves single statements as if all were
 * well, and ends the client's connection at its first BEGIN (08P01).
 * @throws TNY023
 */
export async function requireTransactions(pool: Connections): Promise<void> {
  const connection = pool.tryAcquire() ?? (await pool.acquire())
  try {
    if (connection.ownsBackend) return
    await connection.send({ text: 'begin' })
    await connection.send({ text: 'rollback' })
  } catch (error) {
    if (sqlState(error) !== '08P01') throw error
    throw new TenantryError('TNY023', { cause: error })
  } finally {
    pool.release(connection)
  }
}
