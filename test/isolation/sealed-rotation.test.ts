import { setTimeout as sleep } from 'node:timers/promises'
import { readFile } from 'node:fs/promises'
import { inspect } from 'node:util'
import pg from 'pg'
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { createKeyring } from '../../src/isolation/master-key.ts'
import { BUSY_MS } from '../support/wait-for.ts'
import { createSealedWorld, MASTER_KEY, type SealedWorld } from './sealed-world.ts'

const NEWER_KEY = 'a newer master key of these tests and long enough'
const THIRD_KEY = 'the third master key of these tests and long enough'
const BOTH = `${NEWER_KEY},${MASTER_KEY}`

let world: SealedWorld
beforeAll(async () => {
  world = await createSealedWorld()
})
afterAll(() => world?.close())

test('rotating under load fails no statement, opens the new secrets and shuts the former', async () => {
  const tenants = []
  for (let n = 0; n < 6; n++) tenants.push(await world.create(`rotated-${n}`))
  const guarded = await world.create('guarded', { tier: 'guarded' })
  await world.plane.tenants.suspend('rotated-5')
  const tenancy = world.open({ masterKey: BOTH, max: 4 })
  await tenancy.ready()
  let [working, done] = [true, 0]
  const load = Array.from({ length: 12 }, async (_, worker) => {
    for (let turn = worker; working; turn++) {
      const key = `rotated-${turn % 5}`
      const { rows } = await tenancy.poolFor(key).query('select text from notes')
      expect(rows).toEqual([{ text: `canary of ${key}` }])
      done += 1
    }
  })
  await sleep(300)
  const newer = world.openPlane(BOTH)
  const progress: number[] = []
  const rotation = await newer.secrets.rotate({ onProgress: (so, total) => progress.push(so, total) })
  await sleep(700)
  working = false
  await Promise.all(load)
  expect(done).toBeGreaterThan(50)
  expect(rotation).toEqual({ key: createKeyring(NEWER_KEY).newest, rotated: 6, left: [] })
  expect(progress).toEqual([6, 6])
  expect(await newer.secrets.rotate()).toMatchObject({ rotated: 0, left: [] })
  for (const { key } of tenants.slice(0, 5)) {
    const now = await world.plane.tenants.get(key)
    expect(now.home.keyId).toBe(rotation.key)
    await world.login(now, NEWER_KEY)
  }
  for (const tenant of tenants.slice(0, 5)) {
    await expect(world.login(tenant, MASTER_KEY)).rejects.toMatchObject({ code: '28P01' })
  }
  // A suspended one has its new secret and stays shut.
  await expect(world.login(await world.plane.tenants.get('rotated-5'), NEWER_KEY)).rejects.toMatchObject({
    code: '28000',
  })
  expect((await world.plane.tenants.get(guarded.key)).home.keyId).toBeUndefined()
  // Back again, for the tests that follow.
  await world.openPlane(`${MASTER_KEY},${NEWER_KEY}`).secrets.rotate()
})

test('a tenancy that missed the change is refused once by the server, asks again, and goes on', async () => {
  await world.create('missed')
  const tenancy = world.open({ masterKey: BOTH, max: 1 })
  const pool = tenancy.poolFor('missed')
  await pool.query('select 1')
  await world.openPlane(BOTH).secrets.rotate()
  const tenant = await world.plane.tenants.get('missed')
  await world.db.sql('select pg_terminate_backend(pid) from pg_stat_activity where usename = $1', [
    tenant.home.role,
  ])
  expect((await pool.query('select text from notes')).rows).toEqual([{ text: 'canary of missed' }])
  await world.openPlane(`${MASTER_KEY},${NEWER_KEY}`).secrets.rotate()
})

test('a process that lacks the key is told so, for the sealed tenants alone', async () => {
  await world.create('sealed')
  await world.create('open', { tier: 'guarded' })
  for (const [masterKey, code] of [
    ['', 'TNY021'],
    [THIRD_KEY, 'TNY022'],
  ] as const) {
    const tenancy = world.open({ masterKey })
    await expect(tenancy.poolFor('sealed').query('select 1')).rejects.toMatchObject({ code })
    expect((await tenancy.poolFor('open').query('select 1 as one')).rows).toEqual([{ one: 1 }])
  }
  await expect(world.openPlane('').tenants.create({ key: 'keyless', tier: 'sealed' })).rejects.toMatchObject({
    code: 'TNY021',
  })
  await expect(world.openPlane('').secrets.rotate()).rejects.toMatchObject({ code: 'TNY021' })
})

test('the former key is not needed to rotate, so that a lost one is replaced', async () => {
  const { id } = await world.create('orphan')
  const plane = world.openPlane(THIRD_KEY)
  expect(await plane.secrets.status()).toContainEqual({
    id: createKeyring(MASTER_KEY).newest,
    tenants: expect.any(Number) as number,
    known: false,
    newest: false,
  })
  const { key, left } = await plane.secrets.rotate()
  expect(left).toEqual([])
  expect(await plane.secrets.status()).toEqual([
    { id: key, tenants: expect.any(Number) as number, known: true, newest: true },
  ])
  const { rows } = await world.open({ masterKey: THIRD_KEY }).poolFor(id).query('select text from notes')
  expect(rows).toEqual([{ text: 'canary of orphan' }])
  await world.plane.secrets.rotate()
})

test('a tenant that somebody works on is waited for, and left where that takes long', async () => {
  const { id, key } = await world.create('worked-on')
  const newer = world.openPlane(BOTH)
  // As a process that provisions or suspends it does.
  const client = new pg.Client(world.db.adminUrl)
  await client.connect()
  await client.query("select pg_advisory_lock(hashtextextended('tenantry:tenant:' || $1, 0))", [id])
  const rotating = newer.secrets.rotate()
  await sleep(BUSY_MS)
  await client.end()
  expect(await rotating).toMatchObject({ left: [] })
  expect((await world.plane.tenants.get(key)).home.keyId).toBe(createKeyring(NEWER_KEY).newest)
  await world.openPlane(`${MASTER_KEY},${NEWER_KEY}`).secrets.rotate()
})

test('V2: the secret is in no log, no activity, no error and no record', async () => {
  await world.db.sql(`alter role tenantry_admin in database ${world.db.name} set log_statement = 'all'`)
  const plane = world.openPlane(MASTER_KEY)
  const tenant = await plane.tenants.create({ key: 'quiet', tier: 'sealed' })
  await plane.tenants.suspend('quiet')
  await plane.tenants.resume('quiet')
  const secret = createKeyring(MASTER_KEY).secretOf(tenant.id, tenant.home.keyId ?? '')
  const tenancy = world.open()
  await tenancy.poolFor('quiet').query('select 1')
  const activity = await world.db.sql(
    'select query, application_name from pg_stat_activity where datname = current_database()',
  )
  await world.db.sql(`alter role ${tenant.home.role} password 'another'`)
  const refused = world.open()
  const error: unknown = await refused
    .poolFor('quiet')
    .query('select 1')
    .catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: 'TNY205' })
  await plane.tenants.resume('quiet')
  const log = await readFile(inject('server').log, 'utf8')
  expect(log).toContain(`alter role "${tenant.home.role}" password 'SCRAM-SHA-256$1:`)
  const record = await tenancy.run('quiet', (found) => found)
  const said = inspect({ activity, error, record, tenancy, plane, refused }, { depth: 12, showHidden: false })
  for (const text of [log, said, JSON.stringify(record), JSON.stringify(error)]) {
    expect(text).not.toContain(secret)
    expect(text).not.toContain(MASTER_KEY)
  }
})
