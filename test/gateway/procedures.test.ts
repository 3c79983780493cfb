/** Procedures that commit, on the versions where the rest of them would run outside of the tenant. */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type ControlPlane,
  createControlPlane,
  createTenancy,
  type Tenancy,
  type Tenant,
} from '../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { describeOnVersions } from '../support/versions.ts'

describeOnVersions('a procedure that commits', [15, 18], (version) => {
  let database: TestDatabase
  let plane: ControlPlane
  let tenancy: Tenancy
  let acme: Tenant
  beforeAll(async () => {
    database = await createTestDatabase({ version })
    plane = createControlPlane({ connection: database.adminUrl, migrations: {} })
    acme = await plane.tenants.create({ key: 'acme' })
    const { schema, role } = acme.home
    await database.sql(`create table public.seen (who text); grant insert on public.seen to public;
      create procedure ${schema}.commits() language plpgsql as
        'begin insert into public.seen values (current_user); commit; insert into public.seen values (current_user); end';
      grant execute on procedure ${schema}.commits() to ${role}`)
    tenancy = createTenancy({ connection: database.appUrl })
  })
  afterAll(async () => {
    await tenancy?.close()
    await plane?.close()
    await database.drop()
  })

  const seen = async (): Promise<unknown[]> =>
    (await database.sql<{ who: string }>('select who from public.seen')).map(({ who }) => who)

  test('S28: it is refused, and does nothing', async () => {
    await expect(tenancy.poolFor('acme').query('call commits()')).rejects.toMatchObject({ code: '2D000' })
    expect(await seen()).toEqual([])
  })

  test('S28, the control: in one flight with its context, without BEGIN, the rest runs as the login before 18', async () => {
    const { schema, role } = acme.home
    const outcome = await sendTogether(database.appUrl, [
      `select set_config('role', '${role}', true), set_config('search_path', '${schema}', true)`,
      'call commits()',
    ])
    expect([outcome, await seen()]).toEqual(version === 15 ? ['done', [role, 'tenantry_app']] : ['2D000', []])
  })
})

/** The statements in one flight: one Sync behind all of them, as the gateway sends context and statement. */
async function sendTogether(url: string, texts: readonly string[]): Promise<string> {
  const client = new pg.Client(url)
  await client.connect()
  const { promise, resolve } = Promise.withResolvers<string>()
  client.query({
    submit(connection: pg.Connection) {
      for (const text of texts) {
        connection.parse({ name: '', text, types: [] }, true)
        connection.bind({ portal: '', statement: '', values: [], binary: '', valueMapper: String }, true)
        connection.execute({ portal: '' }, true)
      }
      connection.sync()
    },
    // After an error node-postgres tells no more.
    handleError: (error: { code?: string }) => resolve(error.code ?? 'lost'),
    handleReadyForQuery: () => resolve('done'),
    handleRowDescription: () => undefined,
    handleDataRow: () => undefined,
    handleCommandComplete: () => undefined,
    handlePortalSuspended: () => undefined,
    handleEmptyQuery: () => undefined,
  } as unknown as pg.Submittable)
  try {
    return await promise
  } finally {
    await client.end()
  }
}
