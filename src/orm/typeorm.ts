/** TypeORM over the gateway: one DataSource for all tenants, whose every statement reaches one of them. */
import { EventEmitter } from 'node:events'
import {
  DataSource,
  type DataSourceOptions,
  type EntityManager,
  QueryFailedError,
  type QueryRunner,
  type ReplicationMode,
} from 'typeorm'
import { TenantryError } from '../core/errors.ts'
import type { Tenant } from '../core/tenant.ts'
import type { OrmTenancy } from './for-tenants.ts'

/** What of a tenancy this adapter uses. */
export interface TypeormTenancy extends OrmTenancy<TypeormPool> {
  /** For what TypeORM asks the server as it starts. */
  readonly central: { query(text: string): Promise<unknown> }
}

/** What TypeORM's driver calls of a pool. */
export interface TypeormPool {
  connect(): Promise<TypeormClient>
}

/** What TypeORM's query runner calls of a client. */
export interface TypeormClient {
  query(text: string, values?: unknown[]): Promise<unknown>
  release(error?: Error | boolean): void
  on(event: string, listener: (error: Error) => void): unknown
  removeListener(event: string, listener: (error: Error) => void): unknown
}

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

/** What TypeORM asks as it connects, before there is a tenant (typeorm 1.1, PostgresDriver.connect). */
const START_UP = new Set([
  'SELECT version()',
  'SELECT * FROM current_database()',
  'SELECT * FROM current_schema()',
])

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

/** The DataSource of the context, with views of itself that belong to one tenant. */
class TenantDataSource extends DataSource {
  // Not a private one: the views that are made by Object.create would have none.
  readonly tenancy: TypeormTenancy

  constructor(tenancy: TypeormTenancy, options: PostgresOptions) {
    super(options)
    this.tenancy = tenancy
    const { relationLoader } = this
    const load = relationLoader.load.bind(relationLoader)
    // A lazy relation is loaded when somebody asks for it: from where its entity came, not from where that somebody is.
    relationLoader.load = (relation, entities, queryRunner, ...rest) => {
      const tenant = queryRunner?.isReleased === true ? tenantOf(queryRunner) : undefined
      if (tenant === undefined) return load(relation, entities, queryRunner, ...rest)
      const runner = this.ofTenant(tenant).createQueryRunner()
      return load(relation, entities, runner, ...rest).finally(async () => runner.release())
    }
  }

  /** Outside of any tenant, whose schema would else become the DataSource's. */
  override initialize(): Promise<this> {
    return this.tenancy.context.exit(() => super.initialize())
  }

  /** What the function of a transaction calls is part of it. */
  override createEntityManager(queryRunner?: QueryRunner): EntityManager {
    const manager = super.createEntityManager(queryRunner)
    const { transaction } = manager
    return Object.assign(manager, {
      transaction: (...args: unknown[]) =>
        this.tenancy.transactionScope(() => Reflect.apply(transaction, manager, args) as unknown),
    })
  }

  /** TypeORM's errors name what is underneath `driverError`; here it is their `cause` too, as elsewhere. */
  override createQueryRunner(mode?: ReplicationMode): QueryRunner {
    const runner = super.createQueryRunner(mode)
    const query = runner.query.bind(runner) as (...args: unknown[]) => Promise<unknown>
    return Object.assign(runner, {
      query: (...args: unknown[]) =>
        query(...args).catch((error: unknown) => {
          if (error instanceof QueryFailedError) Object.assign(error, { cause: error.driverError })
          throw error
        }),
    })
  }

  /** The same entities and settings, over the connections of one tenant. */
  ofTenant(tenant: string | Tenant): DataSource {
    const view = Object.create(this) as DataSource
    const pool = new (poolClass(() => connectTo(this.tenancy.poolFor(tenant), tenant)))()
    const driver = Object.create(this.driver, {
      master: { value: pool },
      dataSource: { value: view },
    }) as DataSource['driver']
    const manager = this.createEntityManager()
    Object.assign(manager, { dataSource: view })
    return Object.defineProperties(view, { driver: { value: driver }, manager: { value: manager } })
  }
}

type ConnectCallback = (
  error: Error | undefined,
  client?: TypeormClient,
  release?: (error?: Error) => void,
) => void

/** In place of `pg.Pool`. */
function poolClass(connect: () => Promise<TypeormClient>): new () => EventEmitter {
  return class TenantPool extends EventEmitter {
    connect(callback: ConnectCallback): void {
      connect().then(
        (client) => callback(undefined, client, (error) => client.release(error)),
        (error: unknown) => callback(error as Error),
      )
    }

    end(callback: () => void): void {
      callback()
    }
  }
}

function poolOfContext(tenancy: TypeormTenancy): new () => EventEmitter {
  return poolClass(async () => {
    const tenant = tenancy.context.find()
    return tenant === undefined ? startUpClient(tenancy) : connectTo(tenancy.pool, tenant)
  })
}

const TENANT = Symbol('tenant')

async function connectTo(pool: TypeormPool, tenant: string | Tenant): Promise<TypeormClient> {
  const client = await pool.connect()
  return Object.assign(client, { [TENANT]: tenant })
}

/** Whose connection a query runner used. */
function tenantOf(queryRunner: QueryRunner): string | Tenant | undefined {
  const { databaseConnection } = queryRunner as { databaseConnection?: { [TENANT]?: string | Tenant } }
  return databaseConnection?.[TENANT]
}

/** Without a tenant TypeORM gets its first questions answered, and nothing else. */
function startUpClient({ central }: TypeormTenancy): TypeormClient {
  return Object.assign(new EventEmitter(), {
    query: (text: string) =>
      START_UP.has(text) ? central.query(text) : Promise.reject(new TenantryError('TNY201')),
    release: () => undefined,
  })
}
