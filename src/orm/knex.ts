/** Knex over the gateway: `dbForTenant()` gives a Knex whose every statement reaches one tenant. */
import knex, { type Knex } from 'knex'
import { LRUCache } from 'lru-cache'
import type { TenantContext } from '../core/context.ts'
import type { Tenant } from '../core/tenant.ts'

/** What of a tenancy this adapter uses. */
export interface KnexTenancy {
  readonly context: TenantContext
  /** Knex takes anything with `connect()` as its pool. */
  poolFor(tenant: string | Tenant): KnexPool
}

/** What Knex calls of a pool. */
export interface KnexPool {
  connect(): Promise<object & { readonly release: (error?: boolean) => void }>
}

/** Knex' own options, but for those that the gateway decides. */
export type KnexForTenantsOptions = Omit<
  Knex.Config,
  'client' | 'connection' | 'pool' | 'connectionPool' | 'searchPath'
>

/**
 * The Knex of a tenant, named by id, key or record; without an argument (or with `undefined`), of the tenant of the
 * context. @throws TNY201 where there is none
 */
export type DbForTenant = (tenant?: string | Tenant) => Knex

/** Knex instances that are kept: 22 kB each, and none holds a connection. */
const KEPT_INSTANCES = 2_500
/** Else each instance asks the server before its first statement. The oldest version that Tenantry works with. */
const SERVER_VERSION = '15.0'

/**
 * @example
 * const dbForTenant = knexForTenants(tenancy)
 * const orders = await dbForTenant('acme')('orders').where({ paid: false })
 */
export function knexForTenants(tenancy: KnexTenancy, options: KnexForTenantsOptions = {}): DbForTenant {
  const instances = new LRUCache<string, Knex>({ max: KEPT_INSTANCES })
  return (tenant) => {
    const named = tenant ?? tenancy.context.require()
    const name = typeof named === 'string' ? named : named.id
    const known = instances.get(name)
    if (known !== undefined) return known
    const db = knex({
      version: SERVER_VERSION,
      ...options,
      client: 'pg',
      connectionPool: forgiving(tenancy.poolFor(named)) as never,
    })
    instances.set(name, db)
    return db
  }
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
