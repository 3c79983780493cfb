import { randomBytes } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type ControlPlane, type ControlPlaneOptions, createControlPlane } from '../../src/control-plane.ts'
import { tenantHomes } from '../../src/catalog/tenant-store.ts'
import type { AdminDatabase, Queryable } from '../../src/core/database.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { createKeyring } from '../../src/isolation/master-key.ts'
import { createTenantAdministration } from '../../src/lifecycle/tenant-administration.ts'
import { createMigrations } from '../../src/migrate/migrations.ts'
import { waitFor } from '../support/wait-for.ts'
import { residueOf, tracesOf } from './residue.ts'
import { createSampleControl, customersIn, SAMPLE_MASTER_KEY, type SampleControl } from './sample-control.ts'

const OPAQUE = /^t_[a-z2-7]{12}$/

let sample: SampleControl
const opened: ControlPlane[] = []

beforeAll(async () => {
  sample = await createSampleControl()
})
afterAll(async () => {
  await Promise.all(opened.map((control) => control.close()))
  await sample.close()
})
beforeEach(async () => {
  await sample.control.pool.drain()
})

/** Another process on the same catalog. */
function another(options: Partial<ControlPlaneOptions> = {}): ControlPlane {
  const control = createControlPlane({
    connection: sample.database.adminUrl,
    migrations: { tenant: sample.migrations },
    seed: sample.seed,
    masterKey: SAMPLE_MASTER_KEY,
    ...options,
  })
  opened.push(control)
  return control
}

/** Runs `fn` while there is one migration more. */
async function withMigration(sql: string, fn: () => Promise<void>): Promise<void> {
  const file = join(sample.migrations, '1700000000002_more.sql')
  await writeFile(file, `-- Up Migration\n${sql}\n`)
  try {
    await fn()
  } finally {
    await rm(file)
  }
}

interface Watched {
  readonly administration: ReturnType<typeof createTenantAdministration>
  /** What was sent, and what began or ended. */
  readonly said: string[]
  readonly db: AdminDatabase
}

/** An administration on one connection, whose statements are written down. */
function watched(): Watched {
  const real = createAdminDatabase(sample.database.adminUrl, 1)
  const said: string[] = []
  const listening = (to: Queryable): Queryable => ({
    query(text, values) {
      said.push(text)
      return to.query(text, values)
    },
  })
  const db: AdminDatabase = {
    ...real,
    ...listening(real),
    transaction: (fn) => real.transaction((tx) => (said.push('begin'), fn(listening(tx)))),
    session: (fn) => real.session((session) => (said.push('session'), fn(listening(session)))),
  }
  const migrator = createMigrations({ db, homes: tenantHomes(db), folders: { tenant: sample.migrations } })
  return {
    administration: createTenantAdministration({ db, migrator, keyring: createKeyring(undefined) }),
    said,
    db,
  }
}

describe('a sign-up from the pool', () => {
  test('gets a home that is whole: rows, ledger, rights, steps told, operation done', async () => {
    const { control, database } = sample
    expect(await control.pool.fill({ size: 2 })).toEqual({ made: 2, updated: 0, failed: [] })
    const steps: string[] = []
    const tenant = await control.tenants.create({
      key: 'acme',
      name: 'Acme',
      plan: 'pro',
      settings: { locale: 'de' },
      onStep: (step, done, total) => steps.push(`${step} ${done}/${total}`),
    })
    expect(tenant).toMatchObject({
      key: 'acme',
      name: 'Acme',
      plan: 'pro',
      status: 'active',
      settings: { locale: 'de' },
    })
    expect(tenant.home).toMatchObject({ model: 'schema', tier: 'guarded', epoch: 1 })
    expect(tenant.home.schema).toMatch(OPAQUE)
    expect(await control.tenants.get('acme')).toEqual(tenant)
    expect(steps).toEqual(['reserve 1/5', 'home 2/5', 'migrate 3/5', 'seed 4/5', 'activate 5/5'])
    expect(await customersIn(database, tenant.home.schema)).toEqual(['first', 'second'])
    expect(await database.sql(`select name from "${tenant.home.schema}".pgmigrations`)).toHaveLength(1)
    expect(
      await database.sql('select kind, state, steps from tenantry.operations where tenant_id = $1', [
        tenant.id,
      ]),
    ).toEqual([{ kind: 'create', state: 'done', steps: ['reserve', 'home', 'migrate', 'seed', 'activate'] }])
    expect(await control.pool.status()).toMatchObject({ ready: 1, stale: 0, unfinished: 0, lost: 0 })
  })

  test('is one transaction of few statements, without DDL', async () => {
    await sample.control.pool.fill({ size: 1 })
    const { administration, said, db } = watched()
    try {
      const { home } = await administration.create({ key: 'counted' })
      expect(home.schema).toMatch(OPAQUE)
      expect(said.filter((text) => text === 'begin' || text === 'session')).toEqual(['begin'])
      // Locks, the home, the rows, the record.
      expect(said).toHaveLength(5)
      expect(said.join(';')).not.toMatch(/(^|;)\s*(create|alter|drop|grant|revoke)\b/i)
      said.length = 0
      await administration.create({ key: 'counted-without' })
      expect(said.join(';')).toMatch(/create schema/)
    } finally {
      await db.close()
    }
  })

  test('I1: has the rights that a tenant made without the pool has, and no others', async () => {
    const { control, database } = sample
    const direct = await control.tenants.create({ key: 'direct' })
    await control.pool.fill({ size: 1 })
    const pooled = await control.tenants.create({ key: 'pooled' })
    const rights = async ({ schema, role, ownerRole }: typeof direct.home): Promise<string> => {
      const rows = await database.sql(
        `select c.relname as name, c.relkind as kind, c.relacl::text as acl, c.relowner::regrole::text as owner
           from pg_class c where c.relnamespace = $1::text::regnamespace
         union all select n.nspname, 'n', n.nspacl::text, n.nspowner::regrole::text from pg_namespace n where n.nspname = $1::text
         union all select m.member::regrole::text, 'm', m.inherit_option::text, m.set_option::text
           from pg_auth_members m where m.roleid in ($2::regrole, $3::regrole)
         order by 1, 2, 3, 4`,
        [schema, role, ownerRole],
      )
      return JSON.stringify(rows)
        .replaceAll(ownerRole, 'OWNER')
        .replaceAll(role, 'ROLE')
        .replaceAll(schema, 'SCHEMA')
    }
    expect(await rights(pooled.home)).toBe(await rights(direct.home))
  })

  test('many at once get a home each; when the pool is empty the others take the normal way', async () => {
    const { control } = sample
    await control.pool.fill({ size: 4 })
    const keys = Array.from({ length: 10 }, (_, index) => `many-${index}`)
    const made = await Promise.all(keys.map((key) => control.tenants.create({ key })))
    expect(new Set(made.map(({ home }) => home.role)).size).toBe(10)
    expect(new Set(made.map(({ home }) => home.schema)).size).toBe(10)
    expect(made.filter(({ home }) => OPAQUE.test(home.schema))).toHaveLength(4)
  })

  test('ten of one key at once make one tenant, and use one home', async () => {
    await sample.control.pool.fill({ size: 3 })
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, () => sample.control.tenants.create({ key: 'contested' })),
    )
    const refused = outcomes.flatMap((one) => (one.status === 'rejected' ? [one.reason.code] : []))
    expect(refused).toHaveLength(9)
    expect(refused.every((code) => code === 'TNY301' || code === 'TNY305')).toBe(true)
    expect((await sample.control.pool.status()).ready).toBe(2)
  })

  test('keys and ids that are taken are refused as always, and cost no home', async () => {
    const { control } = sample
    await control.pool.fill({ size: 1 })
    await expect(control.tenants.create({ key: 'acme' })).rejects.toMatchObject({ code: 'TNY301' })
    const { id } = await control.tenants.get('acme')
    await expect(control.tenants.create({ key: 'other-key', id })).rejects.toMatchObject({ code: 'TNY307' })
    expect((await control.pool.status()).ready).toBe(1)
  })

  test('the sealed tier and other models take the normal way', async () => {
    const { control } = sample
    await control.pool.fill({ size: 1 })
    const sealed = await control.tenants.create({ key: 'sealed', tier: 'sealed' })
    const shared = await control.tenants.create({ key: 'sharing', model: 'shared' })
    expect([sealed.home.schema, shared.home.schema]).toEqual(['tenant_sealed', 'tenant_shared'])
    expect((await control.pool.status()).ready).toBe(1)
  })

  test('V1: a seed that fails leaves a tenant that is not served; the next call completes it in the same home', async () => {
    const { control, database } = sample
    await control.pool.fill({ size: 1 })
    const seed = async (db: Queryable): Promise<void> => {
      await db.query("insert into orders (customer) values ('lost')")
      await db.query('insert into no_such_table values (1)')
    }
    await expect(control.tenants.create({ key: 'halfway', seed })).rejects.toMatchObject({
      code: 'TNY306',
      message: expect.stringContaining('seed'),
    })
    const half = await control.tenants.get('halfway')
    expect(half.status).toBe('provisioning')
    expect(half.home.schema).toMatch(OPAQUE)
    expect(await customersIn(database, half.home.schema)).toEqual([])
    expect(await control.operations.unfinished()).toMatchObject([
      { tenantKey: 'halfway', state: 'failed', steps: ['reserve', 'home', 'migrate'] },
    ])
    const whole = await control.tenants.create({ key: 'halfway' })
    expect(whole).toMatchObject({ id: half.id, home: half.home, status: 'active' })
    expect(await customersIn(database, whole.home.schema)).toEqual(['first', 'second'])
  })

  test('V1: while a seed runs, others who want the key or the tenant are told so', async () => {
    const { control } = sample
    await control.pool.fill({ size: 1 })
    let [entered, leave] = [(): void => undefined, (): void => undefined]
    const inside = new Promise<void>((resolve) => (entered = resolve))
    const gate = new Promise<void>((resolve) => (leave = resolve))
    const first = control.tenants.create({
      key: 'raced',
      async seed() {
        entered()
        await gate
      },
    })
    await inside
    await expect(control.tenants.create({ key: 'raced' })).rejects.toMatchObject({ code: 'TNY305' })
    leave()
    expect((await first).home.schema).toMatch(OPAQUE)
  })

  test.for(['succeeds', 'fails'])(
    'I9: what a seed that %s leaves in the session meets nobody',
    async (end) => {
      await sample.control.pool.fill({ size: 1 })
      const { administration, db } = watched()
      try {
        const made = administration.create({
          key: `leaves-${end}`,
          async seed(tenantDb) {
            await tenantDb.query("set application_name = 'left'; prepare left_over as select 1")
            await tenantDb.query(`set search_path = ''`)
            if (end === 'fails') await tenantDb.query('select 1 / 0')
          },
        })
        if (end === 'fails') await expect(made).rejects.toMatchObject({ code: 'TNY306' })
        else await made
        const { rows } = await db.query(
          `select current_setting('application_name') as name, current_setting('search_path') as path, current_user::text as who,
           (select count(*)::int from pg_prepared_statements where name = 'left_over') as prepared`,
        )
        expect(rows).toEqual([
          { name: 'tenantry', path: '"$user", public', who: 'tenantry_admin', prepared: 0 },
        ])
      } finally {
        await db.close()
      }
    },
  )

  test('erased, it leaves nothing', async () => {
    const { control, database } = sample
    await control.pool.fill({ size: 1 })
    const tenant = await control.tenants.create({ key: 'came-and-went' })
    expect(tenant.home.schema).toMatch(OPAQUE)
    const traces = await tracesOf(database, tenant)
    await control.tenants.delete('came-and-went', { confirm: 'came-and-went' })
    expect(await residueOf(database, traces)).toEqual([])
  })
})

describe('fill', () => {
  test('TNY429 for a size that is none', async () => {
    for (const size of [-1, 1.5, 1001, Number.NaN, '3' as never]) {
      await expect(sample.control.pool.fill({ size })).rejects.toMatchObject({ code: 'TNY429' })
    }
    await expect(another({ warmPool: -1 }).tenants.list()).rejects.toMatchObject({ code: 'TNY429' })
    await expect(another({ warmPool: 1, max: 1 }).tenants.list()).rejects.toMatchObject({ code: 'TNY002' })
  })

  test('several at once make as many as were asked for, and no more', async () => {
    const reports = await Promise.all(
      [another(), another(), sample.control].map(({ pool }) => pool.fill({ size: 6 })),
    )
    expect(reports.flatMap(({ failed }) => failed)).toEqual([])
    expect(reports.reduce((sum, { made }) => sum + made, 0)).toBe(6)
    const { ready, homes } = await sample.control.pool.status()
    expect([ready, homes.length]).toEqual([6, 6])
    expect(await sample.control.pool.fill({ size: 6 })).toEqual({ made: 0, updated: 0, failed: [] })
  })

  test('homes that are behind are given to nobody; fill and `migrate up` bring them along', async () => {
    const { control, database } = sample
    await control.pool.fill({ size: 2 })
    await withMigration('create table invoices (id int);', async () => {
      expect(await control.pool.status()).toMatchObject({ ready: 0, stale: 2 })
      const { home } = await control.tenants.create({ key: 'not-behind' })
      expect(home.schema).toBe('tenant_not_behind')
      expect(await control.pool.fill({ size: 2 })).toEqual({ made: 0, updated: 2, failed: [] })
      expect(await control.pool.status()).toMatchObject({ ready: 2, stale: 0 })
      const later = join(sample.migrations, '1700000000003_later.sql')
      await writeFile(later, '-- Up Migration\ncreate table receipts (id int);\n')
      try {
        await control.migrate.up()
        expect(await control.pool.status()).toMatchObject({ ready: 2, stale: 0 })
        const tenant = await control.tenants.create({ key: 'brought-along' })
        expect(tenant.home.schema).toMatch(OPAQUE)
        expect(await database.sql(`select * from "${tenant.home.schema}".receipts`)).toEqual([])
      } finally {
        await rm(later)
      }
    })
  })

  test('a process of an older release neither spoils what a newer one made, nor fills without end', async () => {
    const { control } = sample
    await withMigration('create table invoices (id int);', async () => {
      await control.pool.fill({ size: 2 })
    })
    // The newer release's homes, seen by the older one.
    expect(await control.pool.status()).toMatchObject({ ready: 0, stale: 2 })
    const report = await control.pool.fill({ size: 2 })
    expect(report).toMatchObject({
      made: 2,
      failed: [{ error: { code: 'TNY403' } }, { error: { code: 'TNY403' } }],
    })
    expect(await control.pool.fill({ size: 2 })).toMatchObject({ made: 0 })
    expect(await control.pool.status()).toMatchObject({ ready: 2, stale: 2 })
    await withMigration('create table invoices (id int);', async () => {
      expect(await control.pool.status()).toMatchObject({ ready: 2, stale: 2 })
    })
    expect(await control.pool.drain({ stale: true })).toEqual({ dropped: 2 })
    expect(await control.pool.status()).toMatchObject({ ready: 2, stale: 0 })
  })

  test('a migration that fails makes one home unfinished, not many; mended, the next fill completes it', async () => {
    const { control } = sample
    await withMigration('select 1 / 0;', async () => {
      const report = await control.pool.fill({ size: 5 })
      expect(report).toMatchObject({ made: 0, failed: [{ error: { code: 'TNY402' } }] })
      expect(await control.pool.status()).toMatchObject({ ready: 0, unfinished: 1 })
    })
    expect(await control.pool.fill({ size: 1 })).toEqual({ made: 0, updated: 1, failed: [] })
  })

  test('a home that somebody dropped by hand is given to nobody, and replaced', async () => {
    const { control, database } = sample
    await control.pool.fill({ size: 1 })
    const [home] = (await control.pool.status()).homes
    await database.sql(`drop schema "${home?.schema}" cascade`)
    expect(await control.pool.status()).toMatchObject({ ready: 0, lost: 1 })
    expect((await control.tenants.create({ key: 'not-lost' })).home.schema).toBe('tenant_not_lost')
    expect(await control.pool.fill({ size: 1 })).toEqual({ made: 1, updated: 0, failed: [] })
    expect((await control.pool.status()).homes).toMatchObject([{ state: 'ready' }])
  })

  test('I5: in a clone of the database, which uses the same roles, nobody gets a home; drained, it gives the roles back', async () => {
    const { control, database } = sample
    await control.pool.fill({ size: 1 })
    const name = `${database.name}_clone_${randomBytes(3).toString('hex')}`
    const server = new pg.Client(
      Object.assign(new URL(database.superuserUrl), { pathname: '/postgres' }).href,
    )
    await server.connect()
    try {
      await server.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${database.name}' and pid <> pg_backend_pid()`,
      )
      await server.query(`create database ${name} template ${database.name} owner tenantry_admin`)
      const clone = another({
        connection: Object.assign(new URL(database.adminUrl), { pathname: `/${name}` }).href,
      })
      expect(await clone.pool.status()).toMatchObject({ ready: 0, lost: 1 })
      expect(await control.pool.status()).toMatchObject({ ready: 0, lost: 1 })
      expect((await clone.tenants.create({ key: 'in-clone' })).home.schema).toBe('tenant_in_clone')
      expect(await clone.pool.drain()).toEqual({ dropped: 1 })
      await clone.close()
      expect(await control.pool.status()).toMatchObject({ ready: 1, lost: 0 })
    } finally {
      await server.query(`drop database if exists ${name} with (force)`)
      await server.end()
    }
  })
})

test('drain leaves neither schemas nor roles', async () => {
  const { control, database } = sample
  await control.pool.fill({ size: 2 })
  const homes = await database.sql<{ schema: string; role: string; owner: string }>(
    'select schema_name as schema, role_name as role, owner_role as owner from tenantry.ready_homes',
  )
  const traces = await Promise.all(
    homes.map(({ schema, role, owner }) =>
      tracesOf(database, {
        id: 'nobody',
        key: 'nobody',
        home: { model: 'schema', tier: 'guarded', schema, role, ownerRole: owner, epoch: 1 },
      }),
    ),
  )
  expect(await control.pool.drain()).toEqual({ dropped: 2 })
  for (const each of traces) expect(await residueOf(database, each)).toEqual([])
})

describe('warmPool', () => {
  test('fills up in the background after each sign-up, and ends with close()', async () => {
    const control = another({ warmPool: 2 })
    const filled: number[] = []
    control.on('pool:filled', ({ made }) => filled.push(made))
    await control.pool.fill()
    await control.tenants.create({ key: 'warm-1' })
    await waitFor(() => filled.length === 1)
    expect(filled).toEqual([1])
    expect(await control.pool.status()).toMatchObject({ ready: 2 })
    await control.tenants.create({ key: 'warm-2' })
    await control.close()
    // Whole, whatever it was doing.
    const { ready, homes } = await sample.control.pool.status()
    expect(homes).toHaveLength(ready)
  })

  test('what it cannot do is told, and keeps no sign-up back', async () => {
    const control = another({ warmPool: 1 })
    const told: unknown[] = []
    control.on('pool:filled', ({ failed }) => told.push(...failed.map(({ error }) => error)))
    await control.pool.fill()
    await withMigration('select 1 / 0;', async () => {
      // The normal way, which fails by the same migration.
      await expect(control.tenants.create({ key: 'warm-broken' })).rejects.toMatchObject({ code: 'TNY306' })
      expect(told).toEqual([])
    })
    // Behind, the home is of no use, and nobody waits for the fill that finds out.
    const { pool } = sample.control
    await pool.drain()
    const slow = another({ warmPool: 1 })
    slow.on('pool:filled', ({ failed }) => told.push(...failed.map(({ error }) => error)))
    await withMigration(
      "create table two (id int); do $$ begin if current_schema() like 't\\_%' then raise 'no'; end if; end $$;",
      async () => {
        expect((await slow.tenants.create({ key: 'warm-served' })).status).toBe('active')
        await waitFor(() => told.length > 0)
        expect(told).toMatchObject([{ code: 'TNY402' }])
      },
    )
  })
})
