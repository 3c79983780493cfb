/**
 * The corpus of attacks, changed at random: whatever the guard lets through is run on the real server, as the attacker,
 * and never meets or changes a row of the other tenant, nor leaves anything on the connection.
 */
import pg from 'pg'
import { from as copyFrom, to as copyTo } from 'pg-copy-streams'
import { text } from 'node:stream/consumers'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createRandom } from '../../bench/support/random.ts'
import { TenantryError } from '../../src/core/errors.ts'
import type { Handling } from '../../src/core/guard.ts'
import type { TenantModel } from '../../src/index.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { createGuard } from '../../src/isolation/guard.ts'
import { readReachingFunctions } from '../../src/isolation/reaching-functions.ts'
import { fillPayload, PAYLOADS } from '../../src/prove/payloads.ts'
import { createModelWorld, type ModelWorld } from '../contract/model-world.ts'
import { mutate } from '../support/mutate-sql.ts'

/** For each model: 100,000 in all, other ones in each. */
const COUNT = process.env['TENANTRY_NIGHTLY'] === '1' ? 100_000 : 50_000
const BATCH = 100
const SEED = 20_261_124
/** Of the other tenant alone. */
const CANARY = 'canary-5e1fd0c2'

describe.each([
  ['schema', SEED],
  ['shared', SEED + 1],
] as const)('S1 to S31: random mutations of the corpus in the model %s', (model, seed) => {
  let world: ModelWorld
  beforeAll(async () => {
    world = await createModelWorld({
      model: model satisfies TenantModel,
      tier: 'guarded',
      version: 18,
      by: 'direct',
    })
    await world.tenancy.poolFor('globex').query('insert into customers (email) values ($1)', [CANARY])
  })
  afterAll(() => world.close())

  test('the control: without the guard the first of them escapes, and is found', async () => {
    const { schema, role } = world.globex.home
    const foreign = world.globex.home.model === 'shared' ? [] : [`select * from ${schema}.customers`]
    for (const escape of ['reset role', `set local role ${role}`, 'set role none']) {
      const attacker = await Attacker.enter(world, world.acme.home)
      const batch = [escape, ...foreign].map((sql): [string, Handling] => [sql, 'send'])
      // Of tenants that share their role, to set it is no escape.
      if (role === world.acme.home.role && escape.includes(role)) expect(await attacker.run(batch)).toBe(1)
      else await expect(attacker.run(batch), escape).rejects.toThrow(escape)
      await attacker.leave()
    }
  })

  test('a lock holds up nobody else: in shared tables it is refused, and the connection is fit for the next', async () => {
    const pool = world.tenancy.poolFor('acme')
    const locked = pool.query('lock table customers in access exclusive mode')
    if (model === 'shared') await expect(locked).rejects.toMatchObject({ code: 'TNY204' })
    else await locked
    expect((await pool.query('select 1 as n')).rows).toEqual([{ n: 1 }])
  })

  test('0 escapes', { timeout: 1_800_000 }, async () => {
    const { acme, globex } = world
    const corpus = PAYLOADS.map((payload) =>
      fillPayload(payload, {
        other: globex.home.schema,
        otherRole: globex.home.role,
        otherId: globex.id,
        table: 'customers',
      }),
    )
    const guard = createGuard()
    await guard.load()
    const admin = createAdminDatabase(world.database.superuserUrl, 1)
    guard.deny(await readReachingFunctions(admin))
    await admin.close()
    const random = createRandom(seed)
    const attacker = await Attacker.enter(world, acme.home)
    const seen = { refused: 0, unreadable: 0, ran: 0, answered: 0 }
    let batch: [string, Handling][] = []
    async function runBatch(): Promise<void> {
      const answered = await attacker.run(batch)
      expect(await world.database.sql(...victim(world)), batch.map(([sql]) => sql).join('\n')).toEqual(before)
      seen.answered += answered
      seen.ran += batch.length
      batch = []
    }
    const before = await world.database.sql(...victim(world))
    expect(JSON.stringify(before)).toContain(CANARY)
    for (let index = 0; index < COUNT; index += 1) {
      const sql = mutate(corpus, random)
      try {
        batch.push([guard.shared(sql), guard.check(sql, 'tenant')])
      } catch (error) {
        if (!(error instanceof TenantryError)) throw error
        seen[error.code === 'TNY213' ? 'unreadable' : 'refused'] += 1
      }
      if (batch.length >= BATCH) await runBatch()
    }
    await runBatch()
    await attacker.leave()
    process.stderr.write(`${model}: ${JSON.stringify({ count: COUNT, ...seen })}\n`)
    // That it looked at something: a good part is refused, and a good part is run and answered.
    expect(seen.refused).toBeGreaterThan(COUNT / 10)
    expect(seen.answered).toBeGreaterThan(COUNT / 100)
  })
})

/** Everything of the other tenant, and what belongs to nobody. */
function victim({ globex }: ModelWorld): [string] {
  const where = globex.home.model === 'shared' ? `where t.tenant_id = '${globex.id}'` : ''
  const tables = ['customers', 'orders', 'statuses'].map(
    (table) =>
      `(select jsonb_agg(t order by t::text) from ${globex.home.schema}.${table} t ${where}) as ${table}`,
  )
  return [
    `select ${tables.join(', ')},
       (select count(*)::int from pg_largeobject_metadata) as large_objects,
       (select count(*)::int from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname !~ '^pg_(toast|temp)') as relations,
       (select count(*)::int from pg_proc) as functions,
       (select count(*)::int from pg_roles r where r.rolname !~ '^tny_') as roles`,
  ]
}

const SESSION = `select current_user, session_user, current_setting('role') as role,
  current_setting('search_path') as path, nullif(current_setting('app.current_tenant', true), '') as tenant,
  current_setting('timezone') as zone, current_setting('statement_timeout') as timeout,
  current_setting('row_security') as row_security, current_setting('standard_conforming_strings') as strings,
  current_setting('client_encoding') as encoding, current_setting('default_transaction_read_only') as read_only,
  (select count(*)::int from pg_prepared_statements where from_sql) as prepared,
  (select count(*)::int from pg_cursors) as cursors, pg_my_temp_schema()::int as temp,
  (select count(*)::int from pg_listening_channels()) as channels,
  (select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) as locks`

/** A connection of the runtime login, as the gateway leads it: transactions with the tenant's context. */
class Attacker {
  readonly #client: pg.Client
  readonly #enter: [string, string[]]
  readonly #heard: string[] = []
  #clean: unknown

  private constructor(client: pg.Client, enter: [string, string[]]) {
    this.#client = client
    this.#enter = enter
    // Told by what waits for an answer.
    client.on('error', () => undefined)
    client.on('notice', (notice) => this.#heard.push(JSON.stringify(notice)))
  }

  static async enter(
    { database, acme }: ModelWorld,
    { schema, role }: ModelWorld['acme']['home'],
  ): Promise<Attacker> {
    const [row] = await database.sql<{ proof: string }>('select tenantry.proof_of($1) as proof', [acme.id])
    const client = new pg.Client({ connectionString: database.appUrl, options: '-c statement_timeout=2000' })
    await client.connect()
    const attacker = new Attacker(client, [
      `select set_config('role', $1, true), set_config('search_path', $2, true),
         set_config('app.current_tenant', $3, true), set_config('tenantry.proof', $4, true)`,
      [role, `${schema}, public, pg_temp`, acme.id, row?.proof ?? ''],
    ])
    attacker.#clean = (await client.query(SESSION)).rows
    return attacker
  }

  leave(): Promise<void> {
    return this.#client.end()
  }

  /** Runs them in one transaction, which is committed. @returns how many the server did not refuse */
  async run(batch: readonly (readonly [string, Handling])[]): Promise<number> {
    let answered = 0
    await this.#client.query('begin')
    await this.#client.query(...this.#enter)
    await this.#client.query('insert into customers (email) values (clock_timestamp()::text)')
    for (const [sql, handling] of batch) {
      await this.#client.query('savepoint before_attack')
      try {
        const found = await this.#attack(sql, handling)
        if (found === undefined) continue
        expect(found, sql).not.toContain(CANARY)
        answered += 1
        const { rows } = await this.#client.query<{ ok: boolean }>(
          `select current_user = $1 and current_setting('app.current_tenant') = $2 as ok`,
          [this.#enter[1][0], this.#enter[1][2]],
        )
        expect(rows, sql).toEqual([{ ok: true }])
      } catch (error) {
        if (!(error instanceof pg.DatabaseError)) throw error
        expect(JSON.stringify(error, Object.getOwnPropertyNames(error)), sql).not.toContain(CANARY)
        await this.#client.query('rollback to savepoint before_attack')
      }
    }
    expect(this.#heard.join('')).not.toContain(CANARY)
    await this.#client.query('commit')
    expect((await this.#client.query(SESSION)).rows, batch.map(([sql]) => sql).join('\n')).toEqual(
      this.#clean,
    )
    return answered
  }

  /** What came back. Transactions are the gateway's to begin and end: the text of such a statement is never sent. */
  async #attack(sql: string, handling: Handling): Promise<string | undefined> {
    switch (handling) {
      case 'begin':
      case 'commit':
      case 'rollback':
      case 'set-transaction':
        return undefined
      case 'copy-out':
        return text(this.#client.query(copyTo(sql)))
      case 'copy-in':
        await new Promise<void>((resolve, reject) => {
          this.#client.query(copyFrom(sql)).once('error', reject).once('finish', resolve).end()
        })
        return ''
      default:
        // Never the simple protocol, which would run statements that are stacked.
        return JSON.stringify(
          (await this.#client.query({ text: sql, queryMode: 'extended' } as pg.QueryConfig)).rows,
        )
    }
  }
}
