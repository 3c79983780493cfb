/** What all adapters give: one instance of an ORM for whoever the context's tenant is, and one for each that is named. */
import { LRUCache } from 'lru-cache'
import type { TenantContext } from '../core/context.ts'
import type { Tenant } from '../core/tenant.ts'

/** What of a tenancy an adapter uses. */
export interface OrmTenancy<Pool> {
  readonly context: TenantContext
  /** For the tenant of the context, in the moment of each call. */
  readonly pool: Pool
  poolFor(tenant: string | Tenant): Pool
  /** What `fn` calls is part of the transaction that it begins. */
  transactionScope<T>(fn: () => T): T
}

/** The way to an ORM's instances, the same in every adapter. */
export interface ForTenants<Db> {
  /**
   * The instance of a tenant, named by id, key or record; without an argument (or with `undefined`), of the tenant of the
   * context. @throws TNY201 where there is none
   */
  (tenant?: string | Tenant): Db
  /**
   * One instance for all: each statement and transaction is for the tenant of the context in the moment that it is sent,
   * and fails with TNY201 where there is none.
   */
  readonly db: Db
}

/** Instances of named tenants that are kept. None holds a connection. */
const KEPT_INSTANCES = 2_500

/** @param make an instance over a pool; those of named tenants are made as they are asked for, and kept. */
export function forTenants<Pool, Db extends object>(
  tenancy: OrmTenancy<Pool>,
  make: (pool: Pool) => Db,
): ForTenants<Db> {
  const instances = new LRUCache<string, Db>({ max: KEPT_INSTANCES })
  const dbForTenant = (tenant?: string | Tenant): Db => {
    const named = tenant ?? tenancy.context.require()
    const name = typeof named === 'string' ? named : named.id
    const known = instances.get(name)
    if (known !== undefined) return known
    const db = make(tenancy.poolFor(named))
    instances.set(name, db)
    return db
  }
  return Object.assign(dbForTenant, { db: make(tenancy.pool) })
}
