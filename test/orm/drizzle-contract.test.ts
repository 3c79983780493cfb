import { asc, count, DrizzleQueryError, eq, exists, relations, sql, sum } from 'drizzle-orm'
import type { NodePgDatabase } from 'drizzle-orm/node-postgres'
import {
  bigint,
  boolean,
  customType,
  integer,
  jsonb,
  numeric,
  pgTable,
  text,
  timestamp,
} from 'drizzle-orm/pg-core'
import pg from 'pg'
import { expect } from 'vitest'
import { drizzleForTenants } from '../../src/orm/drizzle.ts'
import { describeOrm } from './describe-orm.ts'
import type { Customer, OrmSession, OrmUnderTest } from './orm-under-test.ts'

const bytea = customType<{ data: Uint8Array }>({ dataType: () => 'bytea' })

const customers = pgTable('customers', {
  id: integer().primaryKey().generatedByDefaultAsIdentity(),
  email: text().notNull().unique(),
  visits: integer().notNull().default(0),
})
const orders = pgTable('orders', {
  id: integer().primaryKey().generatedByDefaultAsIdentity(),
  customerId: integer('customer_id')
    .notNull()
    .references(() => customers.id),
  number: integer().notNull(),
})
const samples = pgTable('samples', {
  id: integer().primaryKey().generatedByDefaultAsIdentity(),
  words: text(),
  big: bigint({ mode: 'bigint' }),
  flag: boolean(),
  at: timestamp({ withTimezone: true }),
  doc: jsonb(),
  tags: text().array(),
  bytes: bytea(),
  amount: numeric({ precision: 20, scale: 4 }),
})
const schema = {
  customers,
  orders,
  samples,
  customerRelations: relations(customers, ({ many }) => ({ orders: many(orders) })),
  orderRelations: relations(orders, ({ one }) => ({
    customer: one(customers, { fields: [orders.customerId], references: [customers.id] }),
  })),
}
type Db = Pick<
  NodePgDatabase<typeof schema>,
  'select' | 'insert' | 'update' | 'delete' | 'query' | 'execute' | 'transaction' | '$count'
>

const ORM: OrmUnderTest = {
  name: 'Drizzle',
  lacks: { streams: 'Drizzle 0.45 has no streams' },
  open(tenancy) {
    const dbForTenant = drizzleForTenants(tenancy, { schema })
    return { db: sessionOf(dbForTenant.db), forTenant: (tenant) => sessionOf(dbForTenant(tenant)) }
  },
  readDatabaseError(error) {
    expect(error).toBeInstanceOf(DrizzleQueryError)
    const { cause } = error as DrizzleQueryError
    expect(cause).toBeInstanceOf(pg.DatabaseError)
    return cause as pg.DatabaseError & { code: string }
  },
}

function sessionOf(db: Db): OrmSession {
  const created = async (inserting: PromiseLike<Customer[]>): Promise<Customer> =>
    (await inserting)[0] as Customer
  return {
    create: (customer) => created(db.insert(customers).values(customer).returning()),
    createMany: async (rows) => void (await db.insert(customers).values([...rows])),
    find: async (email) => (await db.select().from(customers).where(eq(customers.email, email)))[0],
    list: ({ limit, offset }) => db.query.customers.findMany({ orderBy: [asc(customers.id)], limit, offset }),
    setVisits: async (email, visits) =>
      (await db.update(customers).set({ visits }).where(eq(customers.email, email))).rowCount ?? 0,
    remove: async (email) => (await db.delete(customers).where(eq(customers.email, email))).rowCount ?? 0,
    count: () => db.$count(customers),
    sumVisits: async () =>
      Number((await db.select({ n: sum(customers.visits), all: count() }).from(customers))[0]?.n),
    upsert: (customer) =>
      created(
        db
          .insert(customers)
          .values(customer)
          .onConflictDoUpdate({ target: customers.email, set: { visits: customer.visits } })
          .returning(),
      ),
    addOrder: async (order) => void (await db.insert(orders).values(order)),
    ordersWithCustomer: () =>
      db
        .select({ number: orders.number, email: customers.email })
        .from(orders)
        .innerJoin(customers, eq(customers.id, orders.customerId))
        .orderBy(orders.number),
    async customersWithOrders() {
      const found = await db.query.customers.findMany({
        columns: { email: true },
        with: { orders: { columns: { number: true }, orderBy: [asc(orders.number)] } },
        where: exists(
          db
            .select({ one: sql`1` })
            .from(orders)
            .where(eq(orders.customerId, customers.id)),
        ),
        orderBy: [asc(customers.id)],
      })
      return found.map(({ email, orders: own }) => ({ email, numbers: own.map(({ number }) => number) }))
    },
    async raw<R extends object>(given: string, values: readonly unknown[] = []) {
      const [first = '', ...rest] = given.split(/\$\d+/)
      const query = sql.raw(first)
      for (const [at, part] of rest.entries())
        query.append(sql`${sql.param(values[at])}`).append(sql.raw(part))
      return (await db.execute(query)).rows as R[]
    },
    async saveSample(sample) {
      const [saved] = await db.insert(samples).values(sample).returning({ id: samples.id })
      return saved?.id ?? 0
    },
    findSample: (id) => db.query.samples.findFirst({ where: eq(samples.id, id) }),
    transaction: (fn, { isolation, readOnly } = {}) =>
      db.transaction((tx) => fn(sessionOf(tx)), {
        ...(isolation !== undefined && { isolationLevel: isolation }),
        ...(readOnly === true && { accessMode: 'read only' }),
      }),
  }
}

describeOrm(ORM)
