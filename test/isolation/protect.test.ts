/** Tables that a user shares on purpose: `tenantry.protect()`, as a shared migration calls it. */
import { execFile, spawnSync } from 'node:child_process'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createControlPlane } from '../../src/control-plane.ts'
import type { AdminDatabase } from '../../src/core/database.ts'
import type { Tenant } from '../../src/core/tenant.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { describeOnVersions } from '../support/versions.ts'

type Row = Record<string, unknown>
type Run = (text: string, values?: unknown[]) => Promise<Row[]>

describeOnVersions('protect()', [15, 18], (version) => {
  let db: TestDatabase
  let admin: AdminDatabase
  let app: AdminDatabase
  let a: Tenant
  let b: Tenant

  beforeAll(async () => {
    db = await createTestDatabase({ version })
    admin = createAdminDatabase(db.adminUrl)
    app = createAdminDatabase(db.appUrl)
    const control = createControlPlane({ connection: db.adminUrl, migrations: {} })
    a = await control.tenants.create({ key: 'a1' })
    b = await control.tenants.create({ key: 'b1' })
    await control.close()
  })
  afterAll(async () => {
    await Promise.all([admin.close(), app.close()])
    await db.drop()
  })
  beforeEach(async () => {
    await admin.query(`
      drop table if exists users, events, plain, teams cascade;
      create table users (id integer generated always as identity primary key, tenant_id uuid not null, email text unique,
        name text);
      create index on users (name);
      insert into users (tenant_id, email, name)
        select t.id::uuid, k.key || n || '@x', 'user ' || n from tenantry.tenants t
        join tenantry.keys k on k.tenant_id = t.id, generate_series(1, 2) n order by k.key, n`)
  })

  /** As a flight does it, without guard. The transaction is rolled back. */
  async function as<T>(tenant: Tenant, fn: (run: Run) => Promise<T>, role = tenant.home.role): Promise<T> {
    const client = new pg.Client(db.appUrl)
    await client.connect()
    try {
      await client.query('begin')
      await client.query(
        `select set_config('role', $1, true), set_config('search_path', $2, true), set_config('app.current_tenant', $3, true),
           set_config('tenantry.proof', tenantry.proof_of($3), true)`,
        [role, `${tenant.home.schema}, public, pg_temp`, tenant.id],
      )
      return await fn(async (text, values) => {
        await client.query('savepoint s')
        try {
          return (await client.query<Row>(text, values)).rows
        } catch (error) {
          await client.query('rollback to s')
          throw error
        }
      })
    } finally {
      await client.end()
    }
  }

  const emails = async (run: Run, from = 'users'): Promise<unknown[]> =>
    (await run(`select email from ${from} order by id`)).map(({ email }) => email)
  const protect = (call = "tenantry.protect('public.users')"): Promise<unknown> =>
    admin.query(`select ${call}`)

  test('a tenant sees and writes its own rows only, and the column fills itself', async () => {
    await protect()
    await as(a, async (run) => {
      expect(await emails(run)).toEqual(['a11@x', 'a12@x'])
      expect(await run("insert into users (email) values ('new@x') returning tenant_id")).toEqual([
        { tenant_id: a.id },
      ])
      expect(await run("update users set name = 'changed' returning email")).toHaveLength(3)
      expect(
        await run(`update users set name = 'changed' where tenant_id = '${b.id}' returning email`),
      ).toEqual([])
      expect(await run('delete from users returning email')).toHaveLength(3)
      await expect(run('insert into users (tenant_id) values ($1)', [b.id])).rejects.toMatchObject({
        code: '42501',
      })
    })
    await as(a, async (run) => {
      await expect(run('update users set tenant_id = $1', [b.id])).rejects.toMatchObject({ code: '42501' })
    })
    await as(b, async (run) => expect(await emails(run)).toEqual(['b11@x', 'b12@x']))
  })

  test('S27: without protect() the same grants show every row; with it, the setting alone shows none', async () => {
    await admin.query('grant select on users to tenantry_tenants')
    await as(a, async (run) => expect(await emails(run)).toHaveLength(4))
    await protect()
    await as(a, async (run) => {
      await run(`set local app.current_tenant = '${b.id}'`)
      expect(await emails(run)).toEqual([])
    })
  })

  test('work without a tenant sees and writes all rows, and pays for no policy', async () => {
    await protect()
    const { rows } = await app.query('select email from users')
    expect(rows).toHaveLength(4)
    await app.query("insert into users (tenant_id, email) values ($1, 'central@x')", [b.id])
    await expect(app.query("insert into users (email) values ('nobody@x')")).rejects.toMatchObject({
      code: '23502',
    })
    const plan = await app.query<Row>("explain (costs off) select * from users where lower(name) like 'x%'")
    expect(JSON.stringify(plan.rows)).not.toMatch(/InitPlan|current_tenant|tenant_id/)
  })

  test('S12: the owner is held by the policies too, and as the admin sees all rows', async () => {
    await protect()
    expect((await admin.query('select from users')).rowCount).toBe(4)
    await admin.transaction(async (tx) => {
      await tx.query(
        `select set_config('app.current_tenant', $1, true), set_config('tenantry.proof', tenantry.proof_of($1), true)`,
        [a.id],
      )
      expect((await tx.query('select from users')).rowCount).toBe(2)
    })
    const definer = `create function all_emails() returns setof text language sql security definer
      set search_path = pg_catalog, pg_temp as 'select email from public.users order by id';
      grant execute on function all_emails() to tenantry_tenants`
    await admin.query(definer)
    await as(a, async (run) => expect(await run('select all_emails() as e')).toHaveLength(2))
    // Without a context the owner sees all rows, but not where somebody else has connected.
    await as(a, async (run) => {
      await run("set local app.current_tenant = ''")
      expect(await run('select all_emails() as e')).toEqual([])
    })
    // The control: without FORCE the owner's function shows everything.
    await admin.query('alter table users no force row level security')
    await as(a, async (run) => expect(await run('select all_emails() as e')).toHaveLength(4))
    await admin.query('drop function all_emails()')
  })

  test('S13: row_security = off is an error and no way round', async () => {
    await protect()
    await as(a, async (run) => {
      await run('set local row_security = off')
      await expect(run('select * from users')).rejects.toMatchObject({ code: '42501' })
    })
    await expect(
      admin.transaction(async (tx) => {
        await tx.query('set local row_security = off')
        await tx.query('select * from users')
      }),
    ).rejects.toMatchObject({ code: '42501' })
  })

  test('S14: COPY FROM is refused with a message that names INSERT; COPY TO gives the tenant’s rows', async () => {
    await protect()
    await as(a, async (run) => {
      await expect(run('copy users (email) from stdin')).rejects.toMatchObject({
        code: '0A000',
        hint: expect.stringContaining('INSERT') as unknown,
      })
    })
  })

  test('S11: TRUNCATE is not granted; with it the rows of all tenants are gone', async () => {
    await admin.query('grant truncate, references, trigger on users to tenantry_tenants, public')
    await as(a, async (run) => {
      await run('truncate users')
      await run('reset role')
    })
    await protect()
    await as(a, async (run) => {
      await expect(run('truncate users')).rejects.toMatchObject({ code: '42501' })
      await expect(
        run(`create table ${a.home.schema}.child (id integer references users)`),
      ).rejects.toMatchObject({ code: '42501' })
    })
  })

  test('upserts: on one’s own row they update; on another’s they are refused, which tells that it is there (S9)', async () => {
    await protect()
    const upsert =
      "insert into users (email) values ($1) on conflict (email) do update set name = 'again' returning name"
    await as(a, async (run) => {
      expect(await run(upsert, ['a11@x'])).toEqual([{ name: 'again' }])
      await expect(run(upsert, ['b11@x'])).rejects.toMatchObject({ code: '42501' })
      expect(
        await run('insert into users (email) values ($1) on conflict do nothing returning id', ['b11@x']),
      ).toEqual([])
    })
    await admin.query('alter table users drop constraint users_email_key, add unique (tenant_id, email)')
    await as(a, async (run) => {
      const again = upsert.replace('(email) do', '(tenant_id, email) do')
      expect(await run(again, ['b11@x'])).toEqual([{ name: null }])
      expect(await run(again, ['b11@x'])).toEqual([{ name: 'again' }])
    })
  })

  test('the plan: one InitPlan, and the index led by the tenant’s column', async () => {
    await admin.query(
      `insert into users (tenant_id, name) select gen_random_uuid(), 'n' from generate_series(1, 10000)`,
    )
    await protect()
    await admin.query('analyze users')
    const plan = await as(a, (run) => run('explain (costs off) select * from users'))
    const text = plan.map((row) => row['QUERY PLAN']).join('\n')
    expect(text).toContain('InitPlan 1')
    expect(text).not.toContain('InitPlan 2')
    expect(text).toMatch(/Index Scan using users_tenant_id_idx|Bitmap Index Scan on users_tenant_id_idx/)
    expect(text).toMatch(/Index Cond: \(tenant_id = /)
  })

  test('it may be run again, and makes neither a second index nor a second policy', async () => {
    const state = (): Promise<Row[]> =>
      db.sql(`select polname as name, pg_get_expr(polqual, polrelid) as what from pg_policy where polrelid = 'users'::regclass
        union all select indexrelid::regclass::text, '' from pg_index where indrelid = 'users'::regclass
        union all select 'acl', relacl::text from pg_class where oid = 'users'::regclass order by 1`)
    await protect()
    const before = await state()
    await protect()
    expect(await state()).toEqual(before)
    expect(before.map(({ name }) => name)).toEqual(
      expect.arrayContaining([
        'tenantry_admin',
        'tenantry_central',
        'tenantry_tenant',
        'users_tenant_id_idx',
      ]),
    )
  })

  test('rights may be fewer', async () => {
    await protect("tenantry.protect('public.users', rights => 'select, UPDATE')")
    await as(a, async (run) => {
      expect(await emails(run)).toHaveLength(2)
      expect(await run('update users set name = null returning id')).toHaveLength(2)
      await expect(run('delete from users')).rejects.toMatchObject({ code: '42501' })
    })
  })

  test('unprotect() takes it back', async () => {
    await protect()
    await protect("tenantry.unprotect('public.users')")
    expect(await db.sql("select from pg_policy where polrelid = 'users'::regclass")).toEqual([])
    expect(
      await db.sql(
        "select from pg_class where oid = 'users'::regclass and (relrowsecurity or relforcerowsecurity)",
      ),
    ).toEqual([])
    await as(a, async (run) => expect(run('select * from users')).rejects.toMatchObject({ code: '42501' }))
  })

  describe('the column’s type', () => {
    test.for([
      ['text', true],
      ['text collate "C"', true],
      ['varchar(64)', true],
      ['char(36)', true],
    ] as const)('%s: the plan uses the index', async ([type]) => {
      await admin.query(`create table plain (org ${type}, id integer);
        insert into plain select id, 1 from tenantry.tenants;
        insert into plain select n::text, n from generate_series(1, 5000) n`)
      await protect("tenantry.protect('plain', 'org')")
      await admin.query('analyze plain')
      await as(a, async (run) => {
        expect(await run('select org from plain')).toEqual([{ org: a.id }])
        expect(await run('insert into plain (id) values (2) returning org')).toEqual([{ org: a.id }])
        expect(JSON.stringify(await run('explain select * from plain'))).toContain('plain_org_idx')
      })
    })

    test('bigint: an id that is not written like the number is another tenant’s, and sees nothing', async () => {
      await admin.query(`
        create table plain (org bigint, id integer);
        insert into plain values (7, 1), (8, 2);
        insert into tenantry.tenants (id, status, name, plan, settings, model, tier, schema_name, role_name, owner_role, epoch)
        select t.id, 'active', '', '', '{}', 'shared', 'guarded', 's', 'r', 'o', 1 from (values ('7'), ('07'), ('+7')) t (id)`)
      await protect("tenantry.protect('plain', 'org')")
      const seen = (id: string): Promise<Row[]> =>
        as({ ...a, id }, (run) => run('select org::text from plain'))
      expect(await seen('7')).toEqual([{ org: '7' }])
      expect(await seen('07')).toEqual([])
      expect(await seen('+7')).toEqual([])
      await expect(seen(a.id)).rejects.toMatchObject({ code: '22P02' })
      await admin.query("delete from tenantry.tenants where id in ('7', '07', '+7')")
    })

    test('numeric: 7 and 7.0 are one number and two tenants', async () => {
      const ids = ['7', '7.0', '7.00', '07', '70', 'NaN']
      await admin.query(`
        create table plain (org numeric, id integer);
        insert into plain values (7, 1), (8, 2), (70, 3);
        insert into tenantry.tenants (id, status, name, plan, settings, model, tier, schema_name, role_name, owner_role, epoch)
        select id, 'active', '', '', '{}', 'shared', 'guarded', 's', 'r', 'o', 1 from unnest('{${ids.join()}}'::text[]) id`)
      await protect("tenantry.protect('plain', 'org')")
      const seen = (id: string): Promise<unknown[]> =>
        as({ ...a, id }, async (run) => (await run('select id from plain')).map((row) => row['id']))
      expect(await Promise.all(ids.map(seen))).toEqual([[1], [], [], [], [3], []])
      await as({ ...a, id: '7.0' }, async (run) => {
        await expect(run('insert into plain (id) values (4)')).rejects.toMatchObject({ code: '42501' })
      })
      // The control: that the text comes back as it was says nothing of the number.
      await admin.query(`alter policy tenantry_tenant on plain using (org = (select c.id::numeric
        from (select tenantry.current_tenant() as id offset 0) c where c.id::numeric::text = c.id))`)
      expect(await seen('7.0')).toEqual([1])
      await admin.query(`delete from tenantry.tenants where id = any ('{${ids.join()}}')`)
    })

    test('a length does not cut an id', async () => {
      await admin.query(
        `create table plain (org varchar(8), id integer); insert into plain select left(id, 8), 1 from tenantry.tenants`,
      )
      await protect("tenantry.protect('plain', 'org')")
      await as(a, async (run) => {
        expect(await run('select * from plain')).toEqual([])
        await expect(run('insert into plain (id) values (1)')).rejects.toMatchObject({ code: '22001' })
      })
    })
  })

  test('S30: partitions and children are protected alike, and a tenant reaches them through the parent only', async () => {
    await admin.query(`
      create table events (tenant_id uuid, at date, note text) partition by range (at);
      create table events_2026 partition of events for values from ('2026-01-01') to ('2027-01-01') partition by list (note);
      create table events_2026_x partition of events_2026 default;
      create table teams (tenant_id uuid, name text);
      create table big_teams (size integer) inherits (teams);
      insert into events select id::uuid, '2026-05-05', 'e' from tenantry.tenants;
      insert into big_teams select id::uuid, 't', 9 from tenantry.tenants;
      grant select on events, events_2026_x, teams, big_teams to tenantry_tenants`)
    // The control: a policy on the parent alone leaves the partition open.
    await admin.query(`alter table events enable row level security; alter table events force row level security;
      create policy p on events as restrictive using (tenant_id = (select tenantry.current_tenant()::uuid))`)
    await as(a, async (run) => expect(await run('select from events_2026_x')).toHaveLength(2))
    await protect("tenantry.protect('events'), tenantry.protect('teams')")
    await as(a, async (run) => {
      expect(await run('select from events')).toHaveLength(1)
      expect(await run('select from teams')).toHaveLength(1)
      for (const part of ['events_2026', 'events_2026_x', 'big_teams']) {
        await expect(run(`select from ${part}`), part).rejects.toMatchObject({ code: '42501' })
      }
    })
    await admin.query('grant select on events_2026_x, big_teams to tenantry_tenants')
    await as(a, async (run) => {
      expect(await run('select from events_2026_x')).toHaveLength(1)
      expect(await run('select from big_teams')).toHaveLength(1)
    })
  })

  test('a serial column counts on for tenants', async () => {
    await admin.query('create table plain (id serial primary key, tenant_id uuid)')
    await protect("tenantry.protect('plain')")
    await as(a, async (run) =>
      expect(await run('insert into plain default values returning id')).toEqual([{ id: 1 }]),
    )
  })

  describe('refused, with what to do', () => {
    test.for([
      ['a view', 'create view v as select * from users', 'v', '42809', 'security_invoker'],
      ['no such column', 'create table plain (id integer)', 'plain', '42703', 'account_id'],
      ['a type that takes ids for the same', 'create table plain (tenant_id name)', 'plain', '42804', 'uuid'],
      [
        'a length of a domain',
        'create domain short as json; create table plain (tenant_id short)',
        'plain',
        '42804',
        'uuid',
      ],
      [
        'a permissive policy beside',
        'create policy mine on users using (true)',
        'users',
        '55000',
        'RESTRICTIVE',
      ],
      ['a table of the catalog', 'select', 'tenantry.keys', '42809', 'share on purpose'],
    ] as const)('%s', async ([, prepare, target, code, hint]) => {
      const client = new pg.Client(db.adminUrl)
      await client.connect()
      try {
        await client.query('begin')
        await client.query(prepare)
        await expect(client.query(`select tenantry.protect('${target}')`)).rejects.toMatchObject({
          code,
          hint: expect.stringContaining(hint) as unknown,
        })
      } finally {
        await client.end()
      }
    })

    test('TRUNCATE among the rights', async () => {
      await expect(protect("tenantry.protect('users', rights => 'select, truncate')")).rejects.toMatchObject({
        code: '22023',
      })
    })

    test('a table in a tenant’s schema, and a tenant that calls it', async () => {
      await db.sql(`create table ${a.home.schema}.mine (tenant_id uuid)`)
      await expect(db.sql(`select tenantry.protect('${a.home.schema}.mine')`)).rejects.toMatchObject({
        code: '42809',
      })
      await as(a, async (run) => {
        await expect(run("select tenantry.protect('public.users')")).rejects.toMatchObject({ code: '42501' })
        await expect(run("select tenantry.unprotect('public.users')")).rejects.toMatchObject({
          code: '42501',
        })
      })
    })
  })

  // The programs of Debian and of CI are of this version, and a newer server refuses to be dumped by them.
  if (version === 15) {
    const pgDump = spawnSync('pg_dump', ['--version']).status === 0
    test.skipIf(!pgDump)(
      'pg_dump by the admin login has all rows, and no dump is silently short',
      async () => {
        await protect()
        const dump = async (...options: string[]): Promise<string> =>
          (await promisify(execFile)('pg_dump', [...options, '--table=public.users', db.adminUrl])).stdout
        const text = await dump('--enable-row-security')
        for (const email of ['a11@x', 'a12@x', 'b11@x', 'b12@x']) expect(text).toContain(email)
        expect(text).toContain('CREATE POLICY tenantry_tenant')
        await expect(dump()).rejects.toThrow('row-level security')
      },
    )
  }

  test('what pg_dump --enable-row-security sends gives the admin all rows', async () => {
    await protect()
    const client = new pg.Client(db.adminUrl)
    await client.connect()
    try {
      await client.query("set row_security = on; select set_config('search_path', '', false)")
      const copied = await client.query('copy public.users (id, tenant_id, email, name) to stdout')
      expect(copied.rowCount).toBe(4)
    } finally {
      await client.end()
    }
  })
})
