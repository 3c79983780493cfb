import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createControlPlane } from '../../src/control-plane.ts'
import type { Queryable, Rows } from '../../src/core/database.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { createKeyring } from '../../src/isolation/master-key.ts'
import { createTenantAdministration } from '../../src/lifecycle/tenant-administration.ts'
import { residueOf, tracesOf } from './residue.ts'
import { createSampleControl, customersIn, type SampleControl } from './sample-control.ts'

let sample: SampleControl
let tenants: SampleControl['control']['tenants']

beforeAll(async () => {
  sample = await createSampleControl()
  tenants = sample.control.tenants
})
afterAll(() => sample.close())

/** An administration whose database counts what it is asked: for what must be refused before any SQL. */
function countingAdministration(): { administration: typeof tenants; asked: () => number } {
  let count = 0
  const db: Queryable = {
    query<R>(): Promise<Rows<R>> {
      count++
      return Promise.reject(new Error('asked'))
    },
  }
  const all = { ...db, transaction: db.query, session: db.query, close: db.query }
  return {
    administration: createTenantAdministration({ db: all as never, keyring: createKeyring(undefined) }),
    asked: () => count,
  }
}

describe('create', () => {
  test('makes a tenant that is whole: home, rows, ledger, steps told', async () => {
    const steps: string[] = []
    const tenant = await tenants.create({
      key: 'acme',
      name: 'Ácme “Ltd.” 株式会社',
      plan: 'pro',
      settings: { locale: 'de', deep: { list: [1, '\\u0000 as text'] } },
      onStep: (step, done, total) => steps.push(`${step} ${done}/${total}`),
    })
    expect(tenant).toMatchObject({
      key: 'acme',
      aliases: [],
      name: 'Ácme “Ltd.” 株式会社',
      status: 'active',
      plan: 'pro',
      settings: { locale: 'de', deep: { list: [1, '\\u0000 as text'] } },
      home: { model: 'schema', tier: 'guarded', schema: 'tenant_acme', epoch: 1 },
    })
    expect(tenant.id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
    expect(Math.abs(tenant.createdAt.getTime() - Date.now())).toBeLessThan(60_000)
    expect(steps).toEqual(['reserve 1/5', 'home 2/5', 'migrate 3/5', 'seed 4/5', 'activate 5/5'])
    expect(await customersIn(sample.database, 'tenant_acme')).toEqual(['first', 'second'])
    expect(await tenants.get(tenant.id)).toEqual(tenant)
  })

  test('TNY301 for a key or alias that is taken, TNY307 for an id that was used', async () => {
    await tenants.create({ key: 'taken', id: 'customer-17' })
    await tenants.rename('taken', { key: 'taken-now' })
    await expect(tenants.create({ key: 'taken' })).rejects.toMatchObject({ code: 'TNY301' })
    await expect(tenants.create({ key: 'taken-now' })).rejects.toMatchObject({ code: 'TNY301' })
    await expect(tenants.create({ key: 'other', id: 'customer-17' })).rejects.toMatchObject({
      code: 'TNY307',
    })
    await tenants.delete('taken', { confirm: 'taken-now' })
    await expect(tenants.create({ key: 'other', id: 'customer-17' })).rejects.toMatchObject({
      code: 'TNY307',
    })
    await expect(tenants.get('other')).rejects.toMatchObject({ code: 'TNY302' })
  })

  test('many at once, through fewer connections', async () => {
    const keys = Array.from({ length: 12 }, (_, index) => `many-${index}`)
    const made = await Promise.all(keys.map((key) => tenants.create({ key })))
    expect(new Set(made.map(({ home }) => home.role)).size).toBe(12)
    expect(new Set(made.map(({ home }) => home.schema)).size).toBe(12)
  })

  test('ten sign-ups of one key at once make one tenant', async () => {
    const outcomes = await Promise.allSettled(
      Array.from({ length: 10 }, () => tenants.create({ key: 'contested' })),
    )
    const refused = outcomes.flatMap((outcome) =>
      outcome.status === 'rejected' ? [outcome.reason.code] : [],
    )
    expect(refused).toHaveLength(9)
    expect(refused.every((code) => code === 'TNY301' || code === 'TNY305')).toBe(true)
    expect(await customersIn(sample.database, 'tenant_contested')).toEqual(['first', 'second'])
  })

  test('a failed migration leaves a tenant that is not served; the next call completes it', async () => {
    const broken = createControlPlane({
      connection: sample.database.adminUrl,
      migrations: { tenant: sample.migrations },
      seed: async (db) => void (await db.query('insert into no_such_table values (1)')),
    })
    try {
      await expect(broken.tenants.create({ key: 'halfway', plan: 'free' })).rejects.toMatchObject({
        code: 'TNY306',
        message: expect.stringContaining('seed'),
      })
    } finally {
      await broken.close()
    }
    const half = await tenants.get('halfway')
    expect(half.status).toBe('provisioning')
    expect(await sample.control.operations.unfinished()).toMatchObject([
      { kind: 'create', tenantKey: 'halfway', state: 'failed', steps: ['reserve', 'home', 'migrate'] },
    ])
    await expect(tenants.suspend('halfway')).rejects.toMatchObject({ code: 'TNY303' })
    const whole = await tenants.create({ key: 'halfway', plan: 'pro' })
    expect(whole).toMatchObject({ id: half.id, home: half.home, status: 'active', plan: 'pro' })
    expect(await sample.control.operations.unfinished()).toEqual([])
  })
})

describe('names', () => {
  test('I4: reserved words and names that PostgreSQL treats specially are refused before any SQL', async () => {
    const { administration, asked } = countingAdministration()
    for (const key of ['none', 'public', 'postgres', 'pg', 'pg-x', 'pg-catalog', 'default', 'tenantry']) {
      await expect(administration.create({ key })).rejects.toMatchObject({ code: 'TNY105' })
      await expect(administration.rename('acme', { key })).rejects.toMatchObject({ code: 'TNY105' })
    }
    expect(asked()).toBe(0)
  })

  test('I5: what would exceed 63 bytes is refused before any SQL, and the longest key gets a schema of its own', async () => {
    const { administration, asked } = countingAdministration()
    await expect(administration.create({ key: 'a'.repeat(49) })).rejects.toMatchObject({ code: 'TNY105' })
    await expect(administration.create({ key: 'a'.repeat(70) })).rejects.toMatchObject({ code: 'TNY105' })
    expect(asked()).toBe(0)
    const [one, two] = await Promise.all([
      tenants.create({ key: `${'a'.repeat(47)}1` }),
      tenants.create({ key: `${'a'.repeat(47)}2` }),
    ])
    expect(one.home.schema).not.toBe(two.home.schema)
    // The attack without the rule: PostgreSQL cuts both names, and IF NOT EXISTS hides that they are one.
    const long = `tenant_${'a'.repeat(60)}`
    await sample.database.sql(`create schema if not exists ${long}_1`)
    await sample.database.sql(`create schema if not exists ${long}_2`)
    const cut = await sample.database.sql(
      "select nspname from pg_namespace where nspname like 'tenant\\_aaa%'",
    )
    expect(cut).toHaveLength(3)
  })

  test('I5: a schema that is there already is never shared: the tenant gets another name', async () => {
    await sample.database.sql(
      'create schema tenant_squatted; create table tenant_squatted.orders (secret text)',
    )
    const squatted = await tenants.create({ key: 'squatted' })
    expect(squatted.home.schema).toBe('tenant_squatted_2')
    const third = await tenants.create({ key: 'squatted-2' })
    expect(third.home.schema).toBe('tenant_squatted_2_2')
    await tenants.delete('squatted', { confirm: 'squatted' })
    expect(await sample.database.sql('select * from tenant_squatted.orders')).toEqual([])
  })

  test('I6: NFC and NFD forms and look-alikes are refused before any SQL; display names are free', async () => {
    const { administration, asked } = countingAdministration()
    for (const key of [
      'café'.normalize('NFC'),
      'café'.normalize('NFD'),
      'аcme',
      'acme\u200b',
      'ACME',
      'ａcme',
    ]) {
      await expect(administration.create({ key })).rejects.toMatchObject({ code: 'TNY105' })
    }
    expect(asked()).toBe(0)
    const { name } = await tenants.create({ key: 'cafe', name: 'Café 🦜' })
    expect(name).toBe('Café 🦜')
  })

  test('I7: whatever text is given as key, id, name or settings, it is refused or stored as it is', async () => {
    const { administration, asked } = countingAdministration()
    const hostile = fc.oneof(
      fc.string({ unit: 'binary', maxLength: 80 }),
      fc.constantFrom(
        "a'; drop schema tenantry cascade; --",
        'a"b',
        'a\nb',
        'a\0b',
        'a\\b',
        '-a',
        'a--b',
        '',
      ),
    )
    await fc.assert(
      fc.asyncProperty(hostile, async (key) => {
        fc.pre(!/^[a-z0-9]+(-[a-z0-9]+)*$/.test(key))
        await expect(administration.create({ key })).rejects.toMatchObject({ code: 'TNY105' })
      }),
    )
    for (const name of ['', ' ', 'a\0b', 'a\nb', 'x'.repeat(201), '\ud800', 7 as never]) {
      await expect(administration.create({ key: 'ok', name })).rejects.toMatchObject({ code: 'TNY308' })
    }
    for (const id of ['', ' ', 'a b', 'é', 'a\0', 'x'.repeat(65)]) {
      await expect(administration.create({ key: 'ok', id })).rejects.toMatchObject({ code: 'TNY308' })
    }
    for (const settings of [[], null, 'x', { a: '\0' }, { '\0': 1 }, { a: '\ud800' }, { a: 1n }] as never[]) {
      await expect(administration.create({ key: 'ok', settings })).rejects.toMatchObject({ code: 'TNY308' })
    }
    await expect(administration.create({ key: 'ok', plan: '' })).rejects.toMatchObject({ code: 'TNY308' })
    expect(asked()).toBe(0)
    await expect(tenants.get("a'; drop schema tenantry cascade; --")).rejects.toMatchObject({
      code: 'TNY302',
    })
    await expect(tenants.get('a\0b')).rejects.toMatchObject({ code: 'TNY302' })
  })
})

describe('rename', () => {
  test('keeps the home, lets the old key resolve, and can go back', async () => {
    const before = await tenants.create({ key: 'alpha' })
    const after = await tenants.rename('alpha', { key: 'beta', name: 'Beta' })
    expect(after).toEqual({ ...before, key: 'beta', aliases: ['alpha'], name: 'Beta' })
    expect(await tenants.get('alpha')).toEqual(after)
    const back = await tenants.rename('beta', { key: 'alpha' })
    expect(back).toMatchObject({ key: 'alpha', aliases: ['beta'] })
    const bare = await tenants.rename('alpha', { key: 'gamma', keepAlias: false })
    expect(bare).toMatchObject({ key: 'gamma', aliases: ['beta'] })
    await expect(tenants.get('alpha')).rejects.toMatchObject({ code: 'TNY302' })
    // The free key's new tenant cannot get the old schema.
    expect((await tenants.create({ key: 'alpha' })).home.schema).toBe('tenant_alpha_2')
  })

  test('refuses what is taken and leaves everything as it was', async () => {
    await tenants.create({ key: 'first' })
    await tenants.create({ key: 'second' })
    await expect(tenants.rename('second', { key: 'first' })).rejects.toMatchObject({ code: 'TNY301' })
    await expect(tenants.rename('second', {})).rejects.toMatchObject({ code: 'TNY308' })
    expect(await tenants.get('second')).toMatchObject({ key: 'second', aliases: [] })
  })
})

describe('suspend and resume', () => {
  test('I8: the server itself refuses a suspended tenant from the commit on, and lets it in again', async () => {
    const { home } = await tenants.create({ key: 'pausing' })
    const app = createAdminDatabase(sample.database.appUrl, 1)
    const enter = (): Promise<unknown> =>
      app.transaction(async (tx) => {
        await tx.query(`set local role ${home.role}`)
        return (await tx.query(`select count(*)::int as n from ${home.schema}.orders`)).rows
      })
    try {
      expect(await enter()).toEqual([{ n: 2 }])
      expect(await tenants.suspend('pausing', { reason: 'unpaid' })).toMatchObject({ status: 'suspended' })
      await expect(enter()).rejects.toMatchObject({ code: '42501' })
      expect(await tenants.suspend('pausing')).toMatchObject({ status: 'suspended' })
      expect(await tenants.resume('pausing')).toMatchObject({ status: 'active' })
      expect(await enter()).toEqual([{ n: 2 }])
      expect(await tenants.resume('pausing')).toMatchObject({ status: 'active' })
    } finally {
      await app.close()
    }
  })

  test('the reason is kept while it lasts', async () => {
    await tenants.create({ key: 'reasoned' })
    await tenants.suspend('reasoned', { reason: 'unpaid since May' })
    await expect(tenants.suspend('reasoned', { reason: 'a\0b' })).rejects.toMatchObject({ code: 'TNY308' })
    const reason = () =>
      sample.database.sql("select status_reason from tenantry.tenants where name = 'reasoned'")
    expect(await reason()).toEqual([{ status_reason: 'unpaid since May' }])
    await tenants.resume('reasoned')
    expect(await reason()).toEqual([{ status_reason: null }])
  })
})

describe('delete', () => {
  test('asks for the key again: an alias, the id or nothing is not enough', async () => {
    const { id } = await tenants.create({ key: 'doomed' })
    await tenants.rename('doomed', { key: 'doomed-now' })
    for (const confirm of ['doomed', id, '', undefined as never]) {
      await expect(tenants.delete('doomed', { confirm })).rejects.toMatchObject({ code: 'TNY304' })
    }
    expect(await tenants.get('doomed')).toMatchObject({ status: 'active' })
  })

  test('V3: leaves nothing behind but a tombstone of id, status and times', async () => {
    const { database } = sample
    const tenant = await tenants.create({ key: 'leaving', name: 'Leaving Ltd.', settings: { phone: '123' } })
    await tenants.rename('leaving', { key: 'leaving-now' })
    await tenants.suspend('leaving', { reason: 'gone' })
    const { control } = sample
    await control.domains.add('leaving', 'leaving.example')
    const { key } = await control.apiKeys.create('leaving', { name: 'import' })
    await control.apiKeys.revoke(key.id)
    // What an operator may have added by hand.
    await database.sql(`
      create table public.price_list (price int);
      alter table public.price_list owner to tenantry_admin;
      grant select on public.price_list to ${tenant.home.role};
      alter role ${tenant.home.role} set statement_timeout = '5s';
      alter default privileges for role tenantry_admin in schema public grant select on tables to ${tenant.home.role}`)
    const traces = await tracesOf(database, tenant)
    expect((await residueOf(database, traces)).length).toBeGreaterThan(8)
    await tenants.delete('leaving', { confirm: 'leaving-now' })
    expect(await residueOf(database, traces)).toEqual([])
    const [tombstone] = await database.sql('select * from tenantry.tenants where id = $1', [tenant.id])
    const left = Object.entries(tombstone ?? {}).filter(([, value]) => value !== null)
    expect(left.map(([column]) => column)).toEqual(['id', 'status', 'created_at', 'updated_at', 'erased_at'])
    await expect(tenants.get(tenant.id)).rejects.toMatchObject({ code: 'TNY302' })
    expect((await tenants.list()).some(({ id }) => id === tenant.id)).toBe(false)
    // The key is free again, for another tenant.
    expect((await tenants.create({ key: 'leaving' })).id).not.toBe(tenant.id)
  })

  test(
    'a session that still uses its tables is waited for, named and never ended',
    { timeout: 60_000 },
    async () => {
      const { home, id } = await tenants.create({ key: 'busy' })
      const user = createAdminDatabase(sample.database.superuserUrl, 1)
      try {
        await user.transaction(async (tx) => {
          await tx.query(`select * from ${home.schema}.orders`)
          const pid = (await tx.query<{ pid: string }>('select pg_backend_pid()::text as pid')).rows[0]?.pid
          await expect(tenants.delete('busy', { confirm: 'busy' })).rejects.toMatchObject({
            code: 'TNY306',
            message: expect.stringContaining(`server processes ${pid}`),
          })
          // Not served meanwhile, and nothing is lost that its user still reads.
          expect((await tenants.get('busy')).status).toBe('archived')
          expect((await tx.query(`select * from ${home.schema}.orders`)).rows).toHaveLength(2)
        })
      } finally {
        await user.close()
      }
      await expect(tenants.create({ key: 'busy' })).rejects.toMatchObject({ code: 'TNY301' })
      await tenants.delete('busy', { confirm: 'busy' })
      await expect(tenants.get(id)).rejects.toMatchObject({ code: 'TNY302' })
    },
  )

  test('V3: a right that the admin cannot take back is named, and a repeated delete completes', async () => {
    const { database } = sample
    const tenant = await tenants.create({ key: 'clinging' })
    await database.sql(
      `create table public.root_only (n int); grant select on public.root_only to ${tenant.home.role}`,
    )
    const traces = await tracesOf(database, tenant)
    await expect(tenants.delete('clinging', { confirm: 'clinging' })).rejects.toMatchObject({
      code: 'TNY306',
      message: expect.stringContaining('privileges for table root_only'),
    })
    expect(await sample.control.operations.unfinished()).toMatchObject([
      { kind: 'delete', tenantKey: 'clinging', state: 'failed', steps: ['archive', 'drop'] },
    ])
    await database.sql(`revoke all on public.root_only from ${tenant.home.role}`)
    await tenants.delete('clinging', { confirm: 'clinging' })
    expect(await residueOf(database, traces)).toEqual([])
  })

  test('gives up a creation that never finished', async () => {
    const never = tenants.create({ key: 'never', seed: () => Promise.reject(new Error('no')) })
    await expect(never).rejects.toMatchObject({ code: 'TNY306' })
    await tenants.delete('never', { confirm: 'never' })
    expect(await sample.control.operations.unfinished()).toEqual([])
  })
})

test('list pages by key and filters by status', async () => {
  const all = await tenants.list({ limit: 1000 })
  const keys = all.map(({ key }) => key)
  expect(keys).toEqual([...keys].sort())
  const paged: string[] = []
  for (let after: string | undefined; ;) {
    const page = await tenants.list({ limit: 7, ...(after === undefined ? {} : { after }) })
    paged.push(...page.map(({ key }) => key))
    after = page.at(-1)?.key
    if (page.length < 7) break
  }
  expect(paged).toEqual(keys)
  expect(await tenants.list({ status: 'erased' })).toEqual([])
  for (const limit of [0, 1001, 1.5]) {
    await expect(tenants.list({ limit })).rejects.toMatchObject({ code: 'TNY308' })
  }
})
