/** Whose rows: the context's tenant, a named one, never a default; and tenants that change between two calls. */
import { describe, expect, test } from 'vitest'
import { waitFor } from '../../support/wait-for.ts'
import type { OrmSuite } from '../describe-orm.ts'
import type { OrmSession } from '../orm-under-test.ts'
import { errorOf, tenantryCode } from './errors.ts'

/** Reads in all, and how many of them run at once. */
const READS = 1_000
const AT_ONCE = 50

export function describeTenants(suite: OrmSuite): void {
  const emails = async (session: OrmSession): Promise<string[]> =>
    (await session.list({ limit: 10, offset: 0 })).map(({ email }) => email)
  const first = ({ key }: { key: string }): string[] => [`first@${key}.example`]

  describe('tenants', () => {
    test('the one object is for the tenant of the context', async () => {
      const { tenancy, client, acme, globex } = suite
      expect(await tenancy.run(acme, () => emails(client.db))).toEqual(first(acme))
      expect(await tenancy.run(globex, () => emails(client.db))).toEqual(first(globex))
      expect(await tenancy.run(acme, () => emails(client.forTenant()))).toEqual(first(acme))
    })

    test('A1: without a tenant it throws, and there is no default', async () => {
      expect(tenantryCode(await errorOf(suite.client.db.count()))).toBe('TNY201')
      expect(tenantryCode(await errorOf(suite.client.db.raw('select 1 as one from customers')))).toBe(
        'TNY201',
      )
      expect(tenantryCode(await errorOf(suite.client.db.transaction((tx) => tx.count())))).toBe('TNY201')
      for (const nobody of [[], [undefined]] as const) {
        const asking = async (): Promise<number> => suite.client.forTenant(...nobody).count()
        expect(tenantryCode(await errorOf(asking()))).toBe('TNY201')
      }
    })

    test('a tenant is named by key, id or record, without a context', async () => {
      for (const named of [suite.acme.key, suite.acme.id, suite.acme]) {
        expect(await emails(suite.client.forTenant(named))).toEqual(first(suite.acme))
      }
    })

    test('A2: a tenant that is named is meant, whatever the context is', async () => {
      const { tenancy, client, acme, globex } = suite
      const both = await tenancy.run(globex, async () => [
        await emails(client.forTenant(acme)),
        await emails(client.db),
        await tenancy.run(acme, () => emails(client.db)),
        await emails(client.db),
      ])
      expect(both).toEqual([first(acme), first(globex), first(acme), first(globex)])
    })

    test(`A2: ${READS} reads of two tenants, interleaved through one object, with no row of the other`, async () => {
      const { tenancy, client, acme, globex } = suite
      let foreign = 0
      let turn = 0
      const read = async (): Promise<void> => {
        while (turn < READS) {
          const tenant = turn++ % 2 === 0 ? acme : globex
          const found = await tenancy.run(tenant, () =>
            turn % 10 === 0 ? client.db.transaction(emails) : emails(client.db),
          )
          if (found.length !== 1 || found[0] !== first(tenant)[0]) foreign += 1
        }
      }
      await Promise.all(Array.from({ length: AT_ONCE }, read))
      expect(foreign).toBe(0)
    })

    test('I8: renamed, suspended, resumed: the same object follows', async () => {
      const { world, client, acme } = suite
      await world.plane.tenants.rename(acme.key, { key: `${acme.key}-2` })
      try {
        await waitFor(() => emails(client.forTenant(`${acme.key}-2`)).then(Boolean, () => false))
        expect(await emails(client.forTenant(`${acme.key}-2`))).toEqual(first(acme))
        expect(await emails(client.forTenant(acme.id))).toEqual(first(acme))
        await world.plane.tenants.suspend(acme.id)
        expect(tenantryCode(await errorOf(client.forTenant(acme.id).count()))).toBe('TNY211')
        expect(tenantryCode(await errorOf(client.forTenant(acme.id).transaction((tx) => tx.count())))).toBe(
          'TNY211',
        )
        await world.plane.tenants.resume(acme.id)
        await waitFor(() =>
          client
            .forTenant(acme.id)
            .count()
            .then(Boolean, () => false),
        )
      } finally {
        await world.plane.tenants.rename(acme.id, { key: acme.key })
      }
    })

    test('V3: deleted and made anew under the same key: the same object has the new one’s rows', async () => {
      const { world, client, model } = suite
      const key = `again-${model}`
      const create = () => world.plane.tenants.create({ key, model })
      await create()
      expect(await client.forTenant(key).create({ email: 'old@x.example' })).toBeDefined()
      await world.plane.tenants.delete(key, { confirm: key })
      expect(tenantryCode(await errorOf(client.forTenant(key).count()))).toBe('TNY209')
      const { home } = await create()
      await waitFor(() =>
        client
          .forTenant(key)
          .count()
          .then(Boolean, () => false),
      )
      expect(await emails(client.forTenant(key))).toEqual([`first@${key}.example`])
      expect(home.model).toBe(model)
      await world.plane.tenants.delete(key, { confirm: key })
    })
  })
}
