/** MikroORM over the gateway: one ORM for all tenants, whose entity managers belong to one tenant each. */
import {
  EntityManager,
  type EntityName,
  type ForkOptions,
  MikroORM,
  type Options,
  type PostgreSqlDriver,
  type TransactionOptions,
} from '@mikro-orm/postgresql'
import { TenantryError } from '../core/errors.ts'
import type { Tenant } from '../core/tenant.ts'
import { type MikroOrmTenancy, tenantDriver, type TenantDriver } from './mikro-orm/driver.ts'

export type { MikroOrmClient, MikroOrmPool } from './mikro-orm/connection.ts'
export type { MikroOrmTenancy } from './mikro-orm/driver.ts'

/** What the gateway decides, or what would reach other tenants. */
const REFUSED = {
  clientUrl: 'the gateway decides where a tenant lives',
  host: 'the gateway decides where a tenant lives',
  port: 'the gateway decides where a tenant lives',
  user: 'the gateway decides who a tenant is',
  password: 'the gateway decides who a tenant is',
  dbName: 'the gateway decides where a tenant lives',
  schema: 'the gateway decides where a tenant lives',
  replicas: 'the gateway decides where a tenant lives',
  pool: 'connections are the gateway’s; see `max` of createTenancy()',
  driver: 'connections are the gateway’s',
  driverOptions: 'connections are the gateway’s',
  entityManager: 'the entity managers of tenants are the adapter’s; extend repositories instead',
  ensureDatabase: 'databases and tables belong to migrations',
  sessionContext: 'the gateway binds each statement to its tenant',
} as const

/** MikroORM's own options, but for those that the gateway decides. */
export type MikroOrmForTenantsOptions = Omit<Options, keyof typeof REFUSED>

/** One ORM, and its entity managers by tenant. */
export interface EmForTenant {
  /**
   * A new entity manager of a tenant, named by id, key or record, whatever the context is; without an argument, of the
   * tenant of the context. @throws TNY201 where there is none
   */
  (tenant?: string | Tenant): EntityManager
  /**
   * Each `orm.em.fork()`, and each RequestContext, belongs to the tenant of the context that it is made in, for good, and
   * is refused in another's. Without one it belongs to nobody, as `orm.em` itself does, and reads nothing.
   */
  readonly orm: MikroORM
}

/**
 * Makes the one ORM.
 *
 * @param options MikroORM's: `entities`, `debug`, `namingStrategy`, `subscribers`, …
 * @throws TNY240 for an option that does not fit many tenants.
 * @example
 * const emForTenant = await mikroOrmForTenants(tenancy, { entities: [Order] })
 * const orders = await emForTenant('acme').find(Order, {})
 * const { orm } = emForTenant // orm.em.fork() is for the tenant of the context
 */
export async function mikroOrmForTenants(
  tenancy: MikroOrmTenancy,
  options: MikroOrmForTenantsOptions,
): Promise<EmForTenant> {
  for (const [option, advice] of Object.entries(REFUSED)) {
    if ((options as Record<string, unknown>)[option] !== undefined) {
      throw new TenantryError('TNY240', { params: { orm: 'MikroORM', option, advice } })
    }
  }
  // Outside of any tenant, to whom the global entity manager would else belong.
  const orm = await tenancy.context.exit(() =>
    MikroORM.init<PostgreSqlDriver, EntityManager>({
      ...(options as Options),
      dbName: 'of the tenant',
      driver: tenantDriver(tenancy),
      entityManager: TenantEntityManager,
      ensureDatabase: false,
    } as Options),
  )
  const driver = orm.driver as unknown as TenantDriver
  const emForTenant = (tenant: string | Tenant = tenancy.context.require()): EntityManager =>
    driver.ofTenant(tenant).createEntityManager(false)
  return Object.assign(emForTenant, { orm })
}

type CacheConfig = boolean | number | [string, number] | undefined

/** An entity manager with the connections of one tenant, and so with an identity map and a cache of that tenant alone. */
class TenantEntityManager extends EntityManager {
  constructor(...[config, driver, ...rest]: ConstructorParameters<typeof EntityManager>) {
    super(config, (driver as unknown as TenantDriver).ofMoment() as never, ...rest)
  }

  get #driver(): TenantDriver {
    return this.driver as unknown as TenantDriver
  }

  /** What MikroORM's own contexts hold must be of the same tenant as ours. @throws TNY234, TNY243 */
  override getContext(validate?: boolean): this {
    const em = super.getContext(validate) as TenantEntityManager
    if (em !== this) em.#driver.requireOwnContext()
    return em as this
  }

  /** Not of an entity manager that MikroORM's own contexts hold for another tenant, but of this one, anew. */
  override fork(options: ForkOptions = {}): this {
    const em = super.getContext(false) as TenantEntityManager
    const disableContextResolution = em !== this && !em.#driver.isOfContext()
    return super.fork({ disableContextResolution, ...options })
  }

  override transactional<T>(cb: (em: this) => T | Promise<T>, options?: TransactionOptions): Promise<T> {
    return this.#driver.inTransaction(() => super.transactional(cb, options))
  }

  override async tryCache<T extends object, R>(
    entityName: EntityName<T>,
    config: CacheConfig,
    key: unknown,
    ...rest: [refresh?: boolean, merge?: boolean, schema?: string]
  ): Promise<{ data?: R | null; key: string } | undefined> {
    const wanted = config ?? this.config.get('resultCache').global
    if (!wanted) return undefined
    const owner = await this.getContext().#driver.requireOwner()
    const scoped: CacheConfig = Array.isArray(wanted) ? [`${owner}:${wanted[0]}`, wanted[1]] : wanted
    return super.tryCache<T, R>(entityName, scoped, [owner, key], ...rest)
  }

  override async clearCache(cacheKey: string): Promise<void> {
    return super.clearCache(`${await this.getContext().#driver.requireOwner()}:${cacheKey}`)
  }
}
