/** The life of tenants in shared tables, with others at work in the same ones. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import {
  type ControlPlane,
  createControlPlane,
  createTenancy,
  type Tenancy,
  type Tenant,
} from '../../src/index.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { deleteTenantRows } from '../../src/isolation/shared-form/delete-rows.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const MIGRATION = `
create table notes (id bigserial primary key, text text not null unique);
create table tags (note_id bigint not null references notes on delete cascade, tag text, primary key (note_id, tag));
insert into notes (text) values ('template');
`
const SEED = `insert into notes (text) values ('first') on conflict (text) do nothing;
insert into notes (text) values ('first') on conflict (text) do update set text = excluded.text;`

const folder = mkdtempSync(join(tmpdir(), 'tenantry-shared-home-'))
let database: TestDatabase
let plane: ControlPlane
let tenancy: Tenancy
beforeAll(async () => {
  database = await createTestDatabase()
  mkdirSync(join(folder, 'tenant'))
  writeFileSync(join(folder, 'tenant', '1_notes.sql'), MIGRATION)
  writeFileSync(join(folder, 'seed.sql'), SEED)
  plane = createControlPlane({
    connection: database.adminUrl,
    migrations: { tenant: join(folder, 'tenant') },
    seed: async (db) =>
      void (await db.query("insert into notes (text) values ('first') on conflict (text) do nothing")),
  })
  tenancy = createTenancy({ connection: database.appUrl })
})
afterAll(async () => {
  await tenancy.close()
  await plane.close()
  await database.drop()
  rmSync(folder, { recursive: true })
})

const make = (key: string, id?: string): Promise<Tenant> =>
  plane.tenants.create({ key, model: 'shared', ...(id === undefined ? {} : { id }) })
const textsOf = async (key: string): Promise<unknown[]> =>
  (await tenancy.poolFor(key).query('select text from notes order by text')).rows.map(({ text }) => text)
const rowsLeft = (id: string): Promise<unknown[]> =>
  database.sql('select text from tenant_shared.notes where tenant_id = $1', [id])

test('a seed with ON CONFLICT (…) runs for tenants that share tables as for the others', async () => {
  await make('seeded')
  expect(await textsOf('seeded')).toEqual(['first', 'template'])
  await plane.tenants.create({ key: 'from-file', model: 'shared', seed: join(folder, 'seed.sql') })
  expect(await textsOf('from-file')).toEqual(['first', 'template'])
})

test('V3: rows that a transaction of the erased tenant has yet to commit are waited for', async () => {
  const tenant = await make('late')
  await make('busy')
  // Of a neighbour that begins after the erasure, nobody waits for the end.
  async function eraseDuring(erase: () => Promise<unknown>): Promise<void> {
    const open = await tenancy.poolFor('late').connect()
    await open.query('begin')
    await open.query("insert into notes (text) values ('late')")
    const erased = erase()
    await expect.poll(async () => (await plane.tenants.get('late')).status).toBe('archived')
    const neighbour = await tenancy.poolFor('busy').connect()
    await neighbour.query('begin')
    await neighbour.query("insert into notes (text) values ('busy')")
    // What it begins anew is refused; what was begun may be committed.
    await open.query('savepoint s')
    await expect(open.query("insert into notes (text) values ('later')")).rejects.toMatchObject({
      code: 'TN001',
    })
    await open.query('rollback to s')
    await open.query('commit')
    open.release()
    await erased
    await neighbour.query('rollback')
    neighbour.release()
  }
  await eraseDuring(() => plane.tenants.delete('late', { confirm: 'late' }))
  expect(await rowsLeft(tenant.id)).toEqual([])
  expect(await textsOf('busy')).toEqual(['first', 'template'])
})

test('V3: without that wait, such rows stay for ever', async () => {
  const tenant = await make('control')
  const open = await tenancy.poolFor('control').connect()
  await open.query('begin')
  await open.query("insert into notes (text) values ('late')")
  const admin = createAdminDatabase(database.adminUrl)
  const shared = { ...tenant.home, pattern: 'tenant_shared_pattern' }
  await admin.transaction((tx) => deleteTenantRows(tx, shared, tenant.id))
  await admin.close()
  await open.query('commit')
  open.release()
  expect(await rowsLeft(tenant.id)).toEqual([{ text: 'late' }])
})

test('I7: ids with every odd character are told apart in shared tables, proven, and erased', async () => {
  const ids = [
    String.raw`a'b"c\d`,
    '1.x',
    '%s$1$$',
    '{a,b}',
    ';--/*',
    `${'~'.repeat(63)}!`,
    '(select/**/1)',
    'A',
    'a',
  ]
  const keys = ids.map((_, index) => `odd-${index}`)
  for (const [index, key] of keys.entries()) await make(key, ids[index])
  for (const key of keys) await tenancy.poolFor(key).query('insert into notes (text) values ($1)', [key])
  for (const key of keys) expect(await textsOf(key)).toEqual(['first', key, 'template'])
  for (const [index, key] of keys.entries()) {
    await plane.tenants.delete(key, { confirm: key })
    expect(await rowsLeft(ids[index] ?? '')).toEqual([])
    expect(await database.sql('select status from tenantry.tenants where id = $1', [ids[index]])).toEqual([
      { status: 'erased' },
    ])
  }
})

test('V1: an attempt that ended early is not completed under weaker walls than are asked for now', async () => {
  const failing = async (): Promise<void> => Promise.reject(new Error('the seed fails'))
  const create = { key: 'half', model: 'shared' } as const
  await expect(plane.tenants.create({ ...create, seed: failing })).rejects.toMatchObject({ code: 'TNY306' })
  for (const wish of [
    { tier: 'sealed' },
    { model: 'schema' },
    { model: 'database', tier: 'sealed' },
  ] as const) {
    const again = plane.tenants.create({ key: 'half', ...wish })
    await expect(again).rejects.toMatchObject({ code: 'TNY308' })
  }
  expect((await plane.tenants.get('half')).status).toBe('provisioning')
  // Who asks for nothing of the kind completes what was begun.
  expect((await plane.tenants.create({ key: 'half' })).home).toMatchObject({
    model: 'shared',
    tier: 'guarded',
  })
})
