import { createHash } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { checkSql } from '../../src/migrate/files/check-sql.ts'
import { type Script, USUAL_OPTIONS } from '../../src/migrate/files/migration.ts'
import { planReplay, type ReplayStep } from '../../src/migrate/shared-form/shared-replay.ts'
import { stripDerivedConstraints } from '../../src/migrate/shared-form/strip-constraints.ts'
import { loadParser } from '../../src/sql/statement.ts'

beforeAll(loadParser)

function migrationOf(up: string): Script {
  const checked = checkSql(up)
  if (!('statements' in checked)) throw new Error(checked.reason)
  const checksum = createHash('sha256').update(up).digest('hex')
  const about = { name: '1_x', file: 'tenant/1_x.sql', options: USUAL_OPTIONS, ignores: [] }
  return { ...about, up, line: 1, statements: checked.statements, checksum }
}

function plan(up: string): readonly ReplayStep[] {
  return planReplay(migrationOf(up))
}

/** The text without the blanks that constraints leave. */
function squeezed(text: string | undefined): string | undefined {
  return text
    ?.replaceAll(/\s+/g, ' ')
    .replaceAll(/ (?=[,);])/g, '')
    .trim()
}

describe('constraints are cut out, and nothing else', () => {
  test.for([
    ['create table t (id int primary key)', 'create table t (id int)'],
    [
      'create table t (id bigint generated always as identity primary key, name text not null unique, n int default 3)',
      'create table t (id bigint generated always as identity, name text not null, n int default 3)',
    ],
    [
      'create table t (a int references b (id) on delete set null deferrable initially deferred not null check (a > 0))',
      'create table t (a int not null check (a > 0))',
    ],
    [
      'create table t (a text constraint u unique collate "C" default \'x\')',
      'create table t (a text collate "C" default \'x\')',
    ],
    [
      'create table t (a int, primary key (a), b int, unique (b), check (a < b))',
      'create table t (a int, b int, check (a < b))',
    ],
    [
      'create table t (primary key (a), a int, constraint f foreign key (a) references t (a))',
      'create table t ( a int)',
    ],
    [
      'create table t (unique (a), foreign key (b) references c) inherits (base)',
      'create table t () inherits (base)',
    ],
    [
      'create table p partition of t (primary key (a)) for values in (1)',
      'create table p partition of t for values in (1)',
    ],
    [
      "create table t (a numeric(3, 2) unique, b text[] default array['x', 'y'] unique)",
      "create table t (a numeric(3, 2), b text[] default array['x', 'y'])",
    ],
    [
      'create table "ü, (" ("é" int primary key /* , ) */, "x)" text)',
      'create table "ü, (" ("é" int, "x)" text)',
    ],
    ['alter table t add primary key (id)', undefined],
    ['alter table only t add constraint u unique using index i', undefined],
    [
      'alter table t add column a int unique, add constraint f foreign key (a) references b, alter b set not null',
      'alter table t add column a int, alter b set not null',
    ],
    [
      'alter table if exists t add unique (a), add check (a > 0)',
      'alter table if exists t add check (a > 0)',
    ],
    ['alter table "t" * add unique (a), drop column b, add unique (c)', 'alter table "t" * drop column b'],
    ['create table t (like b including all, primary key (id))', 'create table t (like b including all)'],
    [
      'create table t (a int primary key) partition by range (a)',
      'create table t (a int) partition by range (a)',
    ],
    ['create table t of kind (id with options primary key)', 'create table t of kind (id with options)'],
  ] as const)('%s', ([text, expected]) => {
    const stripped = stripDerivedConstraints(text)
    expect(squeezed(stripped)).toBe(expected)
    if (stripped !== undefined) expect(stripped).toHaveLength(text.length)
  })

  test('lines stay where they were', () => {
    const text =
      'create table t (\n  id int primary key, -- the key\n  a int\n    references b\n    on delete cascade,\n  c int\n)'
    const stripped = stripDerivedConstraints(text)
    expect(stripped?.split('\n')).toHaveLength(text.split('\n').length)
    expect(stripped?.indexOf('c int')).toBe(text.indexOf('c int'))
  })

  test('a text without them is the same text', () => {
    const text = "create table t (id int /* primary key */, note text default 'unique, primary key')"
    expect(stripDerivedConstraints(text)).toBe(text)
  })
})

test('structure runs once, rows for each tenant, and what is derived not at all', () => {
  const steps = plan(`-- Up Migration
create type mood as enum ('ok'); create index i on t (a);
create unique index j on t (lower(b)) where c; create index k on t using gin (d);
insert into t (a) values (1); update t set a = 2; select setval('s', 1); call p();
truncate t; create view v as select * from t;
alter table t drop constraint x; set lock_timeout = '1s'; comment on table t is 'x'`)
  expect(
    steps.map(
      ({ kind, shared, needsForm }) =>
        `${kind}${shared === undefined ? ' -' : ''}${needsForm ? ' form' : ''}`,
    ),
  ).toEqual([
    'structure',
    'structure -',
    'structure -',
    'structure',
    'data form',
    'data form',
    'data form',
    'data form',
    'structure form',
    'view',
    'structure form',
    'structure -',
    'structure form',
  ])
  expect(steps.map(({ line }) => line)).toEqual([2, 2, 3, 3, 4, 4, 4, 4, 5, 5, 6, 6, 6])
  expect(steps[9]?.view).toBe('v')
  expect(steps.map(({ movesSequences }) => movesSequences).indexOf(true)).toBe(6)
})

test('an INSERT without columns tells how many it gives, and where they belong', () => {
  const [step] = plan(
    "with x as (insert into b values (1) returning 1) insert into a as z select 1, 'ü', 3 from x",
  )
  expect(step?.positional.map(({ table, columns }) => [table, columns])).toEqual([
    ['a', 3],
    ['b', 1],
  ])
  const text = step?.text ?? ''
  expect(text.slice(0, step?.positional[0]?.at)).toMatch(/into a as z$/)
  expect(text.slice(0, step?.positional[1]?.at)).toMatch(/into b$/)
  expect(plan('insert into t default values')[0]?.positional).toEqual([])
})

describe('what cannot be repeated is refused with its line', () => {
  test.for([
    ['create table public.t (a int)', /public\.t, which is outside/],
    ['insert into public.t values (1)', /public\.t, which is outside/],
    ['with a as (delete from x.y returning 1) select 1 from a', /x\.y, which is outside/],
    ['drop table a.b', /a\.b, which is outside/],
    ['drop trigger t on a.b', /a\.b, which is outside/],
    ['create function a.f() returns int language sql return 1', /a\.f, which is outside/],
    ["comment on column a.t.x is 'y'", /a\.t, which is outside/],
    ['create materialized view m as select 1', /materialized view/],
    ['create table c as select 1', /CREATE TABLE AS/],
    ['select 1 into c', /CREATE TABLE AS/],
    ['create table t (exclude using gist (a with &&))', /exclusion/],
    ['alter table t add constraint e exclude using gist (a with &&)', /exclusion/],
    ['create rule r as on insert to t do nothing', /rule/],
    ['create foreign table f (a int) server s', /foreign table/],
    ['create schema s', /one schema together/],
    ['create temp table t (a int)', /temporary/],
    ['create policy p on t using (true)', /permissive/],
    ['drop policy tenantry_tenant on t', /keep tenants apart/],
    ['grant select on t to public', /rights/],
    ['alter table t owner to x', /owner/],
    ['alter table t set schema x', /shared schema/],
    ['drop extension citext', /does not belong/],
    ['create role x', /CreateRoleStmt/],
    ["set app.current_tenant = 'x'", /context/],
    ['insert into t select * from u', /SELECT \*/],
    ['merge into t using u on true when not matched then insert values (1)', /without columns/],
    [
      "create function f() returns void language sql as 'insert into t (a) values (1) on conflict (a) do nothing'",
      /ON CONFLICT/,
    ],
    ["do $$ begin execute 'drop table t'; end $$", /EXECUTE/],
    ['do $$ begin create table t (a int); insert into t (a) values (1); end $$', /structure and rows/],
    ['do $$ begin insert into t values (1); end $$', /name its columns/],
  ] as const)('%s', ([text, reason]) => {
    expect(() => plan(`select 1;\n\n${text}`)).toThrow(reason)
    expect(() => plan(`select 1;\n\n${text}`)).toThrow(
      /tenant\/1_x\.sql cannot run for shared tenants: .*\(line 3\)/,
    )
  })

  test('what only reads or refers to other schemas is not', () => {
    expect(() =>
      plan(`create table t (plan text references public.plans (name), m public.mood);
        insert into t (plan) select name from public.plans;
        create trigger r before update on t for each row execute function public.touch();
        create policy p on t as restrictive using (plan <> 'x'); revoke all on t from public`),
    ).not.toThrow()
  })
})

describe('a DO block', () => {
  test('that only writes rows is run for each tenant', () => {
    const [step] = plan(`do $$ declare r record; begin
      for r in select * from t loop update t set a = r.b where id = r.id; end loop; perform f(); end $$`)
    expect(step).toMatchObject({ kind: 'data', shared: step?.text })
  })

  test('that guards structure is repeated without its constraints', () => {
    const [types, keys] =
      plan(`do $$ begin create type mood as enum ('a'); exception when duplicate_object then null; end $$;
do $x$ begin
  alter table a add constraint f foreign key (b) references b (id); exception when duplicate_object then null; end $x$`)
    expect(types).toMatchObject({ kind: 'structure', shared: types?.text })
    expect(squeezed(keys?.shared)).toBe(
      'do $x$ begin null; exception when duplicate_object then null; end $x$',
    )
    expect(keys?.shared).toHaveLength(keys?.text.length ?? 0)
  })
})
