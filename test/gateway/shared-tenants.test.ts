import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ControlPlane, createControlPlane, createTenancy } from '../../src/index.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const KEYS = Array.from({ length: 12 }, (_, n) => `shop-${n}`)
const folder = mkdtempSync(join(tmpdir(), 'tenantry-shared-'))
let database: TestDatabase
let plane: ControlPlane
beforeAll(async () => {
  database = await createTestDatabase()
  writeFileSync(
    join(folder, '1_notes.sql'),
    'create table notes (id bigserial primary key, text text not null);',
  )
  plane = createControlPlane({
    connection: database.adminUrl,
    migrations: { tenant: folder },
    seed: async (db, { key }) => void (await db.query('insert into notes (text) values ($1)', [key])),
  })
  for (const key of KEYS) await plane.tenants.create({ key, model: 'shared' })
})
afterAll(async () => {
  await plane.close()
  await database.drop()
  rmSync(folder, { recursive: true })
})

const TEXT = 'select text from notes where id > $1'

test('S23: tenants that share tables share prepared statements, and each gets its own rows', async () => {
  const tenancy = createTenancy({ connection: database.appUrl, max: 1 })
  const named: boolean[] = []
  tenancy.on('flight:done', (flight) => {
    if (flight.tenantId !== undefined) named.push(flight.named)
  })
  try {
    for (const key of KEYS) {
      expect((await tenancy.poolFor(key).query(TEXT, [0])).rows).toEqual([{ text: key }])
    }
    // The first has no name yet, the second prepares it, and from then on it is there for all.
    expect(named).toEqual(KEYS.map((_, n) => n >= 2))
  } finally {
    await tenancy.close()
  }
})

test('a lock that would stop everybody is refused in tables that users share too, through tenancy.shared', async () => {
  const admin = createAdminDatabase(database.adminUrl)
  const tenancy = createTenancy({ connection: database.appUrl })
  const lock = 'lock table users in access exclusive mode'
  try {
    await admin.query(
      "create table public.users (tenant_id text, email text); select tenantry.protect('public.users')",
    )
    await tenancy.run('shop-1', async () => {
      const client = await tenancy.shared.connect()
      await client.query('begin')
      await expect(client.query(lock)).rejects.toMatchObject({ code: 'TNY204' })
      await client.query('rollback')
      const upsert = "insert into users (email) values ('a') on conflict do nothing"
      expect((await client.query(upsert)).rowCount).toBe(1)
      client.release()
      // The control: the server takes the same lock for the tenant, and for all others with it.
      const role = tenancy.requireTenant().home.role
      await admin.transaction(async (tx) => {
        await tx.query(`set local role ${role}`)
        await tx.query(lock)
      })
    })
  } finally {
    await tenancy.close()
    await admin.close()
  }
})
