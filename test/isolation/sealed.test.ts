import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { shutLogin } from '../../src/isolation/sealed-login.ts'
import type { Tenant, TenantModel } from '../../src/index.ts'
import { fillPayload, type Payload, PAYLOADS, type Victim } from '../../src/prove/payloads.ts'
import { describeOnVersions } from '../support/versions.ts'
import { waitFor } from '../support/wait-for.ts'
import { createSealedWorld, type SealedWorld } from './sealed-world.ts'

const MODELS: readonly TenantModel[] = ['schema', 'shared', 'database']

/** An attack of the corpus, and whether it has opened what it is after. */
function attack(client: pg.Client, payload: Payload, victim: Victim): Promise<{ heard: string }> {
  const text = fillPayload(payload, victim)
  const local = /\blocal\b/i.test(text) ? 'begin; ' : ''
  return say(client, `${local}${text}`, `select text from ${victim.other}.${victim.table}`)
}

/** A database of one's own has channels, locks, large objects and functions of its own: nobody else's are reached. */
const HARMLESS_IN_OWN_DATABASE = new Set(['S5', 'S16', 'S17', 'S18', 'S26'])

/**
 * What a raw connection said to a text of one or more statements: everything that could hold somebody's rows.
 * @param then what comes after it, in the state that it left.
 */
async function say(client: pg.Client, text: string, then?: string): Promise<{ code: string; heard: string }> {
  const notices: string[] = []
  const onNotice = (notice: { message?: string | undefined }): void => void notices.push(notice.message ?? '')
  client.on('notice', onNotice)
  try {
    const rows: unknown[] = []
    for (const part of then === undefined ? [text] : [text, then]) {
      const results = (await client.query(part)) as unknown as pg.QueryResult | pg.QueryResult[]
      for (const result of Array.isArray(results) ? results : [results]) rows.push(result.rows)
    }
    return { code: 'done', heard: JSON.stringify([rows, notices]) }
  } catch (error) {
    const { code = 'lost' } = error as { code?: string }
    return { code, heard: JSON.stringify([error, String(error), notices]) }
  } finally {
    client.off('notice', onNotice)
    await client.query('rollback').catch(() => undefined)
  }
}

describeOnVersions('a sealed tenant', undefined, (version) => {
  let world: SealedWorld
  beforeAll(async () => {
    world = await createSealedWorld({ version })
    await world.db.sql(`create table public.plans (name text); insert into public.plans values ('free');
      grant select on public.plans to tenantry_tenants; alter table public.plans owner to tenantry_admin`)
  })
  afterAll(() => world?.close())

  const canaryOf = ({ home }: Tenant): Promise<unknown[]> =>
    world.db.sql(`select text from ${home.schema}.notes`)

  describe.each(MODELS)('of the model %s, on a connection of its own without guard', (model) => {
    let [acme, globex, initech, raw] = [] as unknown as [Tenant, Tenant, Tenant, pg.Client]
    beforeAll(async () => {
      acme = await world.create(`acme-${model}`, { model })
      globex = await world.create(`globex-${model}`, { model })
      initech = await world.create(`initech-${model}`, { model, tier: 'guarded' })
      raw = await world.login(acme)
      await raw.query(`set search_path = ${acme.home.schema}`)
    })

    /** What must be refused, or come to nothing, whatever the text. */
    function attacks(): Record<string, string[]> {
      const [own, other] = [acme.home, globex.home]
      const table = `${other.schema}.notes`
      return {
        S1: model === 'schema' ? [`select * from ${table}`, `update ${table} set text = ''`] : [],
        S2: [
          `select set_config('role', '${other.role}', true), query_to_xml('select * from ${table}', true, true, '')`,
          `select set_config('role', 'tenantry_app', false)`,
        ],
        S3: [`update pg_settings set setting = '${other.role}' where name = 'role'`],
        S4: [
          `reset role; set role ${other.role}`,
          // Before 16 who has a role's rights may take it on: the rights are those of all tenants in shared tables.
          ...(model === 'shared' && version === 15 ? [] : [`set role none; set role ${initech.home.role}`]),
          `set role ${other.ownerRole}`,
          `set role ${own.ownerRole}`,
          'set role tenantry_app',
          'set role tenantry_admin',
          `set session authorization ${other.role}`,
          `reset session authorization; set role ${other.role}`,
          `grant ${other.role} to ${own.role}`,
          `grant ${own.role} to ${other.role}`,
          `grant tenantry_owners to ${own.role}`,
          `alter role ${other.role} password 'x'`,
          `alter role ${own.role} createrole`,
          `alter role ${own.role} bypassrls`,
        ],
        S5: [`do $$ begin execute 'set role ${other.role}'; end $$`],
        S6: [`select 1; commit; begin; set local role ${other.role}; select * from ${table}`],
        S11: [`truncate ${own.schema}.notes`],
        S12: [
          `alter table ${own.schema}.notes disable row level security`,
          'select rolpassword from pg_authid',
        ],
        S13: model === 'shared' ? [`set row_security = off; select * from ${table}`] : [],
        S15: [
          'create temporary table notes (text text)',
          `create table ${own.schema}.x ()`,
          'create table public.x ()',
        ],
        S16: ["select pg_notify('tenantry_catalog', '')"],
        S17: ['select pg_advisory_lock(1)', 'select pg_try_advisory_lock_shared(1)'],
        S18: ['select lo_create(0)', "select lo_from_bytea(0, 'x')"],
        S22:
          model === 'schema'
            ? [`select setval('${other.schema}.notes_id_seq', 1)`]
            : [`select setval('${own.schema}.notes_id_seq', 1)`],
        S25: [
          'create extension dblink',
          `copy ${own.schema}.notes to program 'cat'`,
          "select pg_read_file('PG_VERSION')",
          "select pg_ls_dir('.')",
          'create foreign data wrapper x',
        ],
        S26: [
          `select query_to_xml('select * from ${table}', true, true, '')`,
          `select * from ts_stat('select to_tsvector(text) from ${table}')`,
          `select table_to_xml('${table}', true, true, '')`,
          "select schema_to_xml('tenantry', true, true, '')",
        ],
        S27: [
          `select tenantry.proof_of('${globex.id}')`,
          'select * from tenantry.contexts',
          'select * from tenantry.context_keys',
          'select * from tenantry.tenants',
        ],
      }
    }

    test('S1–S6, S11–S13, S15–S18, S22, S25–S27: whatever it says is refused by the server', async () => {
      for (const [threat, texts] of Object.entries(attacks())) {
        for (const text of texts) {
          const { code, heard } = await say(raw, text)
          expect.soft(heard, `${threat}: ${text}`).not.toContain('canary of globex')
          if (threat === 'S3' || (model === 'database' && HARMLESS_IN_OWN_DATABASE.has(threat))) continue
          // 42P01 and 3F000: of another tenant's database not even the names are there.
          expect
            .soft(['42501', '42704', '42P01', '3F000', '0LP01', '42883'], `${threat}: ${text}`)
            .toContain(code)
        }
      }
      const { rows } = await raw.query<{ who: string }>(
        "select concat(session_user, ' ', current_user) as who",
      )
      expect(rows).toEqual([{ who: `${acme.home.role} ${acme.home.role}` }])
    })

    test('S4: of the groups that it is in it gains nothing, and takes nothing from them', async () => {
      for (const text of [
        'set role tenantry_tenants',
        'set role tenantry_sealed',
        'drop owned by tenantry_tenants',
        'drop owned by tenantry_sealed cascade',
        'drop owned by current_user cascade',
        `reassign owned by tenantry_tenants to ${acme.home.role}`,
        `alter default privileges for role tenantry_tenants grant all on tables to ${globex.home.role}`,
        `set role ${initech.home.role}`,
        `drop owned by ${initech.home.role} cascade`,
      ]) {
        await say(raw, text)
        const { heard } = await say(raw, `select * from ${globex.home.schema}.notes`)
        expect.soft(heard, text).not.toContain('canary of globex')
        await say(raw, 'reset role')
      }
      // What the groups have been given is theirs still.
      const rights = await world.db.sql(
        `select has_table_privilege('tenantry_tenants', 'public.plans', 'SELECT') as plans,
           has_function_privilege('tenantry_sealed', 'set_config(text,text,boolean)', 'EXECUTE') as context,
           has_schema_privilege('tenantry_tenants', 'tenantry', 'USAGE') as catalog`,
      )
      expect(rights).toEqual([{ plans: true, context: true, catalog: true }])
    })

    test('S27: another tenant’s id, or a forged proof, shows no rows', async () => {
      if (model !== 'shared') return
      const [own] = await world.db.sql<{ proof: string }>('select tenantry.proof_of($1) as proof', [acme.id])
      for (const proof of ['', '1.00', own?.proof ?? '']) {
        const { code, heard } = await say(
          raw,
          `select set_config('app.current_tenant', '${globex.id}', false), set_config('tenantry.proof', '${proof}', false);
           select text from ${globex.home.schema}.notes`,
        )
        expect(heard, code).not.toContain('canary')
      }
    })

    // The oldest and the newest: each run takes its time.
    if (version === 15 || version === 18) {
      test('S1–S31: nothing in the corpus shows or changes a row of another tenant', async () => {
        const [own] = await world.db.sql<{ proof: string }>('select tenantry.proof_of($1) as proof', [
          acme.id,
        ])
        const victim = {
          other: globex.home.schema,
          otherRole: globex.home.role,
          otherId: globex.id,
          table: 'notes',
        }
        let client = await world.login(acme)
        for (const payload of PAYLOADS) {
          client = await enter(client, acme, own?.proof ?? '')
          const { heard } = await attack(client, payload, victim)
          expect.soft(heard, `${payload.id}: ${payload.sql}`).not.toContain('canary of globex')
        }
        expect(await rowsOf(globex)).toEqual([{ text: `canary of ${globex.key}` }])
        // What it has taken of its own is its own loss, and is given back.
        await world.plane.tenants.resume(acme.key)
      })
    }

    /** As a flight enters, but for as long as nothing is discarded; on another connection where the last one is lost. */
    async function enter(client: pg.Client, tenant: Tenant, proof: string): Promise<pg.Client> {
      try {
        await client.query('discard all')
        await client.query(
          `select set_config('search_path', $1, false), set_config('app.current_tenant', $2, false),
             set_config('tenantry.proof', $3, false), set_config('statement_timeout', '2000', false)`,
          [`${tenant.home.schema}, public, pg_temp`, tenant.id, proof],
        )
        return client
      } catch {
        // An attack may have given its own role another password or other settings.
        await world.plane.tenants.resume(tenant.key)
        return enter(await world.login(tenant), tenant, proof)
      }
    }

    async function rowsOf(tenant: Tenant): Promise<unknown[]> {
      const { database, schema } = tenant.home
      const url = Object.assign(
        new URL(world.db.superuserUrl),
        database === undefined ? {} : { pathname: `/${database}` },
      )
      const client = new pg.Client(url.href)
      await client.connect()
      const { rows } = await client.query<{ text: string }>(
        `select text from ${schema}.notes ${model === 'shared' ? `where tenant_id = '${tenant.id}'` : ''}`,
      )
      await client.end()
      return rows
    }
  })

  test('S4, the control: a guarded tenant’s connection leads to other guarded tenants, never to a sealed one', async () => {
    const [initech, hooli, acme] = [
      await world.create('initech', { tier: 'guarded' }),
      await world.create('hooli', { tier: 'guarded' }),
      await world.create('acme'),
    ]
    const client = new pg.Client(world.db.appUrl)
    await client.connect()
    try {
      await client.query(`begin; set local role ${initech.home.role}`)
      const escaped = await say(
        client,
        `reset role; set role ${hooli.home.role}; select text from ${hooli.home.schema}.notes`,
      )
      expect(escaped.heard).toContain('canary of hooli')
      for (const text of [
        `set role ${acme.home.role}`,
        `reset role; set role ${acme.home.role}`,
        `set role ${acme.home.ownerRole}`,
      ]) {
        await client.query('reset role')
        expect((await say(client, text)).code, text).toBe('42501')
      }
      await client.query('reset role')
      expect((await say(client, `select * from ${acme.home.schema}.notes`)).code).toBe('42501')
    } finally {
      await client.end()
    }
    expect(await canaryOf(acme)).toEqual([{ text: 'canary of acme' }])
  })

  test('S1–S31, the control: parts of the corpus reach other tenants from a guarded one’s connection', async () => {
    const [duke, vandelay] = [
      await world.create('duke', { tier: 'guarded' }),
      await world.create('vandelay', { tier: 'guarded' }),
    ]
    const victim = {
      other: vandelay.home.schema,
      otherRole: vandelay.home.role,
      otherId: vandelay.id,
      table: 'notes',
    }
    const client = new pg.Client(world.db.appUrl)
    await client.connect()
    const open: string[] = []
    try {
      for (const payload of PAYLOADS.filter(({ kind }) => kind === 'read')) {
        await client.query(`begin; set local role ${duke.home.role}; set local statement_timeout = 2000`)
        const { heard } = await attack(client, payload, victim)
        if (heard.includes('canary of vandelay')) open.push(payload.id)
        await client.query('discard all').catch(() => undefined)
      }
    } finally {
      await client.end()
    }
    for (const threat of ['S4', 'S6']) {
      expect(open).toContainEqual(expect.stringMatching(new RegExp(`^${threat}-`)))
    }
  })

  test('S29: connections of one sealed tenant never serve another, and what is left on them harms itself alone', async () => {
    for (const key of ['stark', 'wayne']) await world.create(key)
    const tenancy = world.open({ max: 1 })
    const backend = async (key: string): Promise<string> =>
      (await tenancy.poolFor(key).query<{ pid: string }>('select pg_backend_pid()::text as pid')).rows[0]
        ?.pid ?? ''
    const pids = [await backend('stark'), await backend('wayne'), await backend('stark')]
    expect(new Set(pids).size).toBe(3)
    expect(await backend('stark')).toBe(pids[2])
  })

  test('S27: whoever has learned a sealed tenant’s proof reads nothing with it; the control: a guarded one’s is enough', async () => {
    const [sealed, guarded] = [
      await world.create('proven', { model: 'shared' }),
      await world.create('provable', { model: 'shared', tier: 'guarded' }),
    ]
    const client = new pg.Client(world.db.appUrl)
    await client.connect()
    try {
      for (const [{ id, key, home }, reads] of [
        [sealed, false],
        [guarded, true],
      ] as const) {
        // What escapes from a guarded tenant's context is the runtime login, which may ask for proofs.
        await client.query(
          `select set_config('app.current_tenant', $1, false), set_config('tenantry.proof', tenantry.proof_of($1), false)`,
          [id],
        )
        await client.query(`set role ${guarded.home.role}`)
        const { heard } = await say(client, `select text from ${home.schema}.notes`)
        expect(heard.includes(`canary of ${key}`), key).toBe(reads)
        await client.query('reset role')
      }
    } finally {
      await client.end()
    }
    expect((await world.open().poolFor('proven').query('select text from notes')).rows).toEqual([
      { text: 'canary of proven' },
    ])
  })

  test('suspension ends what is open and refuses what comes, and resuming lets it in again', async () => {
    const tenant = await world.create('suspended')
    const tenancy = world.open()
    const pool = tenancy.poolFor('suspended')
    expect((await pool.query('select text from notes')).rows).toEqual([{ text: 'canary of suspended' }])
    const [idle, busy, open] = [
      await world.login(tenant),
      await world.login(tenant),
      await world.login(tenant),
    ]
    const asleep = busy.query('select pg_sleep(60)').catch((error: { code?: string }) => error.code)
    await open.query(`begin; update ${tenant.home.schema}.notes set text = 'never committed'`)
    await world.plane.tenants.suspend('suspended')
    expect(await asleep).toBe('57P01')
    for (const client of [idle, open]) await expect(client.query('commit')).rejects.toThrow('Client')
    await expect(world.login(tenant)).rejects.toMatchObject({ code: '28000' })
    await expect(pool.query('select text from notes')).rejects.toMatchObject({ code: 'TNY211' })
    expect(await canaryOf(tenant)).toEqual([{ text: 'canary of suspended' }])
    await world.plane.tenants.resume('suspended')
    await waitFor(() => pool.query('select 1').then(Boolean, () => false))
    expect((await pool.query('select text from notes')).rows).toEqual([{ text: 'canary of suspended' }])
  })

  test('the control: where the login alone is shut, a session that is open goes on reading', async () => {
    const tenant = await world.create('shut')
    const raw = await world.login(tenant)
    const admin = createAdminDatabase(world.db.adminUrl, 1)
    await admin.transaction((tx) => shutLogin(tx, tenant.home.role))
    await admin.close()
    expect((await raw.query(`select text from ${tenant.home.schema}.notes`)).rows).toEqual([
      { text: 'canary of shut' },
    ])
    // Even so the gateway's flights are refused: the context cannot be bound.
    await expect(raw.query("select set_config('app.current_tenant', '', true)")).rejects.toMatchObject({
      code: '42501',
    })
  })

  test('V3: deleting ends its sessions; no role is left', async () => {
    const tenant = await world.create('deleted')
    const raw = await world.login(tenant)
    await raw.query(`begin; select * from ${tenant.home.schema}.notes`)
    await raw.query(
      `alter default privileges for role tenantry_tenants grant select on tables to ${tenant.home.role}`,
    )
    await raw.query('commit; begin; select 1')
    await world.plane.tenants.delete('deleted', { confirm: 'deleted' })
    await expect(raw.query('select 1')).rejects.toThrow('Client')
    const { role, ownerRole } = tenant.home
    expect(
      await world.db.sql('select rolname from pg_roles where rolname in ($1, $2)', [role, ownerRole]),
    ).toEqual([])
  })

  test('what the tenant did to its own role is undone by resuming it', async () => {
    const tenant = await world.create('selfish')
    const raw = await world.login(tenant)
    const { role } = tenant.home
    await raw.query(`alter role ${role} password 'taken'; alter role ${role} set search_path = public;
      alter role ${role} in database ${world.db.name} set default_transaction_read_only = on`)
    await expect(world.login(tenant)).rejects.toMatchObject({ code: '28P01' })
    await expect(world.open().poolFor('selfish').query('select 1')).rejects.toMatchObject({ code: 'TNY205' })
    await world.plane.tenants.resume('selfish')
    const again = await world.login(tenant)
    const { rows } = await again.query(
      "select current_setting('search_path') as path, current_setting('default_transaction_read_only') as read_only",
    )
    expect(rows).toEqual([{ path: '"$user", public', read_only: 'off' }])
  })
})
