/** Drizzle over the gateway: `dbForTenant()` gives a Drizzle whose every statement reaches one tenant. */
import type { DrizzleConfig } from 'drizzle-orm'
import { drizzle, type NodePgClient, type NodePgDatabase } from 'drizzle-orm/node-postgres'
import { forTenants, type ForTenants, type OrmTenancy } from './for-tenants.ts'

/** The Drizzle of a tenant, or, as `db`, the one for the tenant of the context. */
export type DbForTenant<Schema extends Record<string, unknown>> = ForTenants<NodePgDatabase<Schema>>

/**
 * @param options Drizzle's own: `schema`, `casing`, `logger`.
 * @example
 * const dbForTenant = drizzleForTenants(tenancy, { schema })
 * const orders = await dbForTenant('acme').query.orders.findMany({ with: { customer: true } })
 * const { db } = dbForTenant // for the tenant of the context
 */
export function drizzleForTenants<Schema extends Record<string, unknown> = Record<string, never>>(
  tenancy: OrmTenancy<NodePgClient>,
  options: DrizzleConfig<Schema> = {},
): DbForTenant<Schema> {
  return forTenants(tenancy, (pool) => {
    const db = drizzle(pool, options)
    const { transaction } = db
    db.transaction = (fn, config) =>
      tenancy.transactionScope(() => transaction.call(db, fn as never, config)) as never
    return db
  })
}
