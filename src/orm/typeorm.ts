/** TypeORM over the gateway: one DataSource for all tenants, whose every statement reaches one of them. */
import type { DataSource, DataSourceOptions, EntityManager } from 'typeorm'
import { TenantryError } from '../core/errors.ts'
import type { Tenant } from '../core/tenant.ts'
import { TenantDataSource } from './typeorm/tenant-data-source.ts'
import { poolOfContext, type TypeormTenancy } from './typeorm/tenant-pool.ts'

export type { TypeormClient, TypeormPool, TypeormTenancy } from './typeorm/tenant-pool.ts'

type PostgresOptions = Extract<DataSourceOptions, { type: 'postgres' }>

/** TypeORM's own options, but for those that the gateway decides, and those that would change or mix tenants' schemas. */
export type TypeormForTenantsOptions = Omit<
  PostgresOptions,
  | 'type'
  | 'driver'
  | 'nativeDriver'
  | 'url'
  | 'host'
  | 'port'
  | 'username'
  | 'password'
  | 'database'
  | 'schema'
  | 'ssl'
  | 'applicationName'
  | 'connectTimeoutMS'
  | 'poolSize'
  | 'extra'
  | 'replication'
  | 'synchronize'
  | 'dropSchema'
  | 'migrations'
  | 'migrationsRun'
  | 'extensions'
  | 'installExtensions'
  | 'cache'
>

/** One DataSource, and its entity managers by tenant. */
export interface ManagerForTenant {
  /**
   * The entity manager of a tenant, named by id, key or record, whatever the context is; without an argument, of the
   * tenant of the context. @throws TNY201 where there is none
   */
  (tenant?: string | Tenant): EntityManager
  /** Follows the context: each of its statements, transactions and streams is for the tenant of the moment it begins. */
  readonly dataSource: DataSource
}

/** They would act on every tenant's tables, or on nobody's. JavaScript can pass them all the same. */
const REFUSED = {
  cache: 'its entries carry no tenant; cache what you read by tenancy.cacheKey()',
  synchronize: 'tables belong in a migration',
  dropSchema: 'tables belong in a migration',
  migrationsRun: 'write the migrations of tenants for Tenantry',
  replication: 'the gateway decides where a tenant lives',
  schema: 'the gateway decides where a tenant lives',
}

/**
 * Makes the one DataSource, to be initialized as usual.
 *
 * @param options TypeORM's: `entities`, `logging`, `namingStrategy`, `subscribers`, …
 * @throws TNY240 for an option that does not fit many tenants.
 * @example
 * const managerForTenant = typeormForTenants(tenancy, { entities: [Order] })
 * await managerForTenant.dataSource.initialize()
 * const orders = await managerForTenant('acme').find(Order)
 * const { dataSource } = managerForTenant // for the tenant of the context
 */
export function typeormForTenants(
  tenancy: TypeormTenancy,
  options: TypeormForTenantsOptions = {},
): ManagerForTenant {
  for (const [option, advice] of Object.entries(REFUSED)) {
    if ((options as Record<string, unknown>)[option]) {
      throw new TenantryError('TNY240', { params: { orm: 'TypeORM', option, advice } })
    }
  }
  const dataSource = new TenantDataSource(tenancy, {
    ...options,
    type: 'postgres',
    driver: { Pool: poolOfContext(tenancy) },
    installExtensions: false,
  })
  const managerForTenant = (tenant: string | Tenant = tenancy.context.require()): EntityManager =>
    dataSource.ofTenant(tenant).manager
  return Object.assign(managerForTenant, { dataSource })
}
