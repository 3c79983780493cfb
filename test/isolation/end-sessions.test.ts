import { afterAll, beforeAll, expect, test } from 'vitest'
import pg from 'pg'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { endSession } from '../../src/isolation/end-sessions.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

let db: TestDatabase
beforeAll(async () => {
  db = await createTestDatabase()
})
afterAll(() => db.drop())

async function pidOf(client: pg.Client): Promise<number> {
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  return rows[0]?.pid ?? 0
}

test('a session is ended by its number and its login, and no right stays behind', async () => {
  const [client, other] = [new pg.Client(db.appUrl), new pg.Client(db.superuserUrl)]
  client.on('error', () => undefined)
  await Promise.all([client.connect(), other.connect()])
  const admin = createAdminDatabase(db.adminUrl)
  try {
    // The number of somebody else's session is nobody's under this login.
    const foreign = { pid: await pidOf(other), login: 'tenantry_app' }
    expect(await admin.session((own) => endSession(own, foreign))).toBe(true)
    await other.query('select 1')
    const session = { pid: await pidOf(client), login: 'tenantry_app' }
    expect(await admin.session((own) => endSession(own, session))).toBe(true)
    await expect(client.query('select 1')).rejects.toThrow(/terminat|closed|not queryable/)
    const rows = await db.sql<{ has: boolean }>(
      "select pg_has_role('tenantry_admin', 'tenantry_app', 'usage') as has",
    )
    expect(rows).toEqual([{ has: false }])
  } finally {
    await admin.close()
    await other.end()
    await client.end().catch(() => undefined)
  }
})

test('whoever may not end a session is told so', async () => {
  const client = new pg.Client(db.superuserUrl)
  await client.connect()
  const weak = createAdminDatabase(db.appUrl)
  try {
    const session = { pid: await pidOf(client), login: String(client.user) }
    expect(await weak.session((own) => endSession(own, session))).toBe(false)
    await client.query('select 1')
  } finally {
    await weak.close()
    await client.end()
  }
})
