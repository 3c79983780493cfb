/** A plain `pg.Pool` for contenders without Tenantry. */
import pg from 'pg'

/** Opens nothing yet. */
export function openBarePool(connectionString: string, max: number): pg.Pool {
  const pool = new pg.Pool({ connectionString, max })
  // `end()` does not wait for the last goodbyes; the server, stopped right after, says a last word to those left.
  pool.on('error', () => undefined)
  return pool
}
