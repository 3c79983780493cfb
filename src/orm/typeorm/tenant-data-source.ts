/** TypeORM's DataSource for the tenant of the context, and views of it that belong to one tenant each. */
import {
  DataSource,
  type DataSourceOptions,
  type EntityManager,
  QueryFailedError,
  type QueryRunner,
  type ReplicationMode,
} from 'typeorm'
import type { Tenant } from '../../core/tenant.ts'
import { keepLazyRelations } from './lazy-relations.ts'
import { connectTo, poolClass, type TypeormTenancy } from './tenant-pool.ts'

/** The DataSource of the context, with views of itself that belong to one tenant. */
export class TenantDataSource extends DataSource {
  // Not a private one: the views that are made by Object.create would have none.
  readonly tenancy: TypeormTenancy

  constructor(tenancy: TypeormTenancy, options: DataSourceOptions) {
    super(options)
    this.tenancy = tenancy
  }

  /** Outside of any tenant, whose schema would else become the DataSource's. */
  override async initialize(): Promise<this> {
    await this.tenancy.context.exit(() => super.initialize())
    keepLazyRelations(this)
    return this
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
