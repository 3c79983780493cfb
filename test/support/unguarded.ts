/** The unsafe control: a tenant's context on a plain connection, without the guard in between. */
import pg from 'pg'
import type { TenantWorld } from './tenants.ts'

/** Runs one statement. */
export type Query = (text: string) => Promise<pg.QueryResult>

/** Enters a tenant as a flight does, in a transaction that is rolled back; each statement is its own savepoint. */
export async function enterUnguarded(
  world: TenantWorld,
  key: string,
  fn: (query: Query) => Promise<void>,
): Promise<void> {
  const home = world.tenants[key]?.home
  if (home === undefined) throw new Error(`no tenant ${key}`)
  const client = new pg.Client(world.db.appUrl)
  await client.connect()
  try {
    await client.query('begin')
    await client.query("select set_config('role', $1, true), set_config('search_path', $2, true)", [
      home.role,
      `${home.schema}, public, pg_temp`,
    ])
    await fn(async (text) => {
      await client.query('savepoint control')
      try {
        return await client.query(text)
      } catch (error) {
        await client.query('rollback to savepoint control')
        throw error
      }
    })
  } finally {
    await client.end()
  }
}
