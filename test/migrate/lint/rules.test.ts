/** Each rule with statements that it is for and statements that it must leave alone. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { beforeAll, describe, expect, test } from 'vitest'
import { MIGRATION_RULES, type MigrationRuleName } from '../../../src/core/migration-lint.ts'
import { checkSql } from '../../../src/migrate/files/check-sql.ts'
import { type IgnoredRule, type Migration, USUAL_OPTIONS } from '../../../src/migrate/files/migration.ts'
import {
  lintMigrations,
  type LintInput,
  type MigrationFinding,
} from '../../../src/migrate/lint/lint-migrations.ts'
import { RULES } from '../../../src/migrate/lint/migration-rules.ts'
import { splitStatements } from '../../../src/migrate/shared-form/sql-nodes.ts'
import { loadParser } from '../../../src/sql/statement.ts'

beforeAll(loadParser)

/** Tables that were there before. */
const BEFORE = `create table customers (id bigint primary key, name text not null, email text);
create table orders (id bigint primary key, customer_id bigint references customers, note varchar(20), total int,
  at timestamptz, checked int constraint checked_there check (checked is not null));
create table settings (key text primary key, value text);
create index orders_total on orders (total);
create materialized view sums as select sum(total) from orders;
create view shown as select id from orders;
create type mood as enum ('sad');
create table moods (id bigint primary key, mood mood);
create domain amount as int;
create table bills (amount amount);
create domain positive as int check (value > 0);
create function stable_one() returns int language sql stable as 'select 1';
create function volatile_one() returns int language sql as 'select 1';`

const BEFORE_SHARED = `create table plans (name text primary key);
create table members (tenant_id uuid not null, id uuid primary key, email text);`

function migration(file: string, up: string, more: Partial<Migration> = {}): Migration {
  const checked = checkSql(up)
  const statements = 'statements' in checked ? checked.statements : splitStatements(up).map(({ at }) => at)
  return {
    name: file.replace(/^.*\/|\.sql$/g, ''),
    file,
    up,
    line: 1,
    statements,
    version: 1,
    checksum: createHash('sha256').update(up).digest('hex'),
    options: USUAL_OPTIONS,
    ignores: [],
    down: undefined,
    after: [],
    ...more,
  }
}

/** What is found in one tenant migration behind those of BEFORE. */
async function lint(
  sql: string,
  more: Partial<LintInput> & { readonly migration?: Partial<Migration> } = {},
) {
  const read = await lintMigrations({
    shared: [migration('shared/1.sql', BEFORE_SHARED)],
    tenant: [migration('tenant/1.sql', BEFORE), migration('tenant/2.sql', sql, more.migration)],
    sharing: 'some',
    ...more,
  })
  return read.flatMap(({ findings }) => findings).filter(({ file }) => file === 'tenant/2.sql')
}

async function lintShared(sql: string): Promise<readonly MigrationFinding[]> {
  const read = await lintMigrations({
    shared: [migration('shared/1.sql', BEFORE_SHARED), migration('shared/2.sql', sql)],
    tenant: [migration('tenant/1.sql', BEFORE)],
  })
  return read.flatMap(({ findings }) => findings).filter(({ file }) => file === 'shared/2.sql')
}

const rulesOf = (findings: readonly MigrationFinding[]): MigrationRuleName[] =>
  findings.map(({ rule }) => rule)
const ALONE = { migration: { options: { transaction: false, batch: false } } }
const BATCH = { migration: { options: { transaction: true, batch: true } } }
const DEFINER = 'create function f() returns int language sql security definer'

interface Case {
  readonly rule: MigrationRuleName
  readonly finds: readonly string[]
  readonly leaves: readonly string[]
  readonly options?: Parameters<typeof lint>[1]
}

const CASES: readonly Case[] = [
  {
    rule: 'index-not-concurrent',
    finds: [
      'create index on orders (at)',
      'create unique index u on orders (note)',
      'create index on sums (sum)',
    ],
    leaves: [
      'create table fresh (id bigint); create index on fresh (id)',
      'create temp table t (a int); create index on t (a)',
    ],
  },
  {
    rule: 'index-not-concurrent',
    finds: ['create index on orders (at)'],
    leaves: ['create index concurrently on orders (at)'],
    options: ALONE,
  },
  {
    rule: 'reindex-not-concurrent',
    finds: ['reindex table orders', 'reindex index orders_total'],
    leaves: ['reindex (concurrently) table orders'],
    options: ALONE,
  },
  {
    rule: 'refresh-not-concurrent',
    finds: ['refresh materialized view sums'],
    leaves: ['refresh materialized view concurrently sums', 'refresh materialized view sums with no data'],
  },
  {
    rule: 'constraint-builds-index',
    finds: ['alter table orders add unique (note)', 'alter table settings add column n int unique'],
    leaves: [
      'alter table orders add constraint u unique using index i',
      'create table f (a int); alter table f add unique (a)',
    ],
  },
  {
    rule: 'exclusion-constraint',
    finds: ['alter table orders add exclude using gist (note with =)'],
    leaves: ['create table f (a int, exclude using btree (a with =))'],
  },
  {
    rule: 'foreign-key-scans',
    finds: [
      'alter table orders add foreign key (total) references customers',
      'alter table orders add column c bigint default 1 references customers',
    ],
    leaves: [
      'alter table orders add foreign key (total) references customers not valid',
      'alter table orders add column c bigint references customers',
      'create table f (c bigint references customers)',
    ],
  },
  {
    rule: 'check-scans',
    finds: ['alter table orders add check (total > 0)', 'alter table orders add column c int check (c > 0)'],
    leaves: ['alter table orders add check (total > 0) not valid', 'create table f (a int check (a > 0))'],
  },
  {
    rule: 'not-null-scans',
    finds: [
      'alter table orders alter column total set not null',
      'alter table orders add constraint c not null total',
    ],
    leaves: [
      'alter table orders alter column checked set not null',
      'alter table customers alter column name set not null',
      'alter table orders add constraint c not null total not valid',
      'create table f (a int); alter table f alter a set not null',
    ],
  },
  {
    rule: 'attach-scans',
    finds: [
      'create table p (id int) partition by range (id); alter table p attach partition orders for values from (1) to (2)',
    ],
    leaves: [
      'alter table p detach partition orders',
      'create table q (id int); alter table p attach partition q default',
    ],
  },
  {
    rule: 'domain-scans',
    finds: ['alter domain amount add check (value > 0)'],
    leaves: [
      'alter domain amount add check (value > 0) not valid',
      'alter domain amount set default 1',
      'alter domain other add check (value > 0)',
    ],
  },
  {
    rule: 'validate-under-lock',
    finds: [
      'alter table orders add constraint c check (total > 0) not valid; alter table orders validate constraint c',
    ],
    leaves: [
      'alter table orders validate constraint c',
      'alter table bills add x int; alter table orders validate constraint c',
    ],
  },
  {
    rule: 'backfill-under-lock',
    finds: [
      'alter table orders add column c int; update orders set c = 1 where id = 5',
      'alter table bills add x int; create index on orders (at)',
    ],
    leaves: [
      'alter table orders add column c int',
      "create table f (a int); alter table f add b int; update orders set note = 'x' where id = 1",
      "alter table orders add column c int; insert into settings values ('a', 'b')",
    ],
  },
  {
    rule: 'backfill-at-once',
    finds: [
      'update orders set total = 1',
      'update orders set total = 1 where total is null',
      'delete from orders where at < now()',
      'do $$ begin update orders set total = 1; end $$',
    ],
    leaves: [
      'create table f (a int); update f set a = 1',
      "update settings set value = 'x' where key = 'y'",
      'delete from orders where id in (1, 2) and total > 4',
    ],
  },
  {
    rule: 'backfill-at-once',
    finds: [],
    leaves: [
      'update orders set total = 1 where id in (select id from orders where total is null limit 1000)',
    ],
    options: BATCH,
  },
  {
    rule: 'volatile-default',
    finds: [
      'alter table orders add c uuid default gen_random_uuid()',
      'alter table orders add c int default volatile_one() + 1',
    ],
    leaves: [
      'alter table orders add c timestamptz not null default now()',
      'alter table orders add c int default stable_one()',
      'alter table orders alter column total set default random()',
      'create table f (a uuid default gen_random_uuid())',
    ],
  },
  {
    rule: 'identity-column',
    finds: [
      'alter table orders add c bigserial',
      'alter table orders add c bigint generated always as identity',
    ],
    leaves: ['alter table orders add c bigint', 'create table f (a bigint generated always as identity)'],
  },
  {
    rule: 'generated-column',
    finds: ['alter table orders add c int generated always as (total * 2) stored'],
    leaves: ['alter table orders add c int generated always as (total * 2) virtual'],
  },
  {
    rule: 'type-change',
    finds: [
      'alter table orders alter total type bigint',
      'alter table orders alter note type varchar(10)',
      'alter table orders alter note type text using upper(note)',
    ],
    leaves: [
      'alter table orders alter note type varchar(40)',
      'alter table orders alter note type text',
      'create table f (a int); alter table f alter a type bigint',
    ],
  },
  {
    rule: 'table-rewrite',
    finds: [
      'alter table orders set unlogged',
      'cluster orders using orders_total',
      'alter table orders add c positive',
    ],
    leaves: [
      'alter table orders set (fillfactor = 80)',
      'alter table orders alter total type bigint',
      'vacuum orders',
    ],
  },
  { rule: 'table-rewrite', finds: ['vacuum full orders'], leaves: ['vacuum orders'], options: ALONE },
  {
    rule: 'explicit-lock',
    finds: ['lock table orders', 'lock table orders in share mode'],
    leaves: ['lock table orders in row exclusive mode', 'create table f (a int); lock table f'],
  },
  {
    rule: 'lock-timeout-off',
    finds: ['set lock_timeout = 0', "set local lock_timeout = '0s'", 'set lock_timeout to default'],
    leaves: ["set local lock_timeout = '10s'", 'set local lock_timeout = 500', 'set statement_timeout = 0'],
  },
  {
    rule: 'required-column',
    finds: ['alter table orders add c int not null', 'alter table orders add c int not null default null'],
    leaves: [
      'alter table orders add c int not null default 5',
      'alter table orders add c bigint not null generated always as identity',
      'create table f (a int); alter table f add b int not null',
    ],
  },
  {
    rule: 'drop-column',
    finds: [
      'alter table orders drop column total',
      'do $$ begin alter table orders drop column total; end $$',
    ],
    leaves: [
      'create table f (a int, b int); alter table f drop column a',
      'alter table orders drop constraint checked_there',
    ],
  },
  {
    rule: 'drop-table',
    finds: ['drop table orders', 'drop view shown', 'drop materialized view if exists sums'],
    leaves: ['create table f (a int); drop table f', 'drop index orders_total', 'drop type mood'],
  },
  {
    rule: 'drop-cascade',
    finds: ['drop type mood cascade', 'alter table orders drop column id cascade'],
    leaves: ['drop type mood', 'create table f (a int); drop table f cascade'],
  },
  {
    rule: 'drop-not-null',
    finds: ['alter table customers alter name drop not null'],
    leaves: ['alter table customers alter name drop default'],
  },
  {
    rule: 'rename-column',
    finds: ['alter table orders rename total to sum', 'alter view shown rename column id to no'],
    leaves: [
      'create table f (a int); alter table f rename a to b',
      'alter table orders rename constraint checked_there to c',
    ],
  },
  {
    rule: 'rename-table',
    finds: ['alter table orders rename to purchases'],
    leaves: ['create table f (a int); alter table f rename to g', 'alter index orders_total rename to i'],
  },
  {
    rule: 'rename-enum-value',
    finds: ["alter type mood rename value 'sad' to 'blue'"],
    leaves: ["alter type mood add value 'calm'"],
  },
  { rule: 'truncate', finds: ['truncate orders, bills'], leaves: ['create table f (a int); truncate f'] },
  {
    rule: 'truncate-cascade',
    finds: ['truncate customers cascade'],
    leaves: ['truncate customers, orders', 'create table f (a int); truncate f cascade'],
  },
  {
    rule: 'enum-value-used',
    finds: [
      "alter type mood add value 'calm'; insert into moods values (1, 'calm')",
      "alter type mood add value 'calm'; alter table moods alter mood set default 'calm'",
      "alter type mood add value 'calm'; create table f (m mood default 'calm')",
      "alter type mood add value 'calm'; select 'calm'::mood",
    ],
    leaves: [
      "alter type mood add value 'calm'; insert into settings values ('calm', 'calm')",
      "create type state as enum ('on'); alter type state add value 'off'; create table f (s state default 'off')",
      "insert into moods values (1, 'sad'); alter type mood add value 'calm'",
    ],
  },
  {
    rule: 'not-repeatable',
    finds: [
      'create index concurrently i on orders (at); create index concurrently if not exists j on orders (note)',
    ],
    leaves: [
      'create index concurrently i on orders (at)',
      'create index concurrently if not exists i on orders (at); drop index concurrently if exists orders_total; vacuum orders',
    ],
    options: ALONE,
  },
  {
    rule: 'dynamic-sql',
    finds: ["do $$ begin execute 'select 1'; end $$"],
    leaves: [
      'do $$ begin update settings set value = 1; end $$',
      'do $$ begin /* execute */ perform 1; end $$',
    ],
  },
  {
    rule: 'hard-coded-schema',
    finds: [
      'select * from public.orders',
      'insert into tenant_acme.orders select * from orders',
      "select nextval('tenant_acme.orders_id_seq')",
      "select 'acme.orders'::regclass",
      'alter table orders add constraint f foreign key (total) references public.customers not valid',
      "create function f() returns bigint language sql as 'select id from public.orders'",
      'create function f() returns trigger language plpgsql as $$ declare n int; begin n := (select count(*) from acme.orders); return new; end $$',
      "create function f() returns int language sql set search_path = tenant_acme as 'select 1'",
      'do $$ begin perform 1 from acme.orders; end $$',
      'create table f (m public.mood)',
      'drop table public.orders',
    ],
    leaves: [
      'select * from public.plans',
      'alter table orders add constraint f foreign key (note) references public.plans not valid',
      "select public.gen_salt('bf')",
      'select orders.id from orders',
      "comment on column bills.amount is 'x'",
      'select * from pg_catalog.pg_class',
      "create function f() returns bigint language sql as 'select id from orders'",
    ],
  },
  {
    rule: 'ddl-outside-tenant',
    finds: [
      'create table public.fresh (a int)',
      'alter table public.plans add c int',
      "create function public.f() returns int language sql as 'select 1'",
      'create schema other',
      'create index on public.plans (name)',
      'do $$ begin create table public.fresh (a int); end $$',
    ],
    leaves: [
      'create table fresh (a int)',
      'create table fresh (plan text references public.plans)',
      'create extension if not exists citext',
    ],
  },
  {
    rule: 'rows-outside-tenant',
    finds: [
      "insert into public.plans values ('free')",
      'with a as (delete from public.plans returning name) insert into settings select name from a',
    ],
    leaves: ['insert into settings select name, name from public.plans'],
  },
  {
    rule: 'on-conflict-columns',
    finds: [
      "create function f() returns void language sql as 'insert into settings values (1) on conflict (key) do nothing'",
      "create function f() returns void language plpgsql as $$ begin insert into settings values ('a', 'b') on conflict (key) do nothing; end $$",
      "do $$ begin insert into settings values ('a', 'b') on conflict (key) do nothing; end $$",
    ],
    leaves: [
      "insert into settings values ('a', 'b') on conflict (key) do nothing",
      "create function f() returns void language sql as 'insert into settings values (1) on conflict on constraint settings_pkey do nothing'",
    ],
  },
  {
    rule: 'no-shared-form',
    finds: ['create table f as select 1', 'create rule r as on insert to orders do nothing'],
    leaves: ['create table f (a int)', 'do $$ begin update settings set value = 1; end $$'],
  },
  {
    rule: 'role-change',
    finds: ['create role helper', 'grant pg_monitor to current_user', 'drop owned by somebody'],
    leaves: ['create table f (role text)'],
  },
  {
    rule: 'grant-change',
    finds: [
      'grant select on orders to public',
      'alter default privileges grant select on tables to somebody',
      'alter table orders owner to somebody',
    ],
    leaves: ['revoke all on function f() from public'],
  },
  {
    rule: 'definer-search-path',
    finds: [`${DEFINER} as 'select 1'`, `${DEFINER} as 'select 1'; alter function g() set search_path = ''`],
    leaves: [
      `${DEFINER} set search_path = '' as 'select 1'`,
      `${DEFINER} as 'select 1'; alter function f() set search_path = ''`,
      "create function f() returns int language sql as 'select 1'",
    ],
  },
  {
    rule: 'row-security-off',
    finds: [
      'alter table orders disable row level security',
      'alter table orders no force row level security',
    ],
    leaves: ['alter table orders enable row level security'],
  },
  {
    rule: 'int-key',
    finds: [
      'create table f (id int primary key)',
      'create table f (id serial, primary key (id))',
      'create table f (id int generated always as identity)',
    ],
    leaves: [
      'create table f (id bigint primary key, n int)',
      'create table f (a int, b int, primary key (a, b))',
      'create table f (id bigserial primary key)',
    ],
  },
  {
    rule: 'serial-column',
    finds: ['create table f (id bigserial)', 'alter table orders add n serial'],
    leaves: ['create table f (id bigint generated always as identity)'],
  },
  {
    rule: 'json-column',
    finds: ['alter table orders add j json', 'create table f (j json[])'],
    leaves: ['alter table orders add j jsonb'],
  },
  {
    rule: 'char-column',
    finds: ['create table f (c char(3))', 'create table f (c character)'],
    leaves: ['create table f (c varchar(3), d "char")'],
  },
  {
    rule: 'timestamp-without-zone',
    finds: ['create table f (t timestamp)', 'alter table orders add t timestamp(3) without time zone'],
    leaves: ['create table f (t timestamptz, d date, e time)'],
  },
  {
    rule: 'identifier-too-long',
    finds: [`create table ${'x'.repeat(64)} (a int)`, `create table "${'é'.repeat(32)}" (a int)`],
    leaves: [`create table ${'x'.repeat(63)} (a text default '${'y'.repeat(80)}')`],
  },
]

describe.each(CASES)('$rule', ({ rule, finds, leaves, options }) => {
  test.for(finds)('finds: %s', async (sql) => {
    const findings = await lint(sql, options)
    expect(rulesOf(findings)).toContain(rule)
    for (const { reason, wayOut } of findings) {
      expect(reason).not.toBe('')
      expect(wayOut).not.toBe('')
    }
  })
  test.for(leaves)('leaves: %s', async (sql) => {
    expect(rulesOf(await lint(sql, options))).not.toContain(rule)
  })
})

describe('the shared set', () => {
  test('global-unique', async () => {
    expect(rulesOf(await lintShared('alter table members add unique (email)'))).toContain('global-unique')
    expect(rulesOf(await lintShared('create unique index on members (lower(email))'))).toContain(
      'global-unique',
    )
    for (const fine of [
      'alter table members add unique (tenant_id, email)',
      'create unique index on members (id)',
      'create table f (name text unique)',
    ]) {
      expect(rulesOf(await lintShared(fine))).not.toContain('global-unique')
    }
  })
  test('its own names are meant as they are', async () => {
    expect(rulesOf(await lintShared('alter table public.plans add c int; create role helper'))).toEqual([])
    expect(rulesOf(await lintShared('select * from tenant_acme.orders'))).toEqual(['hard-coded-schema'])
    expect(rulesOf(await lintShared('grant select on plans to public'))).toEqual(['grant-change'])
  })
})

test('every rule has cases', () => {
  const shown = new Set(CASES.map(({ rule }) => rule))
  const others = ['global-unique', 'unused-ignore']
  expect(MIGRATION_RULES.filter((rule) => !shown.has(rule) && !others.includes(rule))).toEqual([])
})

test('the reference names every rule with its level, and no other', () => {
  const page = readFileSync(new URL('../../../docs/reference/migration-lint.md', import.meta.url), 'utf8')
  const rows = [...page.matchAll(/^\| `([a-z-]+)` +\|[^|]*\| (error|warning|advice) +\|/gm)]
  const told = new Map(rows.map(([, name = '', level]) => [name, level]))
  told.delete('unused-ignore')
  expect(Object.fromEntries(told)).toEqual(Object.fromEntries(RULES.map(({ name, level }) => [name, level])))
})

describe('what is new', () => {
  const index = 'create index on fresh (a)'
  const tenant = () => [
    migration('tenant/1.sql', BEFORE),
    migration('tenant/2.sql', 'create table fresh (a int)'),
    migration('tenant/3.sql', index),
  ]
  const found = async (ran?: readonly number[]) => {
    const read = await lintMigrations({
      shared: [],
      tenant: tenant(),
      ...(ran === undefined ? {} : { ran: { shared: [], tenant: ran } }),
    })
    return read.map(({ migration: { name }, findings }) => [name, rulesOf(findings)])
  }
  test('a table of the same run is nobody’s yet, unless a tenant has it already', async () => {
    expect(await found([1, 1])).toEqual([
      ['2', []],
      ['3', []],
    ])
    expect(await found([1, 2])).toEqual([
      ['2', []],
      ['3', ['index-not-concurrent']],
    ])
    expect(await found([0])).toEqual([
      ['1', expect.any(Array)],
      ['2', []],
      ['3', []],
    ])
    expect(await found([3])).toEqual([])
  })
  test('files by themselves: a table of an earlier one is in use', async () => {
    expect((await found())[2]).toEqual(['3', ['index-not-concurrent']])
  })
})

describe('ignores', () => {
  const ignore = (rule: string, line: number): IgnoredRule => ({ rule, reason: 'the table is small', line })
  const at = async (up: string, ...ignores: readonly IgnoredRule[]) =>
    (await lint(up, { migration: { ignores } })).map(({ rule, line }) => `${rule}:${line}`)

  test('above a statement it is for that one alone', async () => {
    const up =
      '-- tenantry: ignore index-not-concurrent: x\ncreate index on orders (at);\ncreate index on orders (note);'
    expect(await at(up, ignore('index-not-concurrent', 1))).toEqual(['index-not-concurrent:3'])
  })
  test('at the head, with an empty line below, it is for the whole file', async () => {
    const up =
      '-- tenantry: ignore index-not-concurrent: x\n\ncreate index on orders (at);\ncreate index on orders (note);'
    expect(await at(up, ignore('index-not-concurrent', 1))).toEqual([])
  })
  test('one that matches nothing is told, and so is a rule that does not exist', async () => {
    const up = '-- tenantry: ignore truncate: x\ncreate index on orders (at);'
    expect(await at(up, ignore('truncate', 1))).toEqual(['index-not-concurrent:2', 'unused-ignore:1'])
    const [, unused] = await lint(up, { migration: { ignores: [ignore('index-concurrent', 1)] } })
    expect(unused?.reason).toContain('the nearest is index-not-concurrent')
  })
  test('it is not unused where only this run spares the finding', async () => {
    const up = '-- tenantry: ignore drop-column: x\nalter table orders drop column total;'
    const ran = { shared: [], tenant: [0] }
    expect(await lint(up, { ran, migration: { ignores: [ignore('drop-column', 1)] } })).toEqual([])
  })
  test('above a DO block it is for what stands in it', async () => {
    const block =
      'do $$ begin\n  update orders set total = 1;\n  update orders set note = 2;\nend $$;\nupdate orders set total = 2'
    expect(await at(block)).toEqual(['backfill-at-once:2', 'backfill-at-once:3', 'backfill-at-once:5'])
    const up = `-- tenantry: ignore backfill-at-once: x\n${block}`
    expect(await at(up, ignore('backfill-at-once', 1))).toEqual(['backfill-at-once:6'])
  })
})

test('settings change a level, or switch a rule off', async () => {
  const sql = 'create index on orders (at); truncate orders'
  const settings = { rules: { truncate: 'error', 'index-not-concurrent': 'off' } } as const
  expect((await lint(sql, { settings })).map(({ rule, level }) => [rule, level])).toEqual([
    ['truncate', 'error'],
  ])
})

test('a finding has its place', async () => {
  const [finding] = await lint('select 1;\n  create index on orders (at)')
  expect(finding).toMatchObject({ file: 'tenant/2.sql', line: 2, column: 3, level: 'warning' })
})

test('who shares tables decides about what they cannot have', async () => {
  const sql = 'create table f as select 1'
  const levels = async (sharing: LintInput['sharing']) =>
    (await lint(sql, { sharing })).map(({ level }) => level)
  expect(await levels('some')).toEqual(['warning'])
  expect(await levels('unknown')).toEqual(['advice'])
  expect(await levels('none')).toEqual([])
})
