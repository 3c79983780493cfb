/** Knex over the gateway: `dbForTenant()` gives a Knex whose every statement reaches one tenant. */
import knex, { type Knex } from 'knex'
import { forTenants, type ForTenants, type OrmTenancy } from './for-tenants.ts'

/** What Knex calls of a pool: it takes anything with `connect()`. */
export interface KnexPool {
  connect(): Promise<object & { readonly release: (error?: boolean) => void }>
}

/** Knex' own options, but for those that the gateway decides. */
export type KnexForTenantsOptions = Omit<
  Knex.Config,
  'client' | 'connection' | 'pool' | 'connectionPool' | 'searchPath'
>

/** The Knex of a tenant, or, as `db`, the one for the tenant of the context. */
export type DbForTenant = ForTenants<Knex>

/** Else each instance asks the server before its first statement. The oldest version that Tenantry works with. */
const SERVER_VERSION = '15.0'

/**
 * @example
 * const dbForTenant = knexForTenants(tenancy)
 * const orders = await dbForTenant('acme')('orders').where({ paid: false })
 * const { db } = dbForTenant // for the tenant of the context
 */
export function knexForTenants(
  tenancy: OrmTenancy<KnexPool>,
  options: KnexForTenantsOptions = {},
): DbForTenant {
  return forTenants(tenancy, (pool) => {
    const db = knex({
      version: SERVER_VERSION,
      ...options,
      client: 'pg',
      connectionPool: forgiving(pool) as never,
    })
    const client = db.client as KnexClient
    const { transaction } = client
    // Every transaction begins here: of the instance, of its clones, and that of batchInsert.
    client.transaction = function (...args) {
      return tenancy.transactionScope(() => Reflect.apply(transaction, this, args))
    }
    return db
  })
}

/** What of Knex' inner client is used (knex 3.3, client.js). */
interface KnexClient {
  transaction(...args: unknown[]): unknown
}

/** Knex gives the client of a stream back twice, which its own pool forgives (knex 3.3, execution/runner.js). */
function forgiving(pool: KnexPool): KnexPool {
  return {
    async connect() {
      const client = await pool.connect()
      const { release } = client
      let released = false
      return Object.assign(client, {
        release(error?: boolean) {
          if (!released) release(error)
          released = true
        },
      })
    },
  }
}
