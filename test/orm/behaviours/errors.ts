/** Errors: the ORM's own class with PostgreSQL's code in it, and ours where the gateway refused. */
import { afterEach, describe, expect, test } from 'vitest'
import { TenantryError } from '../../../src/index.ts'
import type { OrmSuite } from '../describe-orm.ts'

export function describeErrors(suite: OrmSuite): void {
  const facts = async (
    failing: Promise<unknown>,
  ): Promise<{ code: string; constraint?: string | undefined }> =>
    suite.orm.readDatabaseError(await errorOf(failing))

  describe('errors', () => {
    afterEach(async () => {
      for (const session of [suite.acmeDb, suite.globexDb]) {
        await session.raw("delete from customers where email not like 'first@%'")
      }
    })

    test('S9: what is unique is so for each tenant; the violation names the constraint', async () => {
      await suite.globexDb.create({ email: 'same@x.example' })
      await suite.acmeDb.create({ email: 'same@x.example' })
      const { code, constraint } = await facts(suite.acmeDb.create({ email: 'same@x.example' }))
      expect(code).toBe('23505')
      if (constraint !== undefined) expect(constraint).toBe('customers_email_key')
    })

    test('S10: a foreign key refers to the tenant’s own rows', async () => {
      await suite.globexDb.raw("insert into customers (id, email) values (1000000, 'fk@x.example')")
      await suite.globexDb.addOrder({ customerId: 1_000_000, number: 1 })
      const { code } = await facts(suite.acmeDb.addOrder({ customerId: 1_000_000, number: 1 }))
      expect(code).toBe('23503')
    })

    test('a table that is not there, and a mistake in the SQL', async () => {
      expect(await facts(suite.acmeDb.raw('select * from nothing_of_the_kind'))).toMatchObject({
        code: '42P01',
      })
      expect(await facts(suite.acmeDb.raw('select no_such_column from customers'))).toMatchObject({
        code: '42703',
      })
      expect(tenantryCode(await errorOf(suite.acmeDb.raw('selct 1')))).toBe('TNY213')
    })

    test('S4, S5, S6: what a tenant may not run is refused, and the refusal can be read', async () => {
      for (const text of [
        'reset role',
        `set role ${suite.globex.home.role}`,
        'do $$ begin end $$',
        'select 1; select 2',
        'create table mine (id int)',
      ]) {
        expect(tenantryCode(await errorOf(suite.acmeDb.raw(text))), text).toBe('TNY204')
      }
    })

    test('S1: another tenant’s schema is out of reach', async () => {
      const { schema } = suite.globex.home
      const reading = suite.acmeDb.raw(`select email from ${schema}.customers`)
      if (suite.model === 'schema') expect(await facts(reading)).toMatchObject({ code: '42501' })
      // The others' schema has the same name as its own: in the tables that they share, or in its own database.
      else expect(await reading).toEqual([{ email: `first@${suite.acme.key}.example` }])
    })

    test('a tenant that is not there', async () => {
      const error = await errorOf(suite.client.forTenant('nobody-of-the-kind').count())
      expect(tenantryCode(error)).toBe('TNY209')
    })
  })
}

/** The code of ours among an error and its causes. */
export function tenantryCode(error: unknown): string | undefined {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    if (cause instanceof TenantryError) return cause.code
  }
  return undefined
}

/** What a promise was rejected with. */
export async function errorOf(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => expect.unreachable('it did not fail'),
    (error: unknown) => error,
  )
}
