/** Streams and cursors, large or left early, and what an abort signal stops. */
import { describe, expect, test } from 'vitest'
import { waitFor } from '../../support/wait-for.ts'
import type { OrmSuite } from '../describe-orm.ts'

const ROWS = 500

export function describeStreams(suite: OrmSuite): void {
  describe('streams and signals', () => {
    suite.testOf('streams', 'a stream gives the tenant’s rows, one after the other', async () => {
      const { acmeDb, acme } = suite
      await acmeDb.createMany(Array.from({ length: ROWS }, (_, n) => ({ email: `s${n}@x.example` })))
      try {
        const emails: string[] = []
        for await (const { email } of acmeDb.stream?.() ?? []) emails.push(email)
        expect(emails.length).toBe(ROWS + 1)
        expect(emails[0]).toBe(`first@${acme.key}.example`)
        const others: string[] = []
        for await (const { email } of suite.globexDb.stream?.() ?? []) others.push(email)
        expect(others).toEqual([`first@${suite.globex.key}.example`])
      } finally {
        await acmeDb.raw("delete from customers where email not like 'first@%'")
      }
    })

    suite.testOf('streams', 'a stream inside a transaction sees what the transaction wrote', async () => {
      const failing = suite.acmeDb.transaction(async (tx) => {
        await tx.create({ email: 's@x.example' })
        const emails: string[] = []
        for await (const { email } of tx.stream?.() ?? []) emails.push(email)
        throw Object.assign(new Error('undo'), { emails })
      })
      await expect(failing).rejects.toMatchObject({
        emails: [`first@${suite.acme.key}.example`, 's@x.example'],
      })
    })

    suite.testOf('streams', 'a stream that is left early gives its connection back', async () => {
      for (let turn = 0; turn < 25; turn += 1) {
        for await (const { email } of suite.acmeDb.stream?.() ?? []) {
          expect(email).toBe(`first@${suite.acme.key}.example`)
          break
        }
      }
      const { pool } = suite.tenancy
      await waitFor(() => pool.idleCount === pool.totalCount)
    })

    test('the context’s signal stops a statement that runs, and one that is made later', async () => {
      const leaving = new AbortController()
      const running = suite.tenancy.run(
        suite.acme,
        async () => {
          const statement = suite.client.db.raw(
            'select count(*) from generate_series(1, 100000000) a where a % 7 = $1::int',
            [3],
          )
          setTimeout(() => leaving.abort(), 100)
          await expect(statement).rejects.toBeInstanceOf(Error)
          await expect(suite.client.db.count()).rejects.toBeInstanceOf(Error)
        },
        { signal: leaving.signal },
      )
      await running
      expect(await suite.acmeDb.count()).toBe(1)
    })
  })
}
