/** Each rule of the lint with objects that it must find, and the same made right, which it must not. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createControlPlane } from '../../src/control-plane.ts'
import type { AdminDatabase } from '../../src/core/database.ts'
import type { Tenant } from '../../src/core/tenant.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import type { LintFinding } from '../../src/isolation/lint/finding.ts'
import { type LintOptions, lintDatabase, lintRules } from '../../src/isolation/lint/lint-database.ts'
import { outsideOfSubselects } from '../../src/isolation/lint/policies.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { describeOnVersions } from '../support/versions.ts'

describeOnVersions('lint', [18], (version) => {
  let db: TestDatabase
  let admin: AdminDatabase
  let tenants: Tenant[]

  beforeAll(async () => {
    db = await createTestDatabase({ version })
    admin = createAdminDatabase(db.adminUrl)
    const control = createControlPlane({ connection: db.adminUrl, migrations: {} })
    tenants = [await control.tenants.create({ key: 'a1' }), await control.tenants.create({ key: 'b1' })]
    await control.close()
  })
  afterAll(async () => {
    await admin.close()
    await db.drop()
  })
  /** A table as it should be, in a schema that each test has to itself. */
  beforeEach(async () => {
    await admin.query(`
      drop schema if exists good cascade;
      create schema good;
      grant usage on schema good to tenantry_tenants;
      create table good.users (id uuid primary key default gen_random_uuid(), tenant_id uuid not null, email text, at date,
        unique (tenant_id, id), unique (tenant_id, email));
      select tenantry.protect('good.users')`)
  })

  const lint = async (options: LintOptions = {}, as = admin): Promise<LintFinding[]> =>
    lintDatabase(as, options)
  /** As `severity rule object`, sorted. */
  const said = async (options?: LintOptions): Promise<string[]> =>
    (await lint(options)).map(({ severity, rule, object }) => `${severity} ${rule} ${object}`)

  /** What the statement adds to what is found; and that the way out takes it away again. */
  async function finds(
    bad: string,
    good: string,
    expected: readonly string[],
    options: LintOptions = {},
  ): Promise<void> {
    const before = await said(options)
    await admin.query(bad)
    expect((await said(options)).filter((line) => !before.includes(line))).toEqual(expected)
    await admin.query(good)
    expect(await said(options)).toEqual(before)
  }

  test('nothing is found in an installation with protected tables, whoever asks', async () => {
    expect(await lint()).toEqual([])
    const superuser = createAdminDatabase(db.superuserUrl)
    expect(await lint({}, superuser)).toEqual([])
    await superuser.close()
  })

  test('every rule has a name of its own, says why and what to do', () => {
    const rules = lintRules()
    expect(new Set(rules.map(({ name }) => name)).size).toBe(rules.length)
    for (const rule of rules) {
      expect(rule.name).toMatch(/^[a-z]+(-[a-z]+)+$/)
      expect(rule.reason('x')).toMatch(/^[A-Z].*\.$/)
      expect(rule.wayOut('x', 'y').length).toBeGreaterThan(10)
    }
  })

  describe('tables that carry a tenant', () => {
    test('S27: without a policy', async () => {
      await finds(
        'create table good.notes (id uuid primary key, tenant_id uuid); create index on good.notes (tenant_id)',
        "select tenantry.protect('good.notes')",
        ['warning tenant-table-without-policy good.notes'],
      )
      await finds(
        'alter table good.users disable row level security',
        'alter table good.users enable row level security',
        ['error tenant-table-without-policy good.users'],
      )
    })

    test('by another name of the column', async () => {
      await finds(
        'create table good.notes (org_id uuid primary key)',
        "select tenantry.protect('good.notes', 'org_id')",
        ['warning tenant-table-without-policy good.notes'],
        { tenantColumns: ['tenant_id', 'org_id'] },
      )
      await admin.query('drop table good.notes; create table good.notes (org_id uuid primary key)')
      expect(await said()).toEqual([])
    })

    test('S12: not forced', async () => {
      await finds(
        'alter table good.users no force row level security',
        'alter table good.users force row level security',
        ['error policies-not-forced good.users'],
      )
    })

    test('S30: a partition in reach', async () => {
      await admin.query(`create table good.events (tenant_id uuid, at date) partition by range (at);
        select tenantry.protect('good.events')`)
      await finds(
        `create table good.events_1 partition of good.events default;
         grant select on good.events_1 to tenantry_tenants`,
        "select tenantry.protect('good.events')",
        ['error partition-in-reach good.events_1'],
      )
    })

    test('without an index', async () => {
      await admin.query(`create table good.notes (at date, tenant_id uuid, primary key (tenant_id, at));
        select tenantry.protect('good.notes')`)
      await finds(
        'alter table good.notes drop constraint notes_pkey; create index n on good.notes (at, tenant_id)',
        'drop index good.n; create index on good.notes (tenant_id)',
        ['warning tenant-column-without-index good.notes'],
      )
    })

    test('S9: unique over all tenants', async () => {
      await finds(
        'create unique index u on good.users (at)',
        'drop index good.u; create unique index u on good.users (at, tenant_id)',
        ['warning unique-across-tenants good.users.u'],
      )
      await finds(
        `create table good.notes (id bigint primary key, tenant_id uuid); select tenantry.protect('good.notes')`,
        'drop table good.notes',
        ['advice unique-across-tenants good.notes.notes_pkey'],
      )
      await admin.query(`create table good.notes (tenant_id text, n text, primary key (n, tenant_id));
        select tenantry.protect('good.notes')`)
      expect(await said()).toEqual([])
    })

    test('S10: foreign keys that are not led by the tenant, from tenants’ schemas too', async () => {
      await finds(
        `create table good.notes (tenant_id uuid, user_id uuid, foreign key (user_id) references good.users (id));
         select tenantry.protect('good.notes')`,
        `alter table good.notes drop constraint notes_user_id_fkey,
           add foreign key (tenant_id, user_id) references good.users (tenant_id, id)`,
        ['warning foreign-key-across-tenants good.notes.notes_user_id_fkey'],
      )
      for (const { home } of tenants) {
        await db.sql(`create table ${home.schema}.notes (user_id uuid references good.users (id))`)
      }
      const found = (await lint()).filter(({ rule }) => rule === 'foreign-key-across-tenants')
      expect(found).toMatchObject([
        {
          object: `${tenants[0]?.home.schema}.notes.notes_user_id_fkey`,
          schemas: 2,
          severity: 'warning',
          threat: 'S10',
        },
      ])
      for (const { home } of tenants) await db.sql(`drop table ${home.schema}.notes`)
    })
  })

  describe('policies', () => {
    const other = async (policy: string, expected: readonly string[]): Promise<void> =>
      finds(`create policy mine on good.users ${policy}`, 'drop policy mine on good.users', expected)

    test('S27: on a setting alone', async () => {
      await other(
        "using (tenant_id = (select nullif(current_setting('app.current_tenant', true), '')::uuid))",
        ['warning policy-on-a-setting good.users.mine'],
      )
      await other('using (tenant_id = (select tenantry.current_tenant()::uuid))', [])
      await other(
        `using (tenant_id = (select tenantry.current_tenant()::uuid)
           and at > (select nullif(current_setting('app.since', true), '')::date))`,
        [],
      )
      await other(
        "as restrictive using (at > (select nullif(current_setting('app.since', true), '')::date))",
        [],
      )
    })

    test('asked for each row', async () => {
      await other('using (tenant_id = tenantry.current_tenant()::uuid)', [
        'advice policy-for-each-row good.users.mine',
      ])
    })

    test('S21: without nullif', async () => {
      await other(
        "as restrictive using (tenant_id = (select current_setting('app.current_tenant', true)::uuid))",
        ['advice policy-without-nullif good.users.mine'],
      )
    })

    test('S27: that looks at something else than the tenant', async () => {
      await other('using (true)', ['error policy-without-tenant good.users.mine'])
      await other("to tenantry_tenants using (email like '%@example.com')", [
        'error policy-without-tenant good.users.mine',
      ])
      await other('as restrictive using (true)', [])
      await other('using (false)', [])
      await other('to tenantry_app using (true)', [])
    })
  })

  describe('the rights of others', () => {
    test('S7: a definer’s function whose path is the caller’s', async () => {
      const make = (how: string): string =>
        `create function good.f() returns bigint language sql security definer ${how} as 'select count(*) from good.users';
         revoke execute on function good.f() from public; grant execute on function good.f() to tenantry_tenants`
      await finds(make(''), 'alter function good.f() set search_path = pg_catalog, pg_temp', [
        'error definer-function-with-mutable-path good.f()',
      ])
      await admin.query('drop function good.f()')
      await finds(make(`set search_path = "$user", public`), 'drop function good.f()', [
        'error definer-function-with-mutable-path good.f()',
      ])
      const atomic = `create function good.f() returns bigint language sql security definer begin atomic select 1; end;
        revoke execute on function good.f() from public`
      await finds(atomic, 'drop function good.f()', [])
    })

    test('S7: a definer’s function for everybody', async () => {
      await finds(
        `create function good.f() returns integer language sql security definer set search_path = pg_catalog, pg_temp as 'select 1'`,
        'revoke execute on function good.f() from public',
        ['warning definer-function-for-everybody good.f()'],
      )
    })

    test('S8: a view with its owner’s rights, however deep the table', async () => {
      await finds(
        `create view good.v as select * from good.users; grant select on good.v to tenantry_tenants`,
        'alter view good.v set (security_invoker = true)',
        ['warning view-with-rights-of-its-owner good.v'],
      )
      await finds(
        `create view good.w as select email from good.v`,
        'alter view good.w set (security_invoker = on)',
        ['advice view-with-rights-of-its-owner good.w'],
      )
      await db.sql('create view good.s as select * from good.users; grant select on good.s to public')
      expect(await said()).toContain('error view-with-rights-of-its-owner good.s')
      await db.sql('drop view good.s')
      await finds('create view good.x as select 1 as one', 'drop view good.x', [])
    })

    test('S8: a materialized view over tenants', async () => {
      await finds(
        'create materialized view good.m as select * from good.users; grant select on good.m to tenantry_tenants',
        'drop materialized view good.m',
        ['error materialized-view-over-tenants good.m'],
      )
      await finds(
        'create materialized view good.m as select * from good.users',
        'drop materialized view good.m',
        ['warning materialized-view-over-tenants good.m'],
      )
    })

    test('S31: a shared function that takes a row type by the caller’s path', async () => {
      const make = (body: string): string =>
        `set check_function_bodies = off;
         create function good.f() returns void language plpgsql as $$ declare r ${body}; begin end $$`
      await finds(make('orders%rowtype'), 'drop function good.f()', [
        'warning row-type-in-shared-function good.f()',
      ])
      await finds(make('orders.id % TYPE'), 'drop function good.f()', [
        'warning row-type-in-shared-function good.f()',
      ])
      await finds(make('record'), 'drop function good.f()', [])
    })
  })

  describe('grants', () => {
    test('S11: TRUNCATE', async () => {
      await finds(
        'grant truncate on good.users to tenantry_tenants',
        'revoke truncate on good.users from tenantry_tenants',
        ['error truncate-granted good.users'],
      )
      const role = tenants[0]?.home.role ?? ''
      await finds(`grant truncate on good.users to ${role}`, `revoke truncate on good.users from ${role}`, [
        'error truncate-granted good.users',
      ])
      await finds(
        'grant truncate on good.users to tenantry_app',
        'revoke truncate on good.users from tenantry_app',
        [],
      )
    })

    test('to everybody', async () => {
      await finds('grant select, update on good.users to public', 'revoke all on good.users from public', [
        'warning table-open-to-everybody good.users',
      ])
      const schema = tenants[0]?.home.schema ?? ''
      await db.sql(
        `create table ${schema}.t (); grant select on ${schema}.t to public; grant usage on schema ${schema} to public`,
      )
      expect(await said()).toEqual([
        `error schema-open-to-everybody ${schema}`,
        `error table-open-to-everybody ${schema}.t`,
      ])
      await db.sql(`drop table ${schema}.t; revoke usage on schema ${schema} from public`)
    })

    test('S1: to make objects in a schema that tenants share', async () => {
      await finds(
        'grant create on schema good to tenantry_tenants',
        'revoke create on schema good from tenantry_tenants',
        ['error schema-open-to-everybody good'],
      )
    })

    test('S12: a role of tenants that no policy holds', async () => {
      const role = `lint_${version}_${db.name}`
      await db.sql(`create role ${role} bypassrls; grant tenantry_tenants to ${role}`)
      try {
        expect(await said()).toEqual([`error tenant-role-above-policies ${role}`])
        await db.sql(`alter role ${role} nobypassrls`)
        expect(await said()).toEqual([])
      } finally {
        await db.sql(`drop role ${role}`)
      }
    })

    test('S13: row_security is off by default', async () => {
      await db.sql(`alter database ${db.name} set row_security = off`)
      expect(await said()).toEqual([`warning row-security-switched-off database ${db.name}`])
      await db.sql(
        `alter database ${db.name} reset row_security; alter role tenantry_app in database ${db.name} set row_security = 'false'`,
      )
      expect(await said()).toEqual([
        `warning row-security-switched-off role tenantry_app in database ${db.name}`,
      ])
      await db.sql(`alter role tenantry_app in database ${db.name} reset row_security`)
      expect(await said()).toEqual([])
    })
  })

  describe('S25: extensions', () => {
    test('one that reaches out', async () => {
      await db.sql('create extension dblink schema good')
      expect(await said()).toEqual(['error risky-extension dblink'])
      expect(await said({ allowedExtensions: ['dblink'] })).toEqual([])
      await db.sql('revoke execute on all functions in schema good from public')
      expect(await said()).toEqual(['advice risky-extension dblink'])
      await db.sql('drop extension dblink')
    })

    test('one that nobody has looked at', async () => {
      await db.sql('create extension sslinfo schema good')
      expect(await said()).toEqual(['warning unknown-extension sslinfo'])
      expect(await said({ allowedExtensions: ['sslinfo'] })).toEqual([])
      await db.sql('drop extension sslinfo; create extension citext schema good')
      expect(await said()).toEqual([])
      await db.sql('drop extension citext')
    })
  })

  describe('indexes that tenants cannot use', () => {
    test.for([
      ['lower(email)', 'an expression'],
      ['email text_pattern_ops', 'email (text_pattern_ops)'],
      ['tenant_id, price', 'price (numeric_ops)'],
    ] as const)('on (%s)', async ([columns, named]) => {
      await admin.query('alter table good.users add price numeric, add document jsonb')
      await admin.query(`create index i on good.users (${columns})`)
      expect(await lint()).toMatchObject([
        {
          rule: 'index-behind-policy',
          object: 'good.users.i',
          severity: 'advice',
          reason: expect.stringContaining(named) as unknown,
        },
      ])
    })

    test('gin over jsonb', async () => {
      await admin.query(
        'alter table good.users add document jsonb; create index i on good.users using gin (document)',
      )
      expect(await said()).toEqual(['advice index-behind-policy good.users.i'])
    })

    test('bigint, text, uuid, date and timestamps are fine', async () => {
      await admin.query(`alter table good.users add n bigint, add t timestamptz;
        create index on good.users (tenant_id, n); create index on good.users (t); create index on good.users (email)`)
      expect(await said()).toEqual([])
    })
  })
})

describeOnVersions('lint', [15, 16, 17], (version) => {
  test('every rule is understood, and one is broken here and there', async () => {
    const db = await createTestDatabase({ version })
    const admin = createAdminDatabase(db.adminUrl)
    try {
      expect(await lintDatabase(admin)).toEqual([])
      await admin.query(`
        create table notes (tenant_id uuid, body text);
        create index on notes (lower(body));
        create view shown as select * from notes;
        create materialized view kept as select * from notes;
        create function f() returns integer language sql security definer as 'select 1';
        grant truncate on notes to tenantry_tenants`)
      const found = (await lintDatabase(admin)).map(({ rule }) => rule)
      expect(found.toSorted()).toEqual([
        'definer-function-for-everybody',
        'definer-function-with-mutable-path',
        'materialized-view-over-tenants',
        'tenant-column-without-index',
        'tenant-table-without-policy',
        'truncate-granted',
        'view-with-rights-of-its-owner',
      ])
      await admin.query("select tenantry.protect('notes')")
      expect((await lintDatabase(admin)).map(({ rule }) => rule)).toContain('index-behind-policy')
    } finally {
      await admin.close()
      await db.drop()
    }
  })
})

test('the text of a policy without its sub-selects', () => {
  expect(outsideOfSubselects('(a = ( SELECT f((1)) AS f)) AND (b = g(2))')).toBe('(a = ) AND (b = g(2))')
  expect(outsideOfSubselects('(selected = 1)')).toBe('(selected = 1)')
})
