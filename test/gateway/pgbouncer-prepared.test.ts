/** Through a PgBouncer that carries named statements (1.21 and later): the context is prepared, and nothing of a tenant. */
import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import type { Tenancy, TenancyOptions } from '../../src/index.ts'
import {
  CARRIES_NAMES,
  findNamingPgBouncer,
  findPgBouncer,
  type PgBouncer,
  startPgBouncer,
} from '../support/pgbouncer.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'
import { waitFor } from '../support/wait-for.ts'
import { recordWire, type WireRecorder } from '../support/wire-recorder.ts'

const program = findNamingPgBouncer()
const KEYS = ['acme', 'globex', 'hooli', 'initech']
/** The same column name, and another type for globex: 0.1 is not the same number in both. */
const TYPES = { acme: 'real', globex: 'double precision' }
const COUNT = 'select count(*)::int as n from readings where value = $1'

let world: TenantWorld
beforeAll(async () => {
  world = await createTenantWorld(...KEYS)
  for (const [key, type] of Object.entries(TYPES)) {
    const { schema = '', role = '' } = world.tenants[key]?.home ?? {}
    await world.db.sql(`create table ${schema}.readings (value ${type});
      insert into ${schema}.readings values (0.1); grant select on ${schema}.readings to ${role}`)
  }
})
afterAll(() => world.close())

function openThrough(url: string, options: TenancyOptions = {}): Tenancy {
  return world.open({ connection: url, direct: world.db.appUrl, pooler: CARRIES_NAMES, ...options })
}

/** Statements of all tenants at once; each answer is checked. */
async function work(tenancy: Tenancy): Promise<void> {
  await Promise.all(
    Array.from({ length: 200 }, async (_, index) => {
      const key = KEYS[index % KEYS.length] ?? ''
      const { rows } = await tenancy
        .poolFor(key)
        .query('select distinct owner from orders where id > $1', [0])
      expect(rows).toEqual([{ owner: key }])
    }),
  )
}

/** The backends that it is connected to in this file's database. */
async function serversOf(bouncer: PgBouncer): Promise<unknown[]> {
  const servers = await bouncer.console('show servers')
  return servers.filter(({ database }) => database === world.db.name).map((server) => server['remote_pid'])
}

/** What is prepared on the only server connection. */
async function prepared(bouncer: PgBouncer): Promise<string[]> {
  const client = new pg.Client(bouncer.through(world.db.appUrl))
  await client.connect()
  try {
    const { rows } = await client.query<{ statement: string }>('select statement from pg_prepared_statements')
    return rows.map(({ statement }) => statement)
  } finally {
    await client.end()
  }
}

describe.skipIf(program === undefined)(`through PgBouncer ${program?.version}`, () => {
  let bouncer: PgBouncer
  let url: string
  beforeEach(async () => {
    bouncer = await startPgBouncer({ program, poolSize: 1, preparedStatements: 100 })
    url = bouncer.through(world.db.appUrl)
  })
  afterEach(() => bouncer.stop())

  test('the version is the one that was asked for', async () => {
    const [row] = await bouncer.console('show version')
    expect(row?.['version']).toContain(program?.version)
  })

  test('the context is prepared once, whichever connection it comes by, and nothing of a tenant is', async () => {
    await work(openThrough(url, { max: 8 }))
    const statements = await prepared(bouncer)
    expect(statements.filter((statement) => statement.includes("set_config('role'"))).toHaveLength(1)
    expect(statements.filter((statement) => statement.includes('orders'))).toEqual([])
  })

  test('where the option only says `pgbouncer`, nothing is prepared', async () => {
    await work(openThrough(url, { pooler: 'pgbouncer', max: 8 }))
    expect(await prepared(bouncer)).toEqual([])
  })

  describe('on the wire', () => {
    let wire: WireRecorder
    beforeEach(async () => {
      wire = await recordWire(url)
    })
    afterEach(() => wire.close())

    test('from the second flight on, the context is bound and not parsed', async () => {
      const pool = openThrough(wire.url, { max: 1 }).poolFor('acme')
      await pool.query('select 1')
      const sent: string[] = []
      for (let n = 0; n < 4; n += 1) {
        wire.take()
        await pool.query('select id from orders where id = $1', [n])
        sent.push(wire.take())
      }
      expect(sent).toEqual(Array.from({ length: 4 }, () => 'BEPBDES'))
    })
  })

  test('P1: the unsafe control: equal texts are one statement, and the first one’s types answer the second wrongly', async () => {
    const counts: unknown[] = []
    for (const key of Object.keys(TYPES)) {
      const client = new pg.Client(url)
      await client.connect()
      await client.query('begin')
      const { schema = '', role = '' } = world.tenants[key]?.home ?? {}
      await client.query("select set_config('role', $1, true), set_config('search_path', $2, true)", [
        role,
        schema,
      ])
      counts.push((await client.query({ name: 'count', text: COUNT, values: ['0.1'] })).rows)
      await client.query('rollback')
      await client.end()
    }
    // Each holds one row of 0.1.
    expect(counts).toEqual([[{ n: 1 }], [{ n: 0 }]])
  })

  test('P1: through a tenancy each tenant’s types are its own', async () => {
    const tenancy = openThrough(url, { max: 2 })
    for (let round = 0; round < 4; round += 1) {
      for (const key of Object.keys(TYPES)) {
        const { rows } = await tenancy.poolFor(key).query(COUNT, ['0.1'])
        expect(rows).toEqual([{ n: 1 }])
      }
    }
  })

  test('after ALTER TABLE the next answer has the new columns and types', async () => {
    const pool = openThrough(url, { max: 1 }).poolFor('initech')
    const text = 'select * from orders where note = $1'
    for (let round = 0; round < 3; round += 1) await pool.query(text, ['5'])
    const schema = world.tenants['initech']?.home.schema ?? ''
    await world.db.sql(`alter table ${schema}.orders add column extra integer default 7,
      alter column note type integer using 5`)
    expect((await pool.query(text, ['5'])).rows[0]).toMatchObject({ extra: 7, note: 5 })
  })

  test('other server connections, new or killed ones, know the context too', async () => {
    const tenancy = openThrough(url, { max: 4 })
    const closed: string[] = []
    tenancy.on('connection:close', ({ reason }) => closed.push(reason))
    await work(tenancy)
    await bouncer.console('reconnect')
    await work(tenancy)
    const pids = await serversOf(bouncer)
    await world.db.sql('select pg_terminate_backend(pid) from unnest($1::int[]) as pid', [pids])
    // One that it had not missed yet would be handed to a client.
    await waitFor(async () => (await serversOf(bouncer)).length === 0)
    await work(tenancy)
    expect(closed).toEqual([])
  })

  test('the unsafe control: a name whose Parse failed is kept, and parsing it again ends the connection', async () => {
    const client = new pg.Client(url)
    client.on('error', () => undefined)
    await client.connect()
    const ask = (): Promise<unknown> => client.query({ name: 'a', text: 'select nonsense' })
    await expect(ask()).rejects.toMatchObject({ code: '42703' })
    await expect(ask()).rejects.toMatchObject({ code: '08P01' })
    await expect(client.query('select 1')).rejects.toThrow(/terminated|not queryable/)
  })

  test('a context whose Parse failed is parsed again, and costs no connection', async () => {
    const tenancy = openThrough(url, { max: 1 })
    await tenancy.ready()
    const closed: string[] = []
    tenancy.on('connection:close', ({ reason }) => closed.push(reason))
    // In this database alone.
    await world.db.sql('alter function pg_catalog.set_config(text, text, boolean) rename to set_config_away')
    try {
      await expect(tenancy.poolFor('acme').query('select 1')).rejects.toMatchObject({ code: 'TNY205' })
    } finally {
      await world.db.sql(
        'alter function pg_catalog.set_config_away(text, text, boolean) rename to set_config',
      )
    }
    await work(tenancy)
    expect(closed).toEqual([])
  })

  test('a pooler that carries names no longer is found out before anything runs', async () => {
    const tenancy = openThrough(url, { max: 4 })
    await work(tenancy)
    await bouncer.console('set max_prepared_statements = 0')
    await work(tenancy)
    const client = await tenancy.poolFor('acme').connect()
    await client.query('begin')
    expect((await client.query('select distinct owner from orders'))?.rows).toEqual([{ owner: 'acme' }])
    await client.query('commit')
    client.release()
  })
})

const NOT_CARRYING = [
  { which: 'the installed one', program: findPgBouncer() },
  { which: 'a new one that is set not to', program },
]
describe.each(NOT_CARRYING)('P1: told of names that $which does not carry', (pooler) => {
  test.skipIf(pooler.program === undefined)('a tenancy asks, and prepares nothing', async () => {
    const bouncer = await startPgBouncer({ program: pooler.program, poolSize: 2, preparedStatements: 0 })
    onTestFinished(() => bouncer.stop())
    const tenancy = openThrough(bouncer.through(world.db.appUrl), { max: 8 })
    const failed: unknown[] = []
    tenancy.on('flight:done', (flight) => flight.ok || failed.push(flight))
    await work(tenancy)
    expect(failed).toEqual([])
    for (let n = 0; n < 4; n += 1) expect(await prepared(bouncer)).toEqual([])
  })
})
