/** What a tenant gains by setting `app.current_tenant` itself: nothing, since the context is proven. */
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { retireContextKeys, rotateContextKey } from '../../src/catalog/context-keys.ts'
import { createControlPlane } from '../../src/control-plane.ts'
import type { AdminDatabase } from '../../src/core/database.ts'
import type { Tenant } from '../../src/core/tenant.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { describeOnVersions } from '../support/versions.ts'

/** What a flight binds, as settings of a transaction of the runtime login. */
interface Bound {
  readonly id?: string | undefined
  readonly proof?: string | undefined
}

describeOnVersions('the authenticated context', [15, 18], (version) => {
  let db: TestDatabase
  let admin: AdminDatabase
  let a: Tenant
  let b: Tenant
  let proofs: { readonly a: string; readonly b: string }

  beforeAll(async () => {
    db = await createTestDatabase({ version })
    admin = createAdminDatabase(db.adminUrl)
    const control = createControlPlane({ connection: db.adminUrl, migrations: {} })
    a = await control.tenants.create({ key: 'a1' })
    b = await control.tenants.create({ key: 'b1' })
    await control.close()
    for (const table of ['proven', 'believed']) {
      await admin.query(`
        create table ${table} (
          tenant_id text collate "C" not null default nullif(current_setting('app.current_tenant', true), ''),
          id integer, note text, primary key (tenant_id, id));
        insert into ${table} select t.id, n, t.id from tenantry.tenants t, generate_series(1, 2) n;
        alter table ${table} enable row level security;
        alter table ${table} force row level security;
        grant select, insert, update, delete on ${table} to tenantry_tenants`)
    }
    await admin.query(`
      create policy tenant on proven using (tenant_id = (select tenantry.current_tenant()));
      create policy tenant on believed
        using (tenant_id = (select nullif(current_setting('app.current_tenant', true), '')))`)
  })
  afterAll(async () => {
    await admin.close()
    await db.drop()
  })
  beforeEach(async () => {
    proofs = { a: await proofOf(a.id), b: await proofOf(b.id) }
  })

  async function proofOf(id: string): Promise<string> {
    const { rows } = await admin.query<{ proof: string | null }>('select tenantry.proof_of($1) as proof', [
      id,
    ])
    return rows[0]?.proof ?? 'none'
  }

  /** As the runtime login without guard, in the role of tenant A, whatever is bound. */
  async function asA<T>(bound: Bound, fn: (client: pg.Client) => Promise<T>, url = db.appUrl): Promise<T> {
    const client = new pg.Client(url)
    await client.connect()
    try {
      await client.query('begin')
      const path = `${a.home.schema}, public, pg_temp`
      await client.query("select set_config('role', $1, true), set_config('search_path', $2, true)", [
        a.home.role,
        path,
      ])
      if (bound.id !== undefined)
        await client.query(`set local app.current_tenant = ${pg.escapeLiteral(bound.id)}`)
      if (bound.proof !== undefined) {
        await client.query(`set local tenantry.proof = ${pg.escapeLiteral(bound.proof)}`)
      }
      return await fn(client)
    } finally {
      await client.end()
    }
  }

  const read = (bound: Bound, table = 'proven'): Promise<string[]> =>
    asA(bound, async (client) => {
      const { rows } = await client.query<{ note: string }>(`select note from ${table} order by id`)
      return rows.map(({ note }) => note)
    })

  test('a tenant that the gateway has bound sees its own rows, and writes no others', async () => {
    expect(await read({ id: a.id, proof: proofs.a })).toEqual([a.id, a.id])
    await asA({ id: a.id, proof: proofs.a }, async (client) => {
      const { rows } = await client.query('insert into proven (id) values (7) returning tenant_id')
      expect(rows).toEqual([{ tenant_id: a.id }])
      const foreign = client.query('insert into proven (tenant_id, id) values ($1, 8)', [b.id])
      await expect(foreign).rejects.toMatchObject({ code: '42501' })
    })
  })

  test('S27: SET app.current_tenant opens a policy on the setting alone, so the proof is what stops it', async () => {
    expect(await read({ id: b.id }, 'believed')).toEqual([b.id, b.id])
    expect(await read({ id: b.id }, 'proven')).toEqual([])
    expect(await read({ id: b.id, proof: proofs.b }, 'proven')).toEqual([b.id, b.id])
  })

  describe('S27: no rows, and no row can be written', () => {
    const cases: readonly (readonly [string, () => Bound])[] = [
      ['with another tenant’s id and one’s own proof', () => ({ id: b.id, proof: proofs.a })],
      ['with a forged proof', () => ({ id: b.id, proof: `1.${'0'.repeat(64)}` })],
      ['with an empty proof', () => ({ id: b.id, proof: '' })],
      ['without any proof', () => ({ id: b.id })],
      ['with the number of another key', () => ({ id: b.id, proof: proofs.b.replace(/^\d+/, '2') })],
      ['with text where a number is expected', () => ({ id: b.id, proof: `x.${proofs.b.slice(2)}` })],
      ['with the proof in capitals', () => ({ id: b.id, proof: proofs.b.toUpperCase() })],
      ['with a part of the proof', () => ({ id: b.id, proof: proofs.b.slice(0, -1) })],
      ['with more than the proof', () => ({ id: b.id, proof: `${proofs.b} ` })],
      ['with a pattern', () => ({ id: b.id, proof: '%' })],
      ['with the id of nobody and a right-looking proof', () => ({ id: 'nobody', proof: proofs.b })],
      ['with the proof as a part of the id', () => ({ id: `${b.id}.${proofs.b}`, proof: proofs.b })],
      ['with an empty id and one’s own proof', () => ({ id: '', proof: proofs.a })],
      ['with no context at all', () => ({})],
      ['with bytes that are no escape', () => ({ id: String.raw`\x00\777`, proof: proofs.b })],
    ]
    test.for(cases)('%s', async ([, bound]) => {
      expect(await read(bound())).toEqual([])
      await asA(bound(), async (client) => {
        expect((await client.query('update proven set note = $1', ['changed'])).rowCount).toBe(0)
        expect((await client.query('delete from proven')).rowCount).toBe(0)
        const values = client.query('insert into proven (tenant_id, id) values ($1, 9)', [b.id])
        await expect(values).rejects.toMatchObject({ code: '42501' })
      })
    })
  })

  test('S21: after a transaction the settings are empty and not null: no rows', async () => {
    await asA({ id: a.id, proof: proofs.a }, async (client) => {
      await client.query('commit')
      const { rows } = await client.query("select current_setting('app.current_tenant', true) as id")
      expect(rows).toEqual([{ id: '' }])
      await client.query(`begin; set local role ${a.home.role}`)
      expect((await client.query('select from proven')).rowCount).toBe(0)
    })
  })

  test('S27: the proof of another installation is none here', async () => {
    const other = await createTestDatabase({ version })
    const theirs = createAdminDatabase(other.adminUrl)
    try {
      // Test databases are copies of one installation: this one gets a key of its own, under the same number.
      await theirs.query(`
        delete from tenantry.context_keys;
        insert into tenantry.context_keys (id, key) overriding system value values (1, sha256('another'));
        insert into tenantry.tenants (id, status, name, plan, settings, model, tier, schema_name, role_name, owner_role, epoch)
        values ('${b.id}', 'active', '', '', '{}', 'shared', 'guarded', 's', 'r', 'o', 1)`)
      const { rows } = await theirs.query<{ proof: string }>('select tenantry.proof_of($1) as proof', [b.id])
      expect(rows[0]?.proof).toMatch(/^1\.[0-9a-f]{64}$/)
      expect(await read({ id: b.id, proof: rows[0]?.proof })).toEqual([])
    } finally {
      await theirs.close()
      await other.drop()
    }
  })

  test('S27: a tenant that is made while the key is changed has a proof of the new one', async () => {
    const insert = (id: string): string => `
      insert into tenantry.tenants (id, status, name, plan, settings, model, tier, schema_name, role_name, owner_role, epoch)
      values ('${id}', 'active', '', '', '{}', 'shared', 'guarded', 's', 'r', 'o', 1)`
    const newest = async (): Promise<string> =>
      (await db.sql<{ id: string }>('select max(id)::text as id from tenantry.context_keys'))[0]?.id ?? ''
    const waiting = (): Promise<unknown[]> =>
      db.sql(`select from pg_locks where relation = 'tenantry.context_keys'::regclass and not granted
        and database = (select oid from pg_database where datname = current_database())`)
    async function makeWhile(id: string, statements: string, waits: boolean): Promise<string> {
      const maker = new pg.Client(db.adminUrl)
      await maker.connect()
      try {
        await maker.query(`begin; ${statements}`)
        const rotation = rotateContextKey(admin)
        if (waits) await expect.poll(waiting, { timeout: 20_000 }).toHaveLength(1)
        else await rotation
        await maker.query('commit')
        await rotation
      } finally {
        await maker.end()
      }
      return (await proofOf(id)).split('.')[0] ?? ''
    }
    expect(await makeWhile('during', insert('during'), true)).toBe(await newest())
    // The control: what the trigger does, but for its lock.
    const unlocked = `insert into tenantry.contexts (id, status, proof) values ('control', 'active', tenantry.make_proof('control'))`
    expect(await makeWhile('control', unlocked, false)).not.toBe(await newest())
    await db.sql("delete from tenantry.tenants where id = 'during'")
    await db.sql("delete from tenantry.contexts where id = 'control'")
  })

  test('S27: keys and proofs are unreadable for tenants and for the runtime login', async () => {
    const attacks = [
      'select * from tenantry.context_keys',
      'select * from tenantry.contexts',
      'copy tenantry.contexts to stdout',
      "select tenantry.make_proof('x')",
      'select tenantry.refuse_context()',
      `update tenantry.contexts set status = 'active'`,
      'insert into tenantry.context_keys (key) values (null)',
      'create trigger t after insert on tenantry.contexts execute function tenantry.keep_context()',
    ]
    const app = createAdminDatabase(db.appUrl)
    try {
      for (const attack of attacks) {
        await expect(app.query(attack), attack).rejects.toMatchObject({ code: '42501' })
        await asA({ id: a.id, proof: proofs.a }, async (client) => {
          await expect(client.query(attack), attack).rejects.toMatchObject({ code: '42501' })
        })
      }
      const { rows } = await app.query('select tenantry.proof_of($1) as proof', [b.id])
      expect(rows).toEqual([{ proof: proofs.b }])
    } finally {
      await app.close()
    }
    await asA({ id: a.id, proof: proofs.a }, async (client) => {
      const attack = client.query('select tenantry.proof_of($1)', [b.id])
      await expect(attack).rejects.toMatchObject({ code: '42501' })
    })
    // The control: the right to ask is all that was missing.
    await db.sql('grant execute on function tenantry.proof_of(text) to tenantry_tenants')
    await asA({ id: b.id }, async (client) => {
      const { rows } = await client.query<{ proof: string }>('select tenantry.proof_of($1) as proof', [b.id])
      await client.query(`set local tenantry.proof = ${pg.escapeLiteral(rows[0]?.proof ?? '')}`)
      expect((await client.query('select note from proven')).rows).toEqual([{ note: b.id }, { note: b.id }])
    })
    await db.sql('revoke execute on function tenantry.proof_of(text) from tenantry_tenants')
  })

  test('S27: of all functions in the catalog’s schema tenants may call the one that says who they are', async () => {
    const rows = await db.sql<{ name: string }>(
      `select proname as name from pg_proc
       where pronamespace = 'tenantry'::regnamespace and has_function_privilege($1, oid, 'EXECUTE') order by 1`,
      [a.home.role],
    )
    expect(rows.map(({ name }) => name)).toEqual(['current_tenant'])
  })

  test('S27: objects in the tenant’s own schemas do not get between the function and what it calls', async () => {
    await db.sql(`
      create function ${a.home.schema}.current_setting(text, boolean) returns text language sql as $$ select '${b.id}' $$;
      create function ${a.home.schema}.sha256(bytea) returns bytea language sql as 'select $1';
      create function ${a.home.schema}.text_always(text, text) returns boolean language sql as 'select true';
      create operator ${a.home.schema}.= (function = ${a.home.schema}.text_always, leftarg = text, rightarg = text);
      create table ${a.home.schema}.contexts as select '${b.id}'::text as id, 'active'::text as status, ''::text as proof;
      grant all on all tables in schema ${a.home.schema} to ${a.home.role}`)
    const path = `${a.home.schema}, pg_catalog, public`
    const seen = await asA({ id: b.id, proof: proofs.a }, async (client) => {
      await client.query(`set local search_path = ${path}`)
      return (await client.query('select tenantry.current_tenant() as id')).rows
    })
    expect(seen).toEqual([{ id: null }])
    await db.sql(`drop operator ${a.home.schema}.= (text, text);
      drop function ${a.home.schema}.current_setting(text, boolean), ${a.home.schema}.sha256(bytea), ${a.home.schema}.text_always(text, text);
      drop table ${a.home.schema}.contexts`)
  })

  describe('a tenant that is not active', () => {
    test.for(['suspended', 'archived', 'moving', 'provisioning'])(
      '%s: refused with TN001',
      async (status) => {
        await db.sql('update tenantry.tenants set status = $1 where id = $2', [status, a.id])
        try {
          const refused = read({ id: a.id, proof: proofs.a })
          await expect(refused).rejects.toMatchObject({ code: 'TN001' })
          await expect(refused).rejects.not.toThrow(b.id)
          // Whoever has no proof does not learn the status.
          expect(await read({ id: a.id, proof: proofs.b })).toEqual([])
          // The control plane acts for it all the same, in the tenant's role.
          const seen = await asA(
            { id: a.id, proof: proofs.a },
            async (c) => (await c.query('select from proven')).rowCount,
            db.adminUrl,
          )
          expect(seen).toBe(2)
        } finally {
          await db.sql("update tenantry.tenants set status = 'active' where id = $1", [a.id])
        }
        expect(await read({ id: a.id, proof: proofs.a })).toHaveLength(2)
      },
    )

    test('erased: refused, for the control plane too', async () => {
      await admin.query(`
        insert into tenantry.tenants (id, status, name, plan, settings, model, tier, schema_name, role_name, owner_role, epoch)
        values ('gone', 'active', '', '', '{}', 'shared', 'guarded', 's', 'r', 'o', 1)`)
      const proof = await proofOf('gone')
      expect(await read({ id: 'gone', proof })).toEqual([])
      await admin.query(`update tenantry.tenants set status = 'erased', erased_at = now(), name = null, plan = null,
        settings = null, model = null, tier = null, schema_name = null, role_name = null, owner_role = null, epoch = null
        where id = 'gone'`)
      await expect(read({ id: 'gone', proof })).rejects.toMatchObject({ code: 'TN001' })
      await expect(
        asA({ id: 'gone', proof }, (client) => client.query('select from proven'), db.adminUrl),
      ).rejects.toMatchObject({ code: 'TN001' })
      await admin.query("delete from tenantry.tenants where id = 'gone'")
      expect(await read({ id: 'gone', proof })).toEqual([])
    })
  })

  test('a new key: former proofs hold until they are retired, and are refused by name then', async () => {
    const [former, forged] = [proofs, proofs.a.replace(/.$/, '!')]
    await rotateContextKey(admin)
    const now = await proofOf(a.id)
    expect(now).not.toBe(former.a)
    expect(await read({ id: a.id, proof: now })).toHaveLength(2)
    expect(await read({ id: a.id, proof: former.a })).toHaveLength(2)
    // Wrong, and made with the former key as far as one can see: whoever shows it is told to read the tenant again.
    await expect(read({ id: a.id, proof: former.b })).rejects.toMatchObject({ code: 'TN001' })
    expect(await retireContextKeys(admin, { olderThanMs: 60_000 })).toBe(0)
    expect(await read({ id: a.id, proof: former.a })).toHaveLength(2)
    expect(await retireContextKeys(admin, { olderThanMs: 0 })).toBe(2)
    await expect(read({ id: a.id, proof: former.a })).rejects.toMatchObject({ code: 'TN001' })
    await expect(read({ id: b.id, proof: forged })).rejects.toMatchObject({ code: 'TN001' })
    expect(await read({ id: a.id, proof: now })).toHaveLength(2)
    // Nothing is left that could prove by the former key.
    expect(await db.sql('select from tenantry.context_keys where key is not null')).toHaveLength(1)
  })

  test('a new key: every process is told to forget the proofs that it knows', async () => {
    const listener = new pg.Client(db.appUrl)
    await listener.connect()
    const heard = new Promise<string | undefined>((resolve) => {
      listener.on('notification', ({ payload }) => resolve(payload))
    })
    await listener.query('listen tenantry_catalog')
    await rotateContextKey(admin)
    expect(await heard).toBe('')
    await listener.end()
  })

  test('S27: 100,000 tenants: one InitPlan, the index led by the tenant, and still nobody else’s rows', async () => {
    await db.sql(`
      begin; set local session_replication_role = replica;
      insert into tenantry.tenants (id, status, name, plan, settings, model, tier, schema_name, role_name, owner_role, epoch)
      select 'many-' || n, 'active', '', '', '{}', 'shared', 'guarded', 's', 'r', 'o', 1 from generate_series(1, 100000) n;
      insert into tenantry.contexts (id, status, proof)
      select id, status, tenantry.make_proof(id) from tenantry.tenants where id like 'many-%';
      insert into proven select 'many-' || n, n, 'many-' || n from generate_series(1, 100000) n;
      commit; analyze tenantry.contexts, proven`)
    const bound = { id: 'many-77777', proof: await proofOf('many-77777') }
    expect(await read(bound)).toEqual(['many-77777'])
    expect(await read({ ...bound, id: 'many-77778' })).toEqual([])
    const plan = await asA(bound, async (client) => {
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(
        'explain (costs off) select * from proven where id = 5',
      )
      return rows.map((row) => row['QUERY PLAN']).join('\n')
    })
    expect(plan.match(/InitPlan 1/g)).not.toBeNull()
    expect(plan).not.toContain('InitPlan 2')
    expect(plan).toMatch(/Index (Only )?Scan using proven_pkey/)
    expect(plan).toMatch(/Index Cond: \(\(tenant_id = .*\) AND \(id = 5\)\)/)
  })
})
