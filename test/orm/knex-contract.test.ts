import type { Knex } from 'knex'
import pg from 'pg'
import { expect } from 'vitest'
import { knexForTenants } from '../../src/orm/knex.ts'
import { describeOrm } from './describe-orm.ts'
import type { Customer, OrmSession, OrmUnderTest, Sample } from './orm-under-test.ts'

const ORM: OrmUnderTest = {
  name: 'Knex',
  lacks: { relations: 'Knex builds queries, and knows no relations' },
  open(tenancy) {
    // It warns of each connection that it does not get.
    const dbForTenant = knexForTenants(tenancy, { log: { warn: () => undefined } })
    return { db: sessionOf(dbForTenant.db), forTenant: (tenant) => sessionOf(dbForTenant(tenant)) }
  },
  readDatabaseError(error) {
    expect(error).toBeInstanceOf(pg.DatabaseError)
    return error as pg.DatabaseError & { code: string }
  },
}

function sessionOf(db: Knex): OrmSession {
  const customers = () => db<Customer>('customers')
  const created = async (inserting: PromiseLike<Customer[]>): Promise<Customer> =>
    (await inserting)[0] as Customer
  return {
    create: (customer) => created(customers().insert(customer).returning('*')),
    createMany: async (rows) => void (await customers().insert([...rows])),
    find: (email) => customers().where({ email }).first(),
    list: ({ limit, offset }) => customers().select('*').orderBy('id').limit(limit).offset(offset),
    setVisits: (email, visits) => customers().where({ email }).update({ visits }),
    remove: (email) => customers().where({ email }).del(),
    count: async () => Number((await db('customers').count('* as n').first())?.['n']),
    sumVisits: async () => Number((await db('customers').sum('visits as n').first())?.['n']),
    upsert: (customer) =>
      created(customers().insert(customer).onConflict('email').merge(['visits']).returning('*')),
    addOrder: async ({ customerId, number }) =>
      void (await db('orders').insert({ customer_id: customerId, number })),
    ordersWithCustomer: () =>
      db('orders')
        .join('customers', 'customers.id', 'customer_id')
        .select('number', 'email')
        .orderBy('number'),
    raw: async <R extends object>(text: string, values: readonly unknown[] = []) => {
      const { rows } = await db.raw<{ rows: R[] }>(text.replaceAll(/\$\d+/g, '?'), [
        ...values,
      ] as Knex.RawBinding[])
      return rows
    },
    async saveSample(sample) {
      const row = { ...sample, doc: JSON.stringify(sample.doc) }
      const [saved] = await db('samples').insert(row).returning<{ id: number }[]>('id')
      return saved?.id ?? 0
    },
    async findSample(id) {
      const row = await db<Sample & { id: number }>('samples').where({ id }).first()
      // node-postgres gives an int8 as text.
      return row && { ...row, big: row.big && BigInt(row.big) }
    },
    stream: () => customers().select('*').orderBy('id').stream(),
    transaction: (fn, { isolation, readOnly } = {}) =>
      db.transaction((trx) => fn(sessionOf(trx)), {
        ...(isolation !== undefined && { isolationLevel: isolation }),
        ...(readOnly !== undefined && { readOnly }),
      }),
  }
}

describeOrm(ORM)
