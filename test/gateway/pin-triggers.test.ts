/**
 * RDS Proxy keeps a client on one backend ("pins" it) once it sees something that a session would keep. What the
 * gateway sends is written down on the wire and held against AWS' list; AWS itself has not been tried.
 * Source: Amazon RDS User Guide, "Avoiding pinning an RDS Proxy", conditions for all engines and for PostgreSQL.
 */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Tenancy } from '../../src/index.ts'
import { knexForTenants } from '../../src/orm/knex.ts'
import { createParser } from '../../src/sql/parser.ts'
import { readStatement, type Statement } from '../../src/sql/statement.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { recordWire, type SentStatement, type WireRecorder } from '../support/wire-recorder.ts'

const parser = createParser()
let world: TenantWorld
let wire: WireRecorder
let tenancy: Tenancy
beforeAll(async () => {
  await parser.load()
  world = await createTenantWorld('acme', 'globex')
  wire = await recordWire(world.db.appUrl)
  tenancy = world.open({ connection: wire.url, direct: world.db.appUrl, pooler: 'pgbouncer', max: 4 })
})
afterAll(async () => {
  await world.close()
  await wire.close()
})

interface Order {
  id: string
  owner: string
  note: string | null
}

const LONGEST_TEXT = 16 * 1024
const COMMANDS: Readonly<Record<string, string>> = {
  VariableSetStmt: 'SET',
  PrepareStmt: 'PREPARE',
  ExecuteStmt: 'EXECUTE',
  DeallocateStmt: 'DEALLOCATE',
  DiscardStmt: 'DISCARD',
  DeclareCursorStmt: 'a declared cursor',
  ListenStmt: 'LISTEN',
  UnlistenStmt: 'LISTEN',
  LoadStmt: 'LOAD',
}

/** What on AWS' list a statement is; `undefined` for nothing on it. */
function pinTrigger({ name, text }: SentStatement): string | undefined {
  if (name !== '') return 'a named statement'
  if (Buffer.byteLength(text) > LONGEST_TEXT) return 'a text over 16 KB'
  const statement = readStatement(text, parser)
  return COMMANDS[statement.node] ?? (statement.traits.has('temp') ? 'temporary' : callTrigger(statement))
}

function callTrigger({ functions }: Statement): string | undefined {
  return [...functions].find(
    (name) =>
      ['nextval', 'setval', 'set_config'].includes(name) ||
      (/^pg_(try_)?advisory_/.test(name) && !name.includes('_xact_')),
  )
}

/** The context of a flight: every setting ends with its transaction. */
function isContext({ text }: SentStatement): boolean {
  const settings = /^select where concat\((.*)\) = ''$/.exec(text.replaceAll(/\s+/g, ' '))?.[1]
  return settings !== undefined && /^(set_config\('[\w.]+', \$\d+, true\)(, )?)+$/.test(settings)
}

/** Everything that a backend of an application does in a day. */
async function work(): Promise<void> {
  const dbForTenant = knexForTenants(tenancy)
  for (const key of ['acme', 'globex', 'acme']) {
    const db = dbForTenant(key)
    const [order] = await db<Order>('orders').insert({ owner: key, note: 'new' }).returning('id')
    await db('orders').where({ id: order?.id }).update({ note: 'changed' })
    await db('orders').select('*').orderBy('id').limit(10).offset(0)
    await db('orders').count('* as n').first()
    await db.raw('select owner_of(?)', [order?.id ?? null])
    await db.transaction(async (trx) => {
      await trx('orders').where({ id: order?.id }).forUpdate().first()
      await trx.transaction(async (nested) => nested('orders').where({ note: 'changed' }).del())
      await trx
        .transaction(async (nested) => nested.raw('select 1 / 0'))
        .catch((error: unknown) => expect(error).toMatchObject({ code: '22012' }))
    })
    await db
      .transaction(async (trx) => {
        await trx('orders').del()
        throw new Error('changed my mind')
      })
      .catch(() => undefined)
    await expect(db('no_such_table')).rejects.toMatchObject({ code: '42P01' })

    await tenancy.run(key, async () => {
      await tenancy.pool.query('select * from orders where owner = $1', [key])
      await tenancy.pool.query({ text: 'select 1', name: 'a name of the application’s' } as { text: string })
      await tenancy.transaction((client) => Promise.resolve(client.query('select 1')), {
        isolation: 'serializable',
        readOnly: true,
      })
    })
    const client = await tenancy.poolFor(key).connect()
    await client.query('begin')
    await client.query('savepoint a')
    await client.query('update orders set note = note')
    await client.query('rollback to savepoint a')
    client.release()
  }
  await tenancy.central.query('select count(*) from tenantry.tenants')
  await world.plane.tenants.suspend('globex')
  await expect(tenancy.poolFor('globex').query('select 1')).rejects.toMatchObject({ code: 'TNY211' })
  await world.plane.tenants.resume('globex')
  await tenancy.health()
}

test('P1: of RDS Proxy’s pin triggers the gateway sends none but set_config, in its transaction-local form', async () => {
  await work()
  const sent = wire.takeStatements()
  expect(sent.length).toBeGreaterThan(100)
  const triggers = sent.flatMap((statement) => {
    const trigger = pinTrigger(statement)
    return trigger === undefined ? [] : [{ trigger, statement }]
  })
  expect(triggers.filter(({ statement }) => !isContext(statement))).toEqual([])
  expect(new Set(triggers.map(({ trigger }) => trigger))).toEqual(new Set(['set_config']))
  // By the simple protocol nothing at all.
  expect(sent.filter(({ tag }) => tag === 'Q')).toEqual([])
})

test('P1: what a tenant’s code asks for of them is refused before it is sent', async () => {
  const refused = [
    "set search_path = 'public'",
    'reset all',
    'prepare p as select 1',
    'execute p',
    'deallocate all',
    'discard all',
    'create temp table t (a int)',
    'create temp sequence s',
    'create temp view v as select 1 as a',
    'listen a_channel',
    'unlisten *',
    "load 'auto_explain'",
    'select pg_advisory_lock(1)',
    'select pg_try_advisory_lock(1)',
    "select set_config('work_mem', '1MB', false)",
    'declare c cursor with hold for select 1',
  ]
  await tenancy.ready()
  wire.takeStatements()
  for (const text of refused) {
    await expect(tenancy.poolFor('acme').query(text), text).rejects.toMatchObject({
      code: expect.stringMatching(/^TNY2(04|10)$/) as string,
    })
    const client = await tenancy.poolFor('acme').connect()
    await client.query('begin')
    await expect(client.query(text), text).rejects.toMatchObject({
      code: expect.stringMatching(/^TNY2(04|10)$/) as string,
    })
    client.release()
  }
  expect(wire.takeStatements().filter(({ text }) => refused.includes(text))).toEqual([])
})

test('P1: the unsafe control: a plain client sends each of them, and the recorder tells them all', async () => {
  const plain = new pg.Client(wire.url)
  await plain.connect()
  wire.takeStatements()
  const texts = [
    "set work_mem = '1MB'",
    'prepare p as select 1',
    'execute p',
    'deallocate p',
    'discard all',
    'listen a_channel',
    "load 'nothing'",
    'declare c cursor for select 1',
    'create temp table t (a int)',
    "select nextval('nothing')",
    'select pg_advisory_lock(1)',
    "select set_config('work_mem', '1MB', false)",
    `select '${'x'.repeat(LONGEST_TEXT)}'`,
    'select pg_advisory_xact_lock(1)',
  ]
  for (const text of texts) await plain.query(text).catch(() => undefined)
  await plain.query({ name: 'by_protocol', text: 'select 2', values: [] })
  const seen = wire.takeStatements().map((statement) => pinTrigger(statement) ?? 'nothing')
  await plain.end()
  expect(seen).toEqual([
    'SET',
    'PREPARE',
    'EXECUTE',
    'DEALLOCATE',
    'DISCARD',
    'LISTEN',
    'LOAD',
    'a declared cursor',
    'temporary',
    'nextval',
    'pg_advisory_lock',
    'set_config',
    'a text over 16 KB',
    'nothing',
    'a named statement',
  ])
})
