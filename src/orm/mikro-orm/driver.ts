/** MikroORM's driver, and views of it that belong to one tenant each. */
import { type EntityManager, PostgreSqlDriver } from '@mikro-orm/postgresql'
import { LRUCache } from 'lru-cache'
import { TenantryError } from '../../core/errors.ts'
import type { Tenant } from '../../core/tenant.ts'
import type { OrmTenancy } from '../for-tenants.ts'
import { type MikroOrmPool, TenantConnection } from './connection.ts'

/** What of a tenancy this adapter uses. */
export interface MikroOrmTenancy extends OrmTenancy<MikroOrmPool> {
  run<T>(tenant: string | Tenant, fn: (tenant: Tenant) => T | PromiseLike<T>): Promise<T>
}

/** A driver that belongs to a tenant, or to nobody yet. */
export interface TenantDriver {
  /** The same driver, metadata and all, over the connections of a tenant that is named. */
  ofTenant(tenant: string | Tenant): TenantDriver
  /** That of the tenant of the context where there is one, unless it belongs to a tenant already. */
  ofMoment(): TenantDriver
  /** Whether what is done in this context may be done by it. */
  isOfContext(): boolean
  /** @throws TNY234 where it was taken in the context of a tenant, and this is another's; TNY243 where it is nobody's */
  requireOwnContext(): void
  /** The id of its tenant. @throws TNY201, TNY209, TNY211, TNY243 */
  requireOwner(): Promise<string>
  /** What `fn` calls is part of the transaction that it begins. */
  inTransaction<T>(fn: () => T): T
  createEntityManager(useContext?: boolean): EntityManager
}

/** Drivers that are kept: none holds a connection. */
const KEPT_DRIVERS = 2_500

/** Whose a driver is: by name, or by the context that it was taken in. */
interface Owner {
  readonly name: string
  readonly named: boolean
}

/** The class that `MikroORM.init` takes as `driver`. */
export function tenantDriver(tenancy: MikroOrmTenancy): typeof PostgreSqlDriver {
  const { context } = tenancy
  return class extends PostgreSqlDriver implements TenantDriver {
    readonly owner: Owner | undefined = undefined
    readonly views = new LRUCache<string, TenantDriver>({ max: KEPT_DRIVERS })
    override readonly connection: TenantConnection

    constructor(config: ConstructorParameters<typeof PostgreSqlDriver>[0]) {
      super(config)
      this.connection = new TenantConnection(config, {
        connect: () => Promise.reject(this.ownerless()),
        check: () => undefined,
      })
    }

    ofTenant(tenant: string | Tenant): TenantDriver {
      return this.viewOf({ name: typeof tenant === 'string' ? tenant : tenant.id, named: true })
    }

    ofMoment(): TenantDriver {
      const tenant = this.owner === undefined ? context.find() : undefined
      return tenant === undefined ? this : this.viewOf({ name: tenant.id, named: false })
    }

    viewOf(owner: Owner): TenantDriver {
      const key = `${owner.named} ${owner.name}`
      const known = this.views.get(key)
      if (known !== undefined) return known
      const pool = tenancy.poolFor(owner.name)
      const view = Object.create(this, { owner: { value: owner }, replicas: { value: [] } }) as typeof this
      const connection = new TenantConnection(this.config, {
        connect: () => pool.connect(),
        check: () => view.requireOwnContext(),
      })
      connection.setMetadata(this.metadata)
      connection.setPlatform(this.platform)
      Object.defineProperty(view, 'connection', { value: connection })
      this.views.set(key, view)
      return view
    }

    isOfContext(): boolean {
      const tenant = context.find()
      if (this.owner === undefined) return tenant === undefined
      return this.owner.named || tenant === undefined || tenant.id === this.owner.name
    }

    requireOwnContext(): void {
      if (this.owner === undefined) throw this.ownerless()
      if (!this.isOfContext()) throw new TenantryError('TNY234', { params: { tenant: this.owner.name } })
    }

    async requireOwner(): Promise<string> {
      if (this.owner === undefined) throw this.ownerless()
      return tenancy.run(this.owner.name, ({ id }) => id)
    }

    inTransaction<T>(fn: () => T): T {
      return tenancy.transactionScope(fn)
    }

    ownerless(): TenantryError {
      return new TenantryError(context.find() === undefined ? 'TNY201' : 'TNY243')
    }
  }
}
