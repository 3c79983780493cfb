/** ORMs that map rows to entities, on both sides: one instance over Tenantry, and the way that their own users go. */
import { EntitySchema as MikroSchema, MikroORM, type EntityManager } from '@mikro-orm/postgresql'
import { mikroOrmForTenants } from 'tenantry/mikro-orm'
import { typeormForTenants } from 'tenantry/typeorm'
import { DataSource, EntitySchema } from 'typeorm'
import type { BenchTenant } from '../support/bench-world.ts'
import { ROWS } from '../support/tenant-tables.ts'
import { type OrmPair, type OrmRow, overTenantry, type Reads } from './orms.ts'

interface Order extends OrmRow {
  id: string
  amount: string
}

const Order = new EntitySchema<Order>({
  name: 'Order',
  tableName: 'orders',
  columns: {
    id: { type: 'bigint', primary: true },
    customer: { type: 'text' },
    amount: { type: 'numeric' },
  },
})

/** A DataSource for each tenant, with one connection: the name of the schema is written into the queries of each. */
export const typeormPair: OrmPair = {
  orm: 'typeorm',
  tenantry: overTenantry('typeorm', (tenancy) => {
    const { dataSource } = typeormForTenants(tenancy, { entities: [Order] })
    const ready = dataSource.initialize()
    return typeormReads(() => ready)
  }),
  usual({ superuserUrl }) {
    const sources = new Map<string, Promise<DataSource>>()
    function sourceOf({ schema }: BenchTenant): Promise<DataSource> {
      const known = sources.get(schema)
      if (known !== undefined) return known
      const source = new DataSource({
        type: 'postgres',
        url: superuserUrl,
        schema,
        entities: [Order],
        poolSize: 1,
        installExtensions: false,
      }).initialize()
      sources.set(schema, source)
      return source
    }
    return {
      name: 'typeorm',
      ...typeormReads(sourceOf),
      connections: () => sources.size,
      close: async () => {
        for (const source of sources.values()) await (await source).destroy()
      },
    }
  },
}

function typeormReads(sourceOf: (tenant: BenchTenant) => Promise<DataSource>): Reads {
  return {
    read: async (tenant, id) => (await sourceOf(tenant)).manager.findBy(Order, { id: String(id) }),
    list: async (tenant) =>
      (await sourceOf(tenant)).manager.find(Order, { order: { id: 'desc' }, take: ROWS }),
  }
}

const MikroOrder = new MikroSchema<Order>({
  name: 'Order',
  tableName: 'orders',
  schema: '*',
  properties: {
    id: { type: 'bigint', runtimeType: 'string', primary: true },
    customer: { type: 'text' },
    amount: { type: 'decimal' },
  },
})

/** A fork with the schema of the tenant, for each request. */
export const mikroOrmPair: OrmPair = {
  orm: 'mikro_orm',
  tenantry: overTenantry('mikro_orm', (tenancy) => {
    const ready = mikroOrmForTenants(tenancy, { entities: [MikroOrder] })
    return mikroReads(async () => (await ready).orm.em.fork())
  }),
  usual({ superuserUrl }, max) {
    const ready = MikroORM.init({
      clientUrl: superuserUrl,
      entities: [MikroOrder],
      ensureDatabase: false,
      pool: { min: 0, max },
    })
    return {
      name: 'mikro_orm',
      ...mikroReads(async ({ schema }) => (await ready).em.fork({ schema })),
      connections: () => max,
      close: async () => (await ready).close(),
    }
  },
}

function mikroReads(emOf: (tenant: BenchTenant) => Promise<EntityManager>): Reads {
  return {
    read: async (tenant, id) => (await emOf(tenant)).find(MikroOrder, { id: String(id) }),
    list: async (tenant) =>
      (await emOf(tenant)).find(MikroOrder, {}, { orderBy: { id: 'desc' }, limit: ROWS }),
  }
}
