/** MikroORM's driver, and views of it that belong to one tenant each. */
import { type EntityManager, PostgreSqlDriver } from '@mikro-orm/postgresql'
import { LRUCache } from 'lru-cache'
import { TenantryError } from '../../core/errors.ts'
import type { Tenant } from '../../core/tenant.ts'
import type { TenantContext } from '../../core/context.ts'
import { type MikroOrmPool, TenantConnection } from './connection.ts'

/** What of a tenancy this adapter uses. */
export interface MikroOrmTenancy {
  readonly context: TenantContext
  poolFor(tenant: string | Tenant): MikroOrmPool
  run<T>(tenant: string | Tenant, fn: (tenant: Tenant) => T | Promise<T>): Promise<T>
}

/** A driver that belongs to a tenant, or to nobody yet. */
export interface TenantDriver {
  /** The same driver, metadata and all, over the connections of a tenant. */
  ofTenant(tenant: string | Tenant): TenantDriver
  /** That of the tenant of the context where there is one, unless it belongs to a tenant already. */
  ofMoment(): TenantDriver
  /** @throws TNY243 where the context is another tenant's. */
  requireOwner(): void
  /** @throws TNY201, TNY209, TNY211 */
  requireOwnerId(): Promise<string>
  createEntityManager(useContext?: boolean): EntityManager
}

/** Drivers that are kept: none holds a connection. */
const KEPT_DRIVERS = 2_500

/** The class that `MikroORM.init` takes as `driver`. */
export function tenantDriver(tenancy: MikroOrmTenancy): typeof PostgreSqlDriver {
  const { context } = tenancy
  return class extends PostgreSqlDriver implements TenantDriver {
    readonly owner: string | undefined = undefined
    override readonly connection: TenantConnection
    readonly views = new LRUCache<string, TenantDriver>({ max: KEPT_DRIVERS })

    constructor(config: ConstructorParameters<typeof PostgreSqlDriver>[0]) {
      super(config)
      this.connection = new TenantConnection(config, () => Promise.reject(this.ownerless()))
    }

    ofTenant(tenant: string | Tenant): TenantDriver {
      const owner = typeof tenant === 'string' ? tenant : tenant.id
      const known = this.views.get(owner)
      if (known !== undefined) return known
      const pool = tenancy.poolFor(owner)
      const connection = new TenantConnection(this.config, () => pool.connect())
      connection.setMetadata(this.metadata)
      connection.setPlatform(this.platform)
      const view = Object.create(this, {
        owner: { value: owner },
        connection: { value: connection },
        replicas: { value: [] },
      }) as TenantDriver
      this.views.set(owner, view)
      return view
    }

    ofMoment(): TenantDriver {
      const tenant = this.owner === undefined ? context.find() : undefined
      return tenant === undefined ? this : this.ofTenant(tenant)
    }

    requireOwner(): void {
      const tenant = context.find()
      if (tenant === undefined || this.owner === tenant.id || this.owner === tenant.key) return
      throw strange(this.owner === undefined ? 'no tenant' : `the tenant ${this.owner}`, tenant)
    }

    async requireOwnerId(): Promise<string> {
      if (this.owner === undefined) throw this.ownerless()
      return tenancy.run(this.owner, ({ id }) => id)
    }

    ownerless(): TenantryError {
      const tenant = context.find()
      return tenant === undefined ? new TenantryError('TNY201') : strange('no tenant', tenant)
    }
  }
}

function strange(owner: string, { key }: Tenant): TenantryError {
  return new TenantryError('TNY243', { params: { owner, wanted: `the tenant "${key}"` } })
}
