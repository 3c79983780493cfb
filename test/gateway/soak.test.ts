/**
 * Many statements of many tenants on few backends, with everything that goes wrong in a day: each row must be the
 * tenant's own, and every connection must come back. 100,000 statements in all; 1,000,000 with TENANTRY_NIGHTLY=1.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AdminDatabase } from '../../src/core/database.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import type { GatewayClient } from '../../src/gateway/pg-pool/gateway-client.ts'
import { createTenancy, type Tenancy } from '../../src/index.ts'
import { createTenantSchema, makeTenantRoles } from '../../src/isolation/tenant-roles.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { findPgBouncer, type PgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { waitFor } from '../support/wait-for.ts'

const NIGHTLY = process.env['TENANTRY_NIGHTLY'] === '1'
const STATEMENTS = NIGHTLY ? 1_000_000 : 100_000
const TENANTS = 1_000
/** Callers at once: more than connections, so that they always wait for each other. */
const CALLERS = 32
const ROWS = 4

const SET_UPS = [
  { name: 'directly, 1 connection', poolSize: 1, pooled: false, share: 0.2 },
  { name: 'directly, 8 connections', poolSize: 8, pooled: false, share: 0.3 },
  { name: 'through PgBouncer, 1 connection', poolSize: 1, pooled: true, share: 0.2 },
  { name: 'through PgBouncer, 8 connections', poolSize: 8, pooled: true, share: 0.3 },
] as const

interface SoakTenant {
  readonly key: string
  readonly schema: string
  readonly role: string
  readonly ownerRole: string
  /** What its counters must add up to: increments that were committed. */
  committed: number
}

let db: TestDatabase
let tenants: SoakTenant[]
const report: string[] = []
beforeAll(async () => {
  db = await createTestDatabase()
  const startedAt = performance.now()
  // As the superuser: the admin login pays for 2,000 memberships at each SET ROLE (36 s instead of 4 s; FINDINGS 12).
  const superuser = createAdminDatabase(db.superuserUrl, 1)
  tenants = await makeFleet(superuser)
  await superuser.close()
  report.push(`${TENANTS} tenants made in ${seconds(startedAt)} s`)
}, 120_000)
afterAll(async () => {
  console.log(`soak: ${report.join('; ')}`)
  await db.drop()
  await dropRoles()
}, 120_000)

/** Schemas, roles and rows in bulk, without an operation each: a small table, and its rows carry the key. */
async function makeFleet(superuser: AdminDatabase): Promise<SoakTenant[]> {
  const fleet: SoakTenant[] = []
  const roles = await superuser.transaction((tx) => makeTenantRoles(tx, TENANTS, 'tenantry_app'))
  for (let from = 0; from < TENANTS; from += 100) {
    await superuser.transaction(async (tx) => {
      for (const [index, pair] of roles.slice(from, from + 100).entries()) {
        const key = `soak-${from + index}`
        const tenant = { key, schema: `tenant_soak_${from + index}`, ...pair, committed: 0 }
        await createTenantSchema(tx, { ...tenant, model: 'schema', tier: 'guarded', epoch: 1 })
        await tx.query(`set local role ${pair.ownerRole};
          create table ${tenant.schema}.items (id int primary key, owner text not null, n int not null default 0);
          insert into ${tenant.schema}.items (id, owner) select i, '${key}' from generate_series(1, ${ROWS}) i;
          set local role none`)
        fleet.push(tenant)
      }
    })
  }
  const columns = (['key', 'schema', 'role', 'ownerRole'] as const).map((name) =>
    fleet.map((each) => each[name]),
  )
  await superuser.query(
    `insert into tenantry.tenants (id, status, name, plan, settings, model, tier, schema_name, role_name, owner_role, epoch)
     select 'id-' || t.key, 'active', t.key, 'free', '{}', 'schema', 'guarded', t.schema, t.role, t.owner, 1
     from unnest($1::text[], $2::text[], $3::text[], $4::text[]) t (key, schema, role, owner)`,
    columns,
  )
  await superuser.query(
    "insert into tenantry.keys (key, tenant_id) select key, 'id-' || key from unnest($1::text[]) key",
    [columns[0]],
  )
  return fleet
}

/** Roles outlive their database, and each makes SET ROLE dearer for the other tests (FINDINGS 12). */
async function dropRoles(): Promise<void> {
  const { superuserUrl } = db
  const server = createAdminDatabase(Object.assign(new URL(superuserUrl), { pathname: '/postgres' }).href, 1)
  const names = tenants.flatMap(({ role, ownerRole }) => [role, ownerRole])
  for (let from = 0; from < names.length; from += 200) {
    await server.query(`drop role ${names.slice(from, from + 200).join(', ')}`)
  }
  await server.close()
}

/** One set-up's run: what it counts, and what it found wrong. */
class Soak {
  readonly #tenancy: Tenancy
  readonly #random: () => number
  readonly #until: number
  statements = 0
  readonly wrong: unknown[] = []
  /** Backends, and which tenants each served. */
  readonly backends = new Map<number, Set<string>>()
  /** How often each kind of trouble was made. */
  readonly done = new Map<string, number>()

  constructor(tenancy: Tenancy, statements: number, seed: number) {
    this.#tenancy = tenancy
    this.#until = statements
    this.#random = randomOf(seed)
  }

  async run(): Promise<void> {
    await Promise.all(
      Array.from({ length: CALLERS }, async () => {
        while (this.statements < this.#until && this.wrong.length === 0) await this.#step()
      }),
    )
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  /** Few tenants make most of the traffic, and all make some. */
  #pick(): SoakTenant {
    const tenant = tenants[Math.floor(TENANTS * this.#random() ** 3)]
    if (tenant === undefined) throw new Error('no tenant')
    return tenant
  }

  async #step(): Promise<void> {
    const tenant = this.#pick()
    const dice = this.#below(1_000)
    if (dice < 600) await this.#read(tenant)
    else if (dice < 680) await this.#write(tenant)
    else if (dice < 780) await this.#fail(tenant)
    else if (dice < 800) await this.#trespass(tenant)
    else await this.#transact(tenant, dice)
  }

  /** Notes a statement; its error's code where it fails. */
  async #send(
    sent: Promise<{ rows: unknown[] }> | undefined,
    tenant: SoakTenant,
    expected = '',
  ): Promise<void> {
    this.statements += 1
    let code = ''
    try {
      const { rows } = (await sent) ?? { rows: [] }
      for (const row of rows as { owner?: string; role?: string; pid?: number }[]) {
        if (row.owner !== tenant.key || (row.role ?? tenant.role) !== tenant.role)
          this.wrong.push({ tenant, row })
        if (row.pid !== undefined) this.#noteBackend(row.pid, tenant)
      }
    } catch (error) {
      code = (error as { code?: string }).code ?? String(error)
    }
    if (code !== expected) this.wrong.push({ tenant: tenant.key, code, expected })
  }

  #noteBackend(pid: number, tenant: SoakTenant): void {
    const served = this.backends.get(pid) ?? new Set()
    this.backends.set(pid, served.add(tenant.key))
  }

  #note(kind: string): void {
    this.done.set(kind, (this.done.get(kind) ?? 0) + 1)
  }

  async #read(tenant: SoakTenant): Promise<void> {
    const pool = this.#tenancy.poolFor(tenant.key)
    const text = 'select owner, current_user as role, pg_backend_pid() as pid from items where id <= $1'
    await this.#send(pool.query(text, [1 + this.#below(ROWS)]), tenant)
  }

  async #write(tenant: SoakTenant): Promise<void> {
    const pool = this.#tenancy.poolFor(tenant.key)
    const text = 'update items set n = n + 1 where id = $1 returning owner'
    await this.#send(pool.query(text, [1 + this.#below(ROWS)]), tenant)
    tenant.committed += 1
  }

  async #fail(tenant: SoakTenant): Promise<void> {
    this.#note('errors')
    const pool = this.#tenancy.poolFor(tenant.key)
    const [text, code] = ERRORS[this.#below(ERRORS.length)] ?? ['', '']
    await this.#send(pool.query(text), tenant, code)
  }

  /** Another tenant's table by its full name. */
  async #trespass(tenant: SoakTenant): Promise<void> {
    this.#note('trespasses')
    const other = this.#pick()
    if (other === tenant) return
    await this.#send(
      this.#tenancy.poolFor(tenant.key).query(`select owner from ${other.schema}.items`),
      tenant,
      '42501',
    )
  }

  async #transact(tenant: SoakTenant, dice: number): Promise<void> {
    const client = await this.#tenancy.poolFor(tenant.key).connect()
    const send = (text: string, expected?: string): Promise<void> =>
      this.#send(client.query(text), tenant, expected)
    await client.query('begin')
    await send(
      `update items set n = n + 1 where id = ${1 + this.#below(ROWS)} returning owner, pg_backend_pid() as pid`,
    )
    if (dice % 3 === 0) {
      await send('savepoint a')
      await send('insert into items (id, owner) values (1, current_user)', '23505')
      await send('rollback to savepoint a')
    }
    await send('select owner, current_user as role from items')
    await this.#finish(tenant, client, send, dice)
  }

  async #finish(
    tenant: SoakTenant,
    client: GatewayClient,
    send: (text: string, expected?: string) => Promise<void>,
    dice: number,
  ): Promise<void> {
    if (dice < 900) {
      await send('commit')
      tenant.committed += 1
    } else if (dice < 940) {
      this.#note('rollbacks')
      await send('rollback')
    } else if (dice < 950) {
      this.#note('timeouts')
      await send("set local statement_timeout = '2ms'")
      await send('select pg_sleep(5)', '57014')
      await send('select owner from items', '25P02')
      if (dice % 2 === 0) await send('rollback')
    } else if (dice < 990) {
      this.#note('releases inside a transaction')
    } else {
      this.#note('clients dropped')
      client.release(true)
      return
    }
    client.release()
  }
}

const ERRORS: readonly (readonly [string, string])[] = [
  ['select owner, 1 / (id - id) from items', '22012'],
  ['select owner from no_such_table', '42P01'],
  ["insert into items (id, owner) values (1, 'twice')", '23505'],
  ['select owner from items where', 'TNY213'],
  ["set role 'postgres'", 'TNY204'],
]

/** Repeatable random numbers from 0 to 1 (mulberry32): a failure can be run again. */
function randomOf(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4_294_967_296
  }
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1_000).toFixed(1)
}

describe.each(SET_UPS)('$name', ({ name, poolSize, pooled, share }) => {
  let bouncer: PgBouncer | undefined
  let tenancy: Tenancy
  beforeAll(async () => {
    if (pooled && findPgBouncer() !== undefined) bouncer = await startPgBouncer({ poolSize })
    tenancy = createTenancy({
      connection: bouncer === undefined ? db.appUrl : bouncer.through(db.appUrl),
      direct: db.appUrl,
      ...(pooled ? { pooler: 'pgbouncer', max: 16 } : { max: poolSize }),
      waitTimeoutMs: 30_000,
    })
    await tenancy.ready()
  })
  afterAll(async () => {
    await tenancy.close({ timeoutMs: 1_000 })
    await bouncer?.stop()
  })

  test.skipIf(pooled && findPgBouncer() === undefined)(
    'P3, S1, S23: 0 foreign rows and 0 leaked clients over 1,000 tenants that share backends',
    async () => {
      const startedAt = performance.now()
      const soak = new Soak(tenancy, STATEMENTS * share, poolSize + (pooled ? 100 : 0))
      await soak.run()
      expect(soak.wrong).toEqual([])
      expect(soak.statements).toBeGreaterThanOrEqual(STATEMENTS * share)
      const rate = Math.round((1_000 * soak.statements) / (performance.now() - startedAt))
      report.push(`${name}: ${soak.statements} statements in ${seconds(startedAt)} s, ${rate}/s`)

      // Trouble was made, and tenants did share.
      expect(Math.min(...soak.done.values())).toBeGreaterThan(10)
      expect([...soak.done.keys()]).toHaveLength(6)
      const served = [...soak.backends.values()].map((keys) => keys.size)
      expect(Math.max(...served)).toBeGreaterThan(100)
      expect(served.reduce((sum, count) => sum + count, 0)).toBeGreaterThanOrEqual(TENANTS * 0.9)

      // Every connection came back, clean.
      await waitFor(() => tenancy.pool.idleCount === tenancy.pool.totalCount)
      expect(tenancy.pool.waitingCount).toBe(0)
      expect(tenancy.pool.totalCount).toBeLessThanOrEqual(pooled ? 16 : poolSize)
      const open = await db.sql(
        `select state from pg_stat_activity where datname = current_database() and usename = 'tenantry_app'
         and (state <> 'idle' or xact_start is not null) and query not in ('select 1')`,
      )
      expect(open).toEqual([])

      // What was committed is there, and nothing else: no released or rolled back transaction, nobody else's.
      const counts = await db.sql<{ key: string; n: string }>(
        tenants
          .map(({ key, schema }) => `select '${key}' as key, sum(n)::text as n from ${schema}.items`)
          .join(' union all '),
      )
      const off = tenants.filter(
        ({ key, committed }) => Number(counts.find((row) => row.key === key)?.n) !== committed,
      )
      expect(off).toEqual([])
    },
    NIGHTLY ? 1_800_000 : 120_000,
  )
})
