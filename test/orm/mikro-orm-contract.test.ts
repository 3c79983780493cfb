import {
  type Collection,
  DriverException,
  type EntityManager,
  EntitySchema,
  IsolationLevel,
  sql,
} from '@mikro-orm/postgresql'
import { expect } from 'vitest'
import { mikroOrmForTenants } from '../../src/orm/mikro-orm.ts'
import { describeOrm } from './describe-orm.ts'
import type { Customer, OrmSession, OrmUnderTest, Sample } from './orm-under-test.ts'

interface CustomerRow {
  id: number
  email: string
  visits: number
  orders: Collection<OrderRow>
}
interface OrderRow {
  id: number
  number: number
  customer: CustomerRow
}
interface SampleRow extends Sample {
  id: number
}

const customers: EntitySchema<CustomerRow> = new EntitySchema<CustomerRow>({
  name: 'Customer',
  tableName: 'customers',
  // As for a schema that each fork names: it is the tenant's all the same.
  schema: '*',
  properties: {
    id: { type: 'int', primary: true },
    email: { type: 'text', unique: true },
    visits: { type: 'int', default: 0 },
    orders: { kind: '1:m', entity: () => orders, mappedBy: 'customer' },
  },
})
const orders: EntitySchema<OrderRow> = new EntitySchema<OrderRow>({
  name: 'Order',
  tableName: 'orders',
  properties: {
    id: { type: 'int', primary: true },
    number: { type: 'int' },
    customer: { kind: 'm:1', entity: () => customers, fieldName: 'customer_id' },
  },
})
const samples = new EntitySchema<SampleRow>({
  name: 'Sample',
  tableName: 'samples',
  properties: {
    id: { type: 'int', primary: true },
    words: { type: 'text', nullable: true },
    big: { type: 'bigint', nullable: true },
    flag: { type: 'boolean', nullable: true },
    at: { type: 'datetime', nullable: true },
    doc: { type: 'json', nullable: true },
    tags: { type: 'array', nullable: true },
    bytes: { type: 'blob', nullable: true },
    amount: { type: 'decimal', precision: 20, scale: 4, nullable: true },
  },
})

const ORM: OrmUnderTest = {
  name: 'MikroORM',
  lacks: { 'type-parsers': 'MikroORM reads values in a way of its own' },
  async open(tenancy) {
    const emForTenant = await mikroOrmForTenants(tenancy, { entities: [customers, orders, samples] })
    const { orm } = emForTenant
    return {
      db: sessionOf(() => orm.em.fork()),
      forTenant: (tenant) => {
        const em = emForTenant(tenant)
        return sessionOf(() => em.fork())
      },
      close: () => orm.close(),
    }
  },
  readDatabaseError(error) {
    expect(error).toBeInstanceOf(DriverException)
    return error as DriverException & { code: string; constraint?: string }
  },
}

/** @param fork with an identity map of its own, so that each operation reads anew */
function sessionOf(fork: () => EntityManager): OrmSession {
  const plain = ({ id, email, visits }: Customer): Customer => ({ id, email, visits })
  return {
    async create(customer) {
      const em = fork()
      const created = em.create(customers, { ...customer } as never)
      await em.persist(created).flush()
      return plain(created)
    },
    createMany: async (rows) => void (await fork().insertMany(customers, [...rows] as never[])),
    async find(email) {
      const found = await fork().findOne(customers, { email })
      return found === null ? undefined : plain(found)
    },
    async list({ limit, offset }) {
      return (await fork().find(customers, {}, { orderBy: { id: 'asc' }, limit, offset })).map(plain)
    },
    setVisits: (email, visits) => fork().nativeUpdate(customers, { email }, { visits }),
    remove: (email) => fork().nativeDelete(customers, { email }),
    count: () => fork().count(customers),
    async sumVisits() {
      const builder = fork()
        .createQueryBuilder(customers)
        .select(sql`sum(visits)`.as('n'))
      return Number((await builder.execute<{ n: string }>('get')).n)
    },
    upsert: async (customer) =>
      plain(await fork().upsert(customers, customer, { onConflictFields: ['email'] })),
    addOrder: async ({ customerId, number }) =>
      void (await fork().insert(orders, { customer: customerId, number })),
    async ordersWithCustomer() {
      const found = await fork().find(orders, {}, { populate: ['customer'], orderBy: { number: 'asc' } })
      return found.map(({ number, customer: { email } }) => ({ number, email }))
    },
    async customersWithOrders() {
      const found = await fork().find(
        customers,
        { orders: { number: { $ne: null } } },
        { populate: ['orders'], orderBy: { id: 'asc' } },
      )
      return found.map(({ email, orders: own }) => ({
        email,
        numbers: own.getItems().map(({ number }) => number),
      }))
    },
    raw: <R extends object>(text: string, values: readonly unknown[] = []) =>
      fork().execute<R[]>(text.replaceAll(/\$\d+/g, '?'), [...values]),
    async saveSample({ tags, bytes, ...sample }) {
      const em = fork()
      // MikroORM 7.2 writes the text NULL in an array as null.
      const list = tags && sql`array(select jsonb_array_elements_text(${JSON.stringify(tags)}::jsonb))`
      const row = { ...sample, tags: list, bytes: bytes && Buffer.from(bytes) }
      return em.insert(samples, row)
    },
    findSample: async (id) => (await fork().findOne(samples, { id })) ?? undefined,
    async *stream() {
      for await (const customer of fork().stream(customers, { orderBy: { id: 'asc' } })) {
        yield plain(customer)
      }
    },
    transaction: (fn, { isolation, readOnly } = {}) =>
      fork().transactional((tx) => fn(sessionOf(() => tx.fork({ keepTransactionContext: true }))), {
        ...(isolation && {
          isolationLevel:
            isolation === 'serializable' ? IsolationLevel.SERIALIZABLE : IsolationLevel.REPEATABLE_READ,
        }),
        ...(readOnly !== undefined && { readOnly }),
      }),
  }
}

describeOrm(ORM)
