/** Transactions in the ORM's own API: commit, rollback, savepoints, levels, and many at once. */
import { afterEach, describe, expect, test } from 'vitest'
import type { OrmSuite } from '../describe-orm.ts'
import { errorOf, tenantryCode } from './errors.ts'

export function describeTransactions(suite: OrmSuite): void {
  describe('transactions', () => {
    afterEach(async () => {
      for (const session of [suite.acmeDb, suite.globexDb]) {
        await session.raw("delete from customers where email not like 'first@%'")
      }
    })

    test('commit: what it wrote is there, and its result is the function’s', async () => {
      const id = await suite.acmeDb.transaction(async (tx) => (await tx.create({ email: 't@x.example' })).id)
      expect(await suite.acmeDb.find('t@x.example')).toMatchObject({ id })
    })

    test('rollback: the error is the function’s own, and nothing is there', async () => {
      const error = new Error('no')
      const failing = suite.acmeDb.transaction(async (tx) => {
        await tx.create({ email: 't@x.example' })
        throw error
      })
      await expect(failing).rejects.toBe(error)
      expect(await suite.acmeDb.find('t@x.example')).toBeUndefined()
    })

    test('inside it sees what it wrote, and others do not until it commits', async () => {
      await suite.acmeDb.transaction(async (tx) => {
        await tx.create({ email: 't@x.example' })
        expect(await tx.find('t@x.example')).toMatchObject({ email: 't@x.example' })
        expect(await seenByOthers(suite)).toBe(1)
      })
      expect(await seenByOthers(suite)).toBe(2)
    })

    suite.testOf('nested', 'nested: the inner one rolls back alone', async () => {
      await suite.acmeDb.transaction(async (tx) => {
        await tx.create({ email: 'outer@x.example' })
        const inner = tx.transaction(async (nested) => {
          await nested.create({ email: 'inner@x.example' })
          throw new Error('inner')
        })
        await expect(inner).rejects.toThrow('inner')
        expect(await tx.find('inner@x.example')).toBeUndefined()
      })
      expect(await suite.acmeDb.find('outer@x.example')).toBeDefined()
      expect(await suite.acmeDb.count()).toBe(2)
    })

    suite.testOf(
      'nested',
      'nested: an error of the database in the inner one leaves the outer one whole',
      async () => {
        await suite.acmeDb.transaction(async (tx) => {
          await tx.create({ email: 'outer@x.example' })
          const inner = tx.transaction((nested) => nested.create({ email: 'outer@x.example' }))
          await expect(inner).rejects.toBeInstanceOf(Error)
          await tx.create({ email: 'after@x.example' })
        })
        expect(await suite.acmeDb.count()).toBe(3)
      },
    )

    suite.testOf('nested', 'nested: what the inner one wrote goes with the outer one', async () => {
      const outer = suite.acmeDb.transaction(async (tx) => {
        await tx.transaction((nested) => nested.create({ email: 'inner@x.example' }))
        expect(await tx.count()).toBe(2)
        throw new Error('outer')
      })
      await expect(outer).rejects.toThrow('outer')
      expect(await suite.acmeDb.count()).toBe(1)
    })

    suite.testOf('isolation', 'an isolation level is the server’s', async () => {
      for (const isolation of ['repeatable read', 'serializable'] as const) {
        const levels = await suite.acmeDb.transaction(
          (tx) => tx.raw<{ level: string }>("select current_setting('transaction_isolation') as level"),
          { isolation },
        )
        expect(levels).toEqual([{ level: isolation }])
      }
    })

    suite.testOf('read-only', 'a read-only transaction reads, and refuses to write', async () => {
      const reading = await suite.acmeDb.transaction((tx) => tx.count(), { readOnly: true })
      expect(reading).toBe(1)
      const writing = suite.acmeDb.transaction((tx) => tx.create({ email: 't@x.example' }), {
        readOnly: true,
      })
      expect(suite.orm.readDatabaseError(await errorOf(writing))).toMatchObject({ code: '25006' })
    })

    test('after a failed statement it rolls back, and the next one begins afresh', async () => {
      const failing = suite.acmeDb.transaction(async (tx) => {
        await tx.create({ email: 't@x.example' })
        await tx.raw('select 1 / 0')
      })
      expect(suite.orm.readDatabaseError(await errorOf(failing))).toMatchObject({ code: '22012' })
      expect(await suite.acmeDb.transaction((tx) => tx.count())).toBe(1)
    })

    test('A2: sixty transactions of two tenants at once, on fewer connections, stay apart', async () => {
      const emails = await Promise.all(
        Array.from({ length: 60 }, (_, turn) => {
          const [session, { key }] =
            turn % 2 === 0 ? [suite.acmeDb, suite.acme] : [suite.globexDb, suite.globex]
          return session.transaction(async (tx) => {
            await tx.setVisits(`first@${key}.example`, turn)
            const [customer] = await tx.list({ limit: 5, offset: 0 })
            return customer?.email === `first@${key}.example` && customer.visits === turn
          })
        }),
      )
      expect(emails.filter((right) => !right)).toEqual([])
    })

    suite.testOf(
      'joins',
      'A2: a helper that uses the global object is in the transaction of its context',
      async () => {
        const { tenancy, client, acme } = suite
        const failing = tenancy.run(acme, () =>
          client.db.transaction(async (tx) => {
            await tx.create({ email: 'own@x.example' })
            await client.db.create({ email: 'helped@x.example' })
            await client.forTenant(acme.key).create({ email: 'named@x.example' })
            expect(await client.db.count()).toBe(4)
            expect(await tx.count()).toBe(4)
            expect(await tenancy.outsideTransaction(() => client.db.count())).toBe(1)
            throw new Error('undo')
          }),
        )
        await expect(failing).rejects.toThrow('undo')
        expect(await suite.acmeDb.count()).toBe(1)
      },
    )

    suite.testOf('joins', 'A2: a transaction of the global object inside of one is a savepoint', async () => {
      const { tenancy, client, acme } = suite
      await tenancy.run(acme, () =>
        client.db.transaction(async (tx) => {
          await tx.create({ email: 'outer@x.example' })
          const inner = client.db.transaction(async () => {
            await client.db.create({ email: 'inner@x.example' })
            expect(await client.db.count()).toBe(3)
            throw new Error('inner')
          })
          await expect(inner).rejects.toThrow('inner')
          await client.db.transaction((nested) => nested.create({ email: 'kept@x.example' }))
        }),
      )
      expect(await suite.acmeDb.count()).toBe(3)
      expect(await suite.acmeDb.find('inner@x.example')).toBeUndefined()
    })

    suite.testOf('joins', 'A2: inside a transaction another tenant is another tenant', async () => {
      const { tenancy, client, acme, globex, globexDb } = suite
      const failing = tenancy.run(acme, () =>
        client.db.transaction(async (tx) => {
          await tx.create({ email: 'acme@x.example' })
          await tenancy.run(globex, () => client.db.create({ email: 'globex@x.example' }))
          await client.forTenant(globex).create({ email: 'named@x.example' })
          throw new Error('undo')
        }),
      )
      await expect(failing).rejects.toThrow('undo')
      expect(await suite.acmeDb.count()).toBe(1)
      expect(await globexDb.count()).toBe(3)
    })

    suite.testOf(
      'joins',
      'A2: a transaction is refused in another tenant’s context, where no tenant was named',
      async () => {
        const { tenancy, client, acme, globex } = suite
        const leaking = tenancy.run(acme, () =>
          client.db.transaction((tx) => tenancy.run(globex, () => tx.count())),
        )
        expect(tenantryCode(await errorOf(leaking))).toBe('TNY234')
      },
    )

    test('the transaction of a tenant is for the context’s tenant where none is named', async () => {
      await suite.tenancy.run(suite.globex, () =>
        suite.client.db.transaction((tx) => tx.create({ email: 't@x.example' })),
      )
      expect(await suite.globexDb.count()).toBe(2)
      expect(await suite.acmeDb.count()).toBe(1)
    })
  })
}

/** Customers of acme as another session sees them: by a tenancy that shares nothing with the ORM's. */
async function seenByOthers({ world, acme }: OrmSuite): Promise<number> {
  const other = world.open({ max: 1 })
  try {
    const { rows } = await other
      .poolFor(acme)
      .query<{ n: number }>('select count(*)::int as n from customers')
    return rows[0]?.n ?? 0
  } finally {
    await other.close()
  }
}
