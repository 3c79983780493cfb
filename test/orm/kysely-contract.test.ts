import { CompiledQuery, type Generated, type Kysely, sql } from 'kysely'
import pg from 'pg'
import Cursor from 'pg-cursor'
import { expect } from 'vitest'
import { kyselyForTenants } from '../../src/orm/kysely.ts'
import { describeOrm } from './describe-orm.ts'
import type { OrmSession, OrmUnderTest } from './orm-under-test.ts'

interface Database {
  customers: { id: Generated<number>; email: string; visits: Generated<number> }
  orders: { id: Generated<number>; customer_id: number; number: number }
  samples: {
    id: Generated<number>
    words: string | null
    big: bigint | null
    flag: boolean | null
    at: Date | null
    doc: unknown
    tags: string[] | null
    bytes: Uint8Array | null
    amount: string | null
  }
}

const ORM: OrmUnderTest = {
  name: 'Kysely',
  lacks: { relations: 'Kysely builds queries, and knows no relations' },
  open(tenancy) {
    const dbForTenant = kyselyForTenants<Database>(tenancy, { cursor: Cursor })
    const session = (db: Kysely<Database>): OrmSession => sessionOf(db, db)
    return { db: session(dbForTenant.db), forTenant: (tenant) => session(dbForTenant(tenant)) }
  },
  readDatabaseError(error) {
    expect(error).toBeInstanceOf(pg.DatabaseError)
    return error as pg.DatabaseError & { code: string }
  },
}

/** @param root begins transactions: a Kysely that is one cannot, but what begins inside of it is a savepoint. */
function sessionOf(db: Kysely<Database>, root: Kysely<Database>): OrmSession {
  const customers = () => db.selectFrom('customers').select(['id', 'email', 'visits'])
  return {
    create: (customer) =>
      db.insertInto('customers').values(customer).returningAll().executeTakeFirstOrThrow(),
    createMany: async (rows) =>
      void (await db
        .insertInto('customers')
        .values([...rows])
        .execute()),
    find: (email) => customers().where('email', '=', email).executeTakeFirst(),
    list: ({ limit, offset }) => customers().orderBy('id').limit(limit).offset(offset).execute(),
    setVisits: async (email, visits) => {
      const updating = db.updateTable('customers').set({ visits }).where('email', '=', email)
      return Number((await updating.executeTakeFirst()).numUpdatedRows)
    },
    remove: async (email) => {
      const deleting = db.deleteFrom('customers').where('email', '=', email)
      return Number((await deleting.executeTakeFirst()).numDeletedRows)
    },
    async count() {
      const counting = db.selectFrom('customers').select((eb) => eb.fn.countAll().as('n'))
      return Number((await counting.executeTakeFirstOrThrow()).n)
    },
    async sumVisits() {
      const adding = db.selectFrom('customers').select((eb) => eb.fn.sum('visits').as('n'))
      return Number((await adding.executeTakeFirstOrThrow()).n)
    },
    upsert: ({ email, visits }) =>
      db
        .insertInto('customers')
        .values({ email, visits })
        .onConflict((conflict) => conflict.column('email').doUpdateSet({ visits }))
        .returning(['id', 'email', 'visits'])
        .executeTakeFirstOrThrow(),
    addOrder: async ({ customerId, number }) =>
      void (await db.insertInto('orders').values({ customer_id: customerId, number }).execute()),
    ordersWithCustomer: () =>
      db
        .selectFrom('orders')
        .innerJoin('customers', 'customers.id', 'orders.customer_id')
        .select(['number', 'email'])
        .orderBy('number')
        .execute(),
    raw: async <R extends object>(text: string, values: readonly unknown[] = []) =>
      (await db.executeQuery<R>(CompiledQuery.raw(text, [...values]))).rows,
    async saveSample(sample) {
      const row = { ...sample, doc: sql`${JSON.stringify(sample.doc)}::jsonb` }
      return (await db.insertInto('samples').values(row).returning('id').executeTakeFirstOrThrow()).id
    },
    async findSample(id) {
      const found = await db.selectFrom('samples').selectAll().where('id', '=', id).executeTakeFirst()
      // node-postgres gives an int8 as text.
      return found && { ...found, big: found.big && BigInt(found.big) }
    },
    stream: () => customers().orderBy('id').stream(10),
    transaction(fn, { isolation, readOnly } = {}) {
      let builder = root.transaction()
      if (isolation !== undefined) builder = builder.setIsolationLevel(isolation)
      if (readOnly === true) builder = builder.setAccessMode('read only')
      return builder.execute((trx) => fn(sessionOf(trx, root)))
    },
  }
}

describeOrm(ORM)
