import { type EntityManager, EntitySchema, QueryFailedError } from 'typeorm'
import { expect } from 'vitest'
import { typeormForTenants } from '../../src/orm/typeorm.ts'
import { describeOrm } from './describe-orm.ts'
import type { Customer, OrmSession, OrmUnderTest, Sample } from './orm-under-test.ts'

interface CustomerRow extends Customer {
  orders?: OrderRow[]
}
interface OrderRow {
  id: number
  number: number
  customer: CustomerRow
}
type SampleRow = Omit<Sample, 'big'> & { id: number; big: string | null }

const customers = new EntitySchema<CustomerRow>({
  name: 'Customer',
  tableName: 'customers',
  columns: {
    id: { type: 'int', primary: true, generated: 'increment' },
    email: { type: 'text', unique: true },
    visits: { type: 'int', default: 0 },
  },
  relations: { orders: { type: 'one-to-many', target: 'Order', inverseSide: 'customer' } },
})
const orders = new EntitySchema<OrderRow>({
  name: 'Order',
  tableName: 'orders',
  columns: { id: { type: 'int', primary: true, generated: 'increment' }, number: { type: 'int' } },
  relations: {
    customer: {
      type: 'many-to-one',
      target: 'Customer',
      inverseSide: 'orders',
      joinColumn: { name: 'customer_id' },
    },
  },
})
const samples = new EntitySchema<SampleRow>({
  name: 'Sample',
  tableName: 'samples',
  columns: {
    id: { type: 'int', primary: true, generated: 'increment' },
    words: { type: 'text', nullable: true },
    big: { type: 'bigint', nullable: true },
    flag: { type: 'boolean', nullable: true },
    at: { type: 'timestamptz', nullable: true },
    doc: { type: 'jsonb', nullable: true },
    tags: { type: 'text', array: true, nullable: true },
    bytes: { type: 'bytea', nullable: true },
    amount: { type: 'numeric', precision: 20, scale: 4, nullable: true },
  },
})

const ORM: OrmUnderTest = {
  name: 'TypeORM',
  lacks: { 'read-only': 'TypeORM begins no read-only transactions' },
  async open(tenancy) {
    const managerForTenant = typeormForTenants(tenancy, { entities: [customers, orders, samples] })
    const { dataSource } = managerForTenant
    await dataSource.initialize()
    return {
      db: sessionOf(dataSource.manager),
      forTenant: (tenant) => sessionOf(managerForTenant(tenant)),
      close: () => dataSource.destroy(),
    }
  },
  readDatabaseError(error) {
    expect(error).toBeInstanceOf(QueryFailedError)
    return (error as QueryFailedError<Error & { code: string; constraint?: string }>).driverError
  },
}

function sessionOf(db: EntityManager): OrmSession {
  const order = { id: 'asc' } as const
  return {
    create: (customer) => db.save(customers, { ...customer } as Customer),
    createMany: async (rows) => void (await db.insert(customers, [...rows])),
    find: async (email) => (await db.findOneBy(customers, { email })) ?? undefined,
    list: ({ limit, offset }) => db.find(customers, { order, take: limit, skip: offset }),
    setVisits: async (email, visits) => (await db.update(customers, { email }, { visits })).affected ?? 0,
    remove: async (email) => (await db.delete(customers, { email })).affected ?? 0,
    count: () => db.count(customers),
    sumVisits: async () => Number(await db.sum(customers, 'visits')),
    async upsert(customer) {
      await db.upsert(customers, customer, ['email'])
      return db.findOneByOrFail(customers, { email: customer.email })
    },
    addOrder: async ({ customerId, number }) =>
      void (await db.insert(orders, { number, customer: { id: customerId } })),
    ordersWithCustomer: () =>
      db
        .createQueryBuilder(orders, 'o')
        .innerJoin('o.customer', 'c')
        .select(['o.number as number', 'c.email as email'])
        .orderBy('o.number')
        .getRawMany(),
    async customersWithOrders() {
      const found = await db.find(customers, {
        relations: { orders: true },
        order: { id: 'asc', orders: { number: 'asc' } },
      })
      return found
        .filter((customer) => customer.orders?.length)
        .map(({ email, orders: own = [] }) => ({ email, numbers: own.map(({ number }) => number) }))
    },
    raw: (text, values = []) => db.query(text, [...values]),
    async saveSample({ big, ...sample }) {
      const row = {
        ...sample,
        bytes: sample.bytes && Buffer.from(sample.bytes),
        big: big?.toString() ?? null,
      }
      return (await db.save(samples, row as SampleRow)).id
    },
    async findSample(id) {
      const row = await db.findOneBy(samples, { id })
      return row === null ? undefined : { ...row, big: row.big === null ? null : BigInt(row.big) }
    },
    async *stream() {
      const stream = await db.createQueryBuilder(customers, 'c').orderBy('c.id').stream()
      for await (const row of stream as AsyncIterable<Record<string, never>>) {
        yield { id: row['c_id']!, email: row['c_email']!, visits: row['c_visits']! }
      }
    },
    transaction(fn, { isolation } = {}) {
      const run = (tx: EntityManager) => fn(sessionOf(tx))
      if (isolation === undefined) return db.transaction(run)
      return db.transaction(isolation === 'serializable' ? 'SERIALIZABLE' : 'REPEATABLE READ', run)
    },
  }
}

describeOrm(ORM)
