import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { residentSettings } from '../../src/gateway/connection/resident-context.ts'
import { withSettings } from '../../src/gateway/pool/other-config.ts'
import type { Binding } from '../../src/gateway/binding.ts'
import type { GatewayPool, Tenant } from '../../src/index.ts'
import { createSealedWorld, type SealedWorld, type TenantKind } from '../isolation/sealed-world.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { admitLogin, expelLogin } from '../../src/isolation/tenant-roles.ts'
import { findPgBouncer, startPgBouncer } from '../support/pgbouncer.ts'
import { describeOnVersions } from '../support/versions.ts'
import { waitFor } from '../support/wait-for.ts'
import { recordWire, type WireRecorder } from '../support/wire-recorder.ts'

/** Tenants whose connections serve nobody else. */
const KINDS: Readonly<Record<string, TenantKind>> = {
  'sealed schema': { model: 'schema', tier: 'sealed' },
  'sealed rows': { model: 'shared', tier: 'sealed' },
  'sealed database': { model: 'database', tier: 'sealed' },
  'guarded database': { model: 'database', tier: 'guarded' },
}
const NAMES = Object.keys(KINDS)

/** The parts of a context, the role among them. */
const CONTEXT = `select current_user::text as role, current_setting('search_path') as path,
  current_setting('app.current_tenant') as tenant, current_setting('tenantry.proof') as proof,
  current_setting('statement_timeout') as "limit", current_setting('idle_in_transaction_session_timeout') as idle,
  current_setting('work_mem') as memory, current_setting('standard_conforming_strings') as strings`

/** What an application's function may set for its session: PL/pgSQL knows no guard. */
const LEAVINGS = `set app.current_tenant = 'globex'; set tenantry.proof = 'forged'; set statement_timeout = 0;
  set idle_in_transaction_session_timeout = 0; set work_mem = '64kB'; set standard_conforming_strings = off;
  set search_path = pg_catalog;`

describeOnVersions('a connection that serves one tenant alone', [15, 18], (version) => {
  const suffix = randomBytes(4).toString('hex')
  let world: SealedWorld
  let wire: WireRecorder
  const tenants: Record<string, Tenant> = {}
  const pool = (name: string, options: object = {}): GatewayPool =>
    world.open({ max: 2, connection: wire.url, direct: world.db.appUrl, ...options }).poolFor(keyOf(name))
  const keyOf = (name: string): string => `${name.replace(' ', '-')}-${suffix}`
  const read = async (from: { query: GatewayPool['query'] }): Promise<Record<string, string>> =>
    (await from.query<Record<string, string>>(CONTEXT)).rows[0] ?? {}
  const urlOf = ({ home }: Tenant): string =>
    Object.assign(new URL(world.db.superuserUrl), {
      pathname: home.database ?? new URL(world.db.superuserUrl).pathname,
    }).href

  beforeAll(async () => {
    world = await createSealedWorld({ version })
    wire = await recordWire(world.db.appUrl)
    for (const name of NAMES) {
      const tenant = await world.create(keyOf(name), KINDS[name])
      tenants[name] = tenant
      const { schema } = tenant.home
      const db = createAdminDatabase(urlOf(tenant), 1)
      const login = tenant.home.tier === 'sealed' ? 'none' : 'tenantry_app'
      await db.query(`create function ${schema}.leave() returns text language plpgsql as
          $$ begin ${LEAVINGS} return 'left'; end $$;
        create function ${schema}.leave_role() returns text language plpgsql as
          $$ begin set role ${login}; return current_user; end $$;
        grant execute on function ${schema}.leave(), ${schema}.leave_role() to public`)
      await db.close()
    }
  }, 120_000)
  afterAll(async () => {
    await world?.close()
    await wire?.close()
  }, 120_000)

  test.each(NAMES)('%s: enters it by going back to what the session began with', async (name) => {
    const own = pool(name)
    await read(own)
    wire.takeBound()
    wire.take()
    const context = await read(own)
    expect(context).toMatchObject({
      role: tenants[name]?.home.role,
      tenant: tenants[name]?.id,
      limit: '1min',
    })
    const isSealed = tenants[name]?.home.tier === 'sealed'
    // Before 16 a member of a role may take it on, which RESET ALL does not undo.
    if (version === 15 && isSealed) expect(wire.takeBound()).toContain('tenantry_context')
    else {
      expect(wire.takeBound()).toEqual([
        'tenantry_reset',
        ...(isSealed ? [] : ['tenantry_role']),
        expect.anything(),
      ])
      expect(wire.take().match(/S/g)).toHaveLength(1)
    }
  })

  test.each(NAMES)('S29, %s: what a function has set is gone with its statement', async (name) => {
    const own = pool(name)
    const before = await read(own)
    // What is no part of the context stays on connections whose context is bound.
    if (version === 15 && tenants[name]?.home.tier === 'sealed') {
      Object.assign(before, { memory: expect.anything(), strings: expect.anything() })
    }
    expect((await own.query('select leave() as done')).rows).toEqual([{ done: 'left' }])
    expect(await read(own)).toEqual(before)
    const client = await own.connect()
    await client.query('begin isolation level repeatable read')
    await client.query('select leave()')
    expect(await read(client)).toMatchObject({ tenant: 'globex', limit: '0' })
    await client.query('commit')
    client.release()
    expect(await read(own)).toEqual(before)
    await own.query('select leave(), 1 / 0').catch(() => undefined)
    expect(await read(own)).toEqual(before)
    await own.query('select leave_role()')
    expect(await read(own)).toEqual(before)
    expect((await own.query('select text from notes')).rows).toEqual([{ text: `canary of ${keyOf(name)}` }])
  })

  test('settings arrive as they are, whatever is in them', async () => {
    const text = fc.string({
      unit: fc.constantFrom(' ', '\\', '"', "'", '-', '=', ',', '$', '\t', '\n', '#', 'é', 'a'),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: 1, maxLength: 20 }), async (values) => {
        const settings = Object.fromEntries(values.map((value, n) => [`app.value_${n}`, value]))
        const client = new pg.Client(withSettings({ connectionString: world.db.appUrl }, settings))
        await client.connect()
        const { rows } = await client.query<{ value: string }>(
          'select current_setting(name) as value from unnest($1::text[]) name',
          [Object.keys(settings)],
        )
        await client.end()
        expect(rows.map(({ value }) => value)).toEqual(values)
      }),
      { numRuns: 15 },
    )
  })

  test.each(NAMES)(
    'S29, %s, the unsafe control: without RESET ALL the next statement meets it',
    async (name) => {
      const tenant = tenants[name] as Tenant
      const settings = residentSettings({
        searchPath: tenant.home.schema,
        tenantId: tenant.id,
        proof: 'a proof',
        statementTimeout: '60000',
        idleInTransactionTimeout: '60000',
      } as Binding)
      const url = tenant.home.tier === 'sealed' ? world.urlOf(tenant) : urlOf(tenant)
      const client = new pg.Client(withSettings({ connectionString: url }, settings))
      await client.connect()
      await client.query('select leave()')
      const left = (await client.query<Record<string, string>>(CONTEXT)).rows[0]
      expect(left).toMatchObject({ tenant: 'globex', limit: '0', path: 'pg_catalog', strings: 'off' })
      await client.query('reset all')
      const reset = (await client.query<Record<string, string>>(CONTEXT)).rows[0]
      expect(reset).toMatchObject({
        tenant: tenant.id,
        limit: '1min',
        path: tenant.home.schema,
        strings: 'on',
      })
      await client.end()
    },
  )

  test('P2: a transaction may set limits of its own, and no other one has them', async () => {
    const own = pool('sealed database', { max: 1 })
    const client = await own.connect()
    await client.query('begin')
    await client.query("set local statement_timeout = '7s'")
    expect(await read(client)).toMatchObject({ limit: '7s' })
    await client.query('commit')
    client.release()
    expect(await read(own)).toMatchObject({ limit: '1min' })
  })

  test.each(['sealed database', 'guarded database'])(
    '%s: where the tenant changes, the next statement has the new context, and the connection is replaced',
    async (name) => {
      let limit = 5_000
      const tenancy = world.open({ max: 4, limits: () => ({ statementTimeoutMs: limit }) })
      const closed: string[] = []
      tenancy.on('connection:close', ({ reason }) => void closed.push(reason))
      const own = tenancy.poolFor(tenants[name] as Tenant)
      expect(await read(own)).toMatchObject({ limit: '5s' })
      limit = 9_000
      await world.plane.tenants.rename(keyOf(name), { name: 'another' })
      await waitFor(async () => (await read(own))['limit'] === '9s')
      if (version !== 15 || name !== 'sealed database') expect(closed).toContain('outdated')
      const count = closed.length
      for (let n = 0; n < 3; n++) expect(await read(own)).toMatchObject({ limit: '9s' })
      expect(closed).toHaveLength(count)
    },
  )

  test('I8: a guarded one that the login may not enter any more is refused by the server', async () => {
    const name = 'guarded database'
    const own = pool(name)
    await read(own)
    const { role } = (tenants[name] as Tenant).home
    const admin = createAdminDatabase(world.db.adminUrl, 1)
    await expelLogin(admin, role, 'tenantry_app')
    try {
      await expect(own.query('select text from notes')).rejects.toMatchObject({ code: 'TNY205' })
    } finally {
      await admitLogin(admin, role, 'tenantry_app')
      await admin.close()
    }
  })

  test('a configuration that says otherwise has its context bound by each flight', async () => {
    const url = new URL(wire.url)
    url.searchParams.set('options', '-c work_mem=7MB -c search_path=nowhere')
    const residing = pool('guarded database', { connection: url.href })
    expect(await read(residing)).toMatchObject({ memory: '7MB', path: expect.stringContaining('tenant') })
    wire.takeBound()
    await read(residing)
    expect(wire.takeBound()).toContain('tenantry_role')
    // node-postgres sends this one by itself, and the server reads it last.
    url.searchParams.set('statement_timeout', '12345')
    const bound = pool('guarded database', { connection: url.href })
    await read(bound)
    wire.takeBound()
    expect(await read(bound)).toMatchObject({ limit: '1min' })
    expect(wire.takeBound()).toContain('tenantry_context')
  })

  test('the tables that all tenants share are reached on the same connections', async () => {
    const tenancy = world.open({ max: 1 })
    for (const name of NAMES) {
      await tenancy.run(keyOf(name), async () => {
        for (let n = 0; n < 2; n++) {
          expect(await read(tenancy.shared)).toMatchObject({
            path: 'public, pg_temp',
            tenant: tenants[name]?.id,
          })
          expect(await read(tenancy.pool)).toMatchObject({ path: expect.stringContaining('tenant') })
        }
      })
    }
  })
})

describe.skipIf(findPgBouncer() === undefined)('where `pooler` was forgotten', () => {
  let world: SealedWorld
  beforeAll(async () => {
    world = await createSealedWorld()
    await world.create('behind', { model: 'database', tier: 'guarded' })
  }, 120_000)
  afterAll(() => world?.close(), 120_000)

  test.each([{}, { ignore_startup_parameters: 'extra_float_digits,options' }])(
    'P1: PgBouncer with %o takes no context, and the flights bring it',
    async (settings) => {
      const bouncer = await startPgBouncer({ poolSize: 1, settings })
      try {
        const connection = bouncer.through(world.db.appUrl)
        const own = world.open({ connection, direct: world.db.appUrl }).poolFor('behind')
        for (let n = 0; n < 3; n++) {
          expect((await own.query('select text from notes')).rows).toEqual([{ text: 'canary of behind' }])
        }
      } finally {
        await bouncer.stop()
      }
    },
  )
})
