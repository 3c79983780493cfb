/** Rows: create, read, update, delete, pages, joins, aggregates, upserts; each for one tenant alone. */
import { afterEach, describe, expect, test } from 'vitest'
import type { OrmSuite } from '../describe-orm.ts'
import type { NewCustomer } from '../orm-under-test.ts'

const MANY = 1_000

export function describeRows(suite: OrmSuite): void {
  describe('rows', () => {
    afterEach(() => removeAll(suite))

    test('create gives back what the database has filled in', async () => {
      const created = await suite.acmeDb.create({ email: 'a@x.example' })
      // Not only this: in a shared home `*` has the tenant's id too.
      expect(created).toMatchObject({ id: expect.any(Number), email: 'a@x.example', visits: 0 })
      const { id } = created
      expect(await suite.acmeDb.find('a@x.example')).toMatchObject({ id, email: 'a@x.example', visits: 0 })
    })

    test('what one tenant creates, the other neither finds, nor counts, nor changes, nor removes', async () => {
      const { acmeDb, globexDb } = suite
      await acmeDb.create({ email: 'a@x.example', visits: 1 })
      expect(await globexDb.find('a@x.example')).toBeUndefined()
      expect(await globexDb.count()).toBe(1)
      expect(await globexDb.sumVisits()).toBe(0)
      expect(await globexDb.setVisits('a@x.example', 2)).toBe(0)
      expect(await globexDb.remove('a@x.example')).toBe(0)
      expect(await acmeDb.find('a@x.example')).toMatchObject({ visits: 1 })
    })

    test('update and delete tell how many rows there were', async () => {
      await suite.acmeDb.create({ email: 'a@x.example' })
      expect(await suite.acmeDb.setVisits('a@x.example', 7)).toBe(1)
      expect(await suite.acmeDb.find('a@x.example')).toMatchObject({ visits: 7 })
      expect(await suite.acmeDb.setVisits('nobody@x.example', 7)).toBe(0)
      expect(await suite.acmeDb.remove('a@x.example')).toBe(1)
      expect(await suite.acmeDb.remove('a@x.example')).toBe(0)
      expect(await suite.acmeDb.find('a@x.example')).toBeUndefined()
    })

    test(`a batch of ${MANY} rows`, async () => {
      const rows = Array.from({ length: MANY }, (_, n): NewCustomer => ({
        email: `m${n}@x.example`,
        visits: n,
      }))
      await suite.acmeDb.createMany(rows)
      expect(await suite.acmeDb.count()).toBe(MANY + 1)
      expect(await suite.acmeDb.sumVisits()).toBe((MANY * (MANY - 1)) / 2)
      expect(await suite.globexDb.count()).toBe(1)
    })

    test('pages follow on one another, without gaps and without repetition', async () => {
      await suite.acmeDb.createMany(Array.from({ length: 9 }, (_, n) => ({ email: `p${n}@x.example` })))
      const emails: string[] = []
      for (let offset = 0; offset < 12; offset += 3) {
        for (const { email } of await suite.acmeDb.list({ limit: 3, offset })) emails.push(email)
      }
      expect(emails).toEqual([
        `first@${suite.acme.key}.example`,
        ...Array.from({ length: 9 }, (_, n) => `p${n}@x.example`),
      ])
    })

    test('a join reaches the tenant’s own rows on both sides', async () => {
      for (const [session, email] of [
        [suite.acmeDb, 'j@acme.example'],
        [suite.globexDb, 'j@globex.example'],
      ] as const) {
        const { id } = await session.create({ email })
        await session.addOrder({ customerId: id, number: 1 })
        await session.addOrder({ customerId: id, number: 2 })
      }
      expect(await suite.acmeDb.ordersWithCustomer()).toEqual([
        { number: 1, email: 'j@acme.example' },
        { number: 2, email: 'j@acme.example' },
      ])
    })

    suite.testOf('relations', 'rows come with the rows that belong to them', async () => {
      for (const session of [suite.acmeDb, suite.globexDb]) {
        const { id } = await session.create({ email: 'r@x.example' })
        await session.addOrder({ customerId: id, number: 1 })
        await session.addOrder({ customerId: id, number: 2 })
      }
      expect(await suite.acmeDb.customersWithOrders?.()).toEqual([{ email: 'r@x.example', numbers: [1, 2] }])
    })

    suite.testOf('upsert', 'an upsert inserts, then updates, for each tenant by itself', async () => {
      const { acmeDb, globexDb } = suite
      const first = await acmeDb.upsert({ email: 'u@x.example', visits: 1 })
      expect(first).toMatchObject({ email: 'u@x.example', visits: 1 })
      expect(await acmeDb.upsert({ email: 'u@x.example', visits: 5 })).toMatchObject({
        id: first.id,
        visits: 5,
      })
      expect(await globexDb.upsert({ email: 'u@x.example', visits: 2 })).toMatchObject({ visits: 2 })
      expect(await acmeDb.find('u@x.example')).toMatchObject({ visits: 5 })
      expect(await acmeDb.count()).toBe(2)
    })

    test('SQL as it is, with values, in the tenant’s tables', async () => {
      const rows = await suite.acmeDb.raw<{ email: string; n: number }>(
        'select email, $1::int + $2::int as n from customers where email like $3',
        [1, 2, 'first@%'],
      )
      expect(rows).toEqual([{ email: `first@${suite.acme.key}.example`, n: 3 }])
    })
  })
}

/** The customers that tests have made, and with them their orders. */
async function removeAll({ acmeDb, globexDb }: OrmSuite): Promise<void> {
  for (const session of [acmeDb, globexDb]) {
    await session.raw("delete from customers where email not like 'first@%'")
  }
}
