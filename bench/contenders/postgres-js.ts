/** postgres.js with the context that Tenantry binds, in a transaction that it pipelines. */
import postgres from 'postgres'
import type { ReadContender, ReadRow } from './contender.ts'

/** `sql.begin((sql) => [context, statement])`, prepared by name as postgres.js does unasked. */
export function postgresJsReads(url: string, max: number): ReadContender {
  const sql = postgres(url, { max, onnotice: () => undefined })
  return {
    name: 'postgres_js',
    about: 'postgres.js, same context, pipelined transaction',
    async read(tenant, table, id) {
      const [, rows] = await sql.begin((tx) => [
        tx`select set_config('role', ${tenant.role}, true), set_config('search_path', ${`${tenant.schema}, public, pg_temp`}, true),
          set_config('app.current_tenant', ${tenant.id}, true)`,
        tx<ReadRow[]>`select id, customer, amount from ${tx(table)} where id = ${id}`,
      ])
      return rows[0]?.customer
    },
    close: () => sql.end(),
  }
}
