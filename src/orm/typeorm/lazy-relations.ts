/** Where a lazy relation is loaded from: the tenant that its entity came from, whoever asks for it, and wherever. */
import type { DataSource, EntitySubscriberInterface, QueryRunner } from 'typeorm'
import type { Tenant } from '../../core/tenant.ts'
import { tenantOf } from './tenant-pool.ts'

/** A DataSource with views that belong to one tenant. */
interface WithViews extends DataSource {
  ofTenant(tenant: string | Tenant): DataSource
}

/** For a DataSource that is initialized: TypeORM tells its subscribers of each entity, and over which connection. */
export function keepLazyRelations(dataSource: WithViews): void {
  if (!dataSource.entityMetadatas.some(({ lazyRelations }) => lazyRelations.length > 0)) return
  const origins = new WeakMap<object, string | Tenant>()
  const remember = (entity: unknown, queryRunner: QueryRunner | undefined): void => {
    const tenant = queryRunner && tenantOf(queryRunner)
    if (tenant !== undefined && typeof entity === 'object' && entity !== null) origins.set(entity, tenant)
  }
  const subscriber: EntitySubscriberInterface = {
    afterLoad: (entity, event) => remember(entity, event?.queryRunner),
    afterInsert: ({ entity, queryRunner }) => remember(entity, queryRunner),
  }
  dataSource.subscribers.push(subscriber)

  const { relationLoader } = dataSource
  const load = relationLoader.load.bind(relationLoader)
  relationLoader.load = async (relation, entities, queryRunner, ...rest) => {
    const isOpen = queryRunner !== undefined && !queryRunner.isReleased
    const tenant = isOpen || Array.isArray(entities) ? undefined : origins.get(entities)
    if (tenant === undefined) return load(relation, entities, queryRunner, ...rest)
    const runner = dataSource.ofTenant(tenant).createQueryRunner()
    try {
      return await load(relation, entities, runner, ...rest)
    } finally {
      await runner.release()
    }
  }
}
