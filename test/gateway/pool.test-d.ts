/** Types: what a tenancy gives is accepted where libraries ask for node-postgres' own. */
import type pg from 'pg'
import Cursor from 'pg-cursor'
import type { GatewayClient, Tenancy } from '../../src/index.ts'

declare const tenancy: Tenancy

// The class itself.
export const pools: pg.Pool[] = [tenancy.pool, tenancy.central, tenancy.poolFor('acme')]
export const client: Promise<pg.PoolClient> = tenancy.pool.connect()
export const given = (own: GatewayClient): pg.ClientBase => own

/** As Kysely's PostgresDialect asks for it (kysely, dialect/postgres/postgres-dialect-config.ts). */
interface KyselyPool {
  connect(): Promise<KyselyClient>
  end(): Promise<void>
}
interface KyselyClient {
  query<R>(sql: string, parameters: readonly unknown[]): Promise<KyselyResult<R>>
  query<R>(cursor: KyselyCursor<R>): KyselyCursor<R>
  release(): void
}
interface KyselyCursor<T> {
  read(rowsCount: number): Promise<T[]>
  close(): Promise<void>
}
interface KyselyResult<R> {
  command: 'UPDATE' | 'DELETE' | 'INSERT' | 'SELECT' | 'MERGE'
  rowCount: number
  rows: R[]
}
export const kysely: KyselyPool = tenancy.pool
export const readOnlyParameters = async (
  own: GatewayClient,
  parameters: readonly unknown[],
): Promise<unknown[]> => (await own.query('select 1', parameters)).rows

/** As Drizzle's node-postgres driver asks for it (drizzle-orm, node-postgres/session.ts). */
type DrizzleClient = pg.Pool | pg.PoolClient | pg.Client
declare function drizzle(of: DrizzleClient): void
drizzle(tenancy.pool)
tenancy.pool.connect().then(drizzle, drizzle)

// Every form of `query`, with its own answer.
export async function forms(): Promise<void> {
  const named: { rows: { n: number }[] } = await tenancy.pool.query<{ n: number }>('select 1 as n')
  const arrays: { rows: [number][] } = await tenancy.pool.query<[number]>({
    text: 'select 1',
    rowMode: 'array',
  })
  const readOnly: readonly unknown[] = [1]
  await tenancy.pool.query('select $1', readOnly)
  await tenancy.pool.query({ text: 'select 1', signal: AbortSignal.timeout(1000) })
  const cursor: Cursor<{ n: number }> = tenancy.pool.query(new Cursor<{ n: number }>('select 1 as n'))
  tenancy.pool.query('select 1', (error: Error, result: pg.QueryResult) => [error, result])
  // @ts-expect-error: a number is no query
  await tenancy.pool.query(1)
  void [named, arrays, cursor]
}
