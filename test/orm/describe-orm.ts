/** The contract that every ORM over a tenancy keeps, in all three models; an adapter's file is its operations alone. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Tenancy, Tenant, TenantModel } from '../../src/index.ts'
import { waitFor } from '../support/wait-for.ts'
import { describeErrors } from './behaviours/errors.ts'
import { describeRows } from './behaviours/rows.ts'
import { describeStreams } from './behaviours/streams.ts'
import { describeTenants } from './behaviours/tenants.ts'
import { describeTransactions } from './behaviours/transactions.ts'
import { describeValues } from './behaviours/values.ts'
import type { Capability, OrmClient, OrmSession, OrmUnderTest } from './orm-under-test.ts'
import { createOrmWorld, MODELS, type OrmWorld } from './orm-world.ts'

/** What the behaviours are told. Everything is asked in the moment of a test: before, it is not there. */
export interface OrmSuite {
  readonly orm: OrmUnderTest
  readonly model: TenantModel
  readonly world: OrmWorld
  readonly tenancy: Tenancy
  readonly client: OrmClient
  readonly acme: Tenant
  readonly globex: Tenant
  /** Sessions of the two, explicitly. */
  readonly acmeDb: OrmSession
  readonly globexDb: OrmSession
  /** A test of what an ORM may lack; where it does, a test that says so. */
  testOf(capability: Capability, title: string, fn: () => Promise<void>): void
}

/** Runs the contract. Each test leaves the tenants' customers as it found them. */
export function describeOrm(orm: OrmUnderTest): void {
  let world: OrmWorld
  let client: OrmClient
  beforeAll(async () => {
    world = await createOrmWorld()
    client = await orm.open(world.tenancy)
  }, 60_000)
  afterAll(async () => {
    await client?.close?.()
    await world?.close()
  }, 60_000)

  describe.each(MODELS)(`${orm.name}, %s`, (model) => {
    const suite: OrmSuite = {
      orm,
      model,
      get world() {
        return world
      },
      get tenancy() {
        return world.tenancy
      },
      get client() {
        return client
      },
      get acme() {
        return world.tenants[model].acme
      },
      get globex() {
        return world.tenants[model].globex
      },
      get acmeDb() {
        return client.forTenant(world.tenants[model].acme)
      },
      get globexDb() {
        return client.forTenant(world.tenants[model].globex)
      },
      testOf(capability, title, fn) {
        const reason = orm.lacks?.[capability]
        if (reason === undefined) test(`${title}`, fn)
        else test(`not with ${orm.name}: ${title} (${reason})`, () => expect(reason).not.toBe(''))
      },
    }
    describeRows(suite)
    describeValues(suite)
    describeTransactions(suite)
    describeStreams(suite)
    describeErrors(suite)
    describeTenants(suite)

    test('at the end every connection is at rest, and the tenants have what they had', async () => {
      const { pool } = suite.tenancy
      await waitFor(async () => pool.idleCount === pool.totalCount)
      for (const [session, { key }] of [
        [suite.acmeDb, suite.acme],
        [suite.globexDb, suite.globex],
      ] as const) {
        const emails = (await session.list({ limit: 10, offset: 0 })).map(({ email }) => email)
        expect(emails).toEqual([`first@${key}.example`])
      }
    })
  })
}
