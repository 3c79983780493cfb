import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { AdminDatabase, Queryable } from '../../../src/core/database.ts'
import type { SharedHome } from '../../../src/core/homes.ts'
import { createAdminDatabase } from '../../../src/gateway/admin-database.ts'
import { copyPattern } from '../../../src/isolation/shared-form/copy-pattern.ts'
import { deleteTenantRows } from '../../../src/isolation/shared-form/delete-rows.ts'
import { createSharedSchemas } from '../../../src/isolation/shared-form/shared-schemas.ts'
import { makeTenantRoles } from '../../../src/isolation/tenant-roles.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'

let database: TestDatabase
let admin: AdminDatabase
let home: SharedHome
let run = 0

beforeAll(async () => {
  database = await createTestDatabase()
  admin = createAdminDatabase(database.adminUrl)
})
afterAll(async () => {
  await admin.close()
  await database.drop()
})
beforeEach(async () => {
  const schema = `shared_${++run}`
  home = await admin.transaction(async (tx) => {
    const [roles] = await makeTenantRoles(tx, 1, 'tenantry_app')
    const made = {
      schema,
      pattern: `${schema}_pattern`,
      role: roles?.role ?? '',
      ownerRole: roles?.ownerRole ?? '',
    }
    await createSharedSchemas(tx, made)
    return made
  })
})
afterEach(() => database.sql(`drop schema ${home.schema}, ${home.pattern} cascade`))

/** Makes tables in both schemas: in the shared one by hand, as the derivation would. */
async function makeTables(pattern: string, shared: string, tables: readonly string[]): Promise<void> {
  await admin.transaction(async (tx) => {
    await tx.query(`set local role ${home.ownerRole}; set local search_path = ${home.pattern}; ${pattern}`)
    await tx.query(`set local search_path = ${home.schema}; ${shared}`)
    for (const table of tables) {
      await tx.query(`alter table ${table} enable row level security, force row level security;
        create policy tenantry_tenant on ${table} using (tenant_id = (select tenantry.current_tenant()));
        create policy tenantry_admin on ${table} to ${home.ownerRole}
          using (coalesce(current_setting('app.current_tenant', true), '') = '')`)
    }
  })
}

async function patternRows(sql: string): Promise<void> {
  await admin.transaction(async (tx) => {
    await tx.query(`set local role ${home.ownerRole}; set local search_path = ${home.pattern}; ${sql}`)
  })
}

const copy = (id: string): Promise<void> => admin.transaction((tx) => copyPattern(tx, home, id))
const remove = (id: string): Promise<void> => admin.transaction((tx) => deleteTenantRows(tx, home, id))

async function read(sql: string): Promise<unknown[]> {
  return admin.transaction(async (tx: Queryable) => {
    await tx.query(`set local role ${home.ownerRole}; set local search_path = ${home.schema}`)
    return (await tx.query<{ row: string }>(`select t::text as row from (${sql}) t`)).rows.map(
      ({ row }) => row,
    )
  })
}

test('rows of every kind are copied once for each tenant, whatever they refer to', async () => {
  await makeTables(
    `create type mood as enum ('ok', 'bad'); create domain label as text check (value <> '');
     create table people (id int generated always as identity primary key, boss int references people, mood mood, moods mood[],
       name label, shout text generated always as (upper(name)) stored, team int);
     create table teams (id int primary key, lead int references people);
     alter table people add foreign key (team) references teams;
     create table parted (id int, kind text, primary key (id, kind)) partition by list (kind);
     create table parted_a partition of parted for values in ('a');
     create table base (id int); create table child () inherits (base); create table pgmigrations (name text)`,
    `create type mood as enum ('ok', 'bad'); create domain label as text check (value <> '');
     create table people (id int generated always as identity, boss int, mood mood, moods mood[], name label,
       shout text generated always as (upper(name)) stored, team int, tenant_id text not null, primary key (tenant_id, id),
       foreign key (tenant_id, boss) references people (tenant_id, id));
     create table teams (tenant_id text not null, id int, lead int, primary key (tenant_id, id),
       foreign key (tenant_id, lead) references people (tenant_id, id));
     alter table people add foreign key (tenant_id, team) references teams (tenant_id, id);
     create table parted (tenant_id text, id int, kind text, primary key (tenant_id, id, kind)) partition by list (kind);
     create table parted_a partition of parted for values in ('a');
     create table base (tenant_id text, id int); create table child () inherits (base)`,
    ['people', 'teams', 'parted', 'base', 'child'],
  )
  // In one statement too: boss and team point forward, and at each other's table.
  await patternRows(`
    with p as (insert into people (boss, mood, moods, name, team) values (2, 'ok', '{ok,bad}', 'ann', 7), (null, 'bad', null, 'bob', null))
      insert into teams values (7, 1);
    insert into parted values (1, 'a'); insert into base values (1); insert into child values (2); insert into pgmigrations values ('x')`)
  await copy('t1')
  await copy('t2')
  expect(
    await read(
      'select id, boss, mood, moods, name, shout, team, tenant_id from people order by tenant_id, id',
    ),
  ).toEqual([
    '(1,2,ok,"{ok,bad}",ann,ANN,7,t1)',
    '(2,,bad,,bob,BOB,,t1)',
    '(1,2,ok,"{ok,bad}",ann,ANN,7,t2)',
    '(2,,bad,,bob,BOB,,t2)',
  ])
  expect(await read('select tenant_id, id, lead from teams order by 1')).toEqual(['(t1,7,1)', '(t2,7,1)'])
  expect(await read('select tableoid::regclass, tenant_id, kind from parted order by 2')).toEqual([
    '(parted_a,t1,a)',
    '(parted_a,t2,a)',
  ])
  expect(await read("select tableoid::regclass, id from base where tenant_id = 't1' order by id")).toEqual([
    '(base,1)',
    '(child,2)',
  ])

  await remove('t1')
  for (const table of ['people', 'teams', 'parted', 'base']) {
    expect(await read(`select distinct tenant_id from ${table}`), table).toEqual(['(t2)'])
  }
  await remove('t1')
  await remove('nobody')
  // A statement each would meet the foreign keys.
  const one = admin.transaction((tx) =>
    tx.query(`set local role ${home.ownerRole}; delete from ${home.schema}.teams where tenant_id = 't2'`),
  )
  await expect(one).rejects.toMatchObject({ code: '23503' })
})

test('triggers and policies of the user are out of the way, and back afterwards', async () => {
  await makeTables(
    `create table items (id int primary key, note text); create table log (entry text)`,
    `create table items (tenant_id text, id int, note text, primary key (tenant_id, id)); create table log (tenant_id text, entry text);
     create function watch() returns trigger language plpgsql as $$ begin
       insert into log values ('trigger', tg_op); return case tg_op when 'DELETE' then null else new end; end $$;
     create trigger watch before insert or delete on items for each row execute function watch();
     create trigger always_watch after insert or delete on items execute function watch();
     alter table items enable always trigger always_watch;
     create policy secret on items as restrictive using (note <> 'hidden')`,
    ['items', 'log'],
  )
  await patternRows("insert into items values (1, 'hidden')")
  await copy('t1')
  expect(await read('select * from log')).toEqual([])
  const [state] = await database.sql<{ state: string }>(
    `select string_agg(tgname || tgenabled::text, ' ' order by tgname) || ' ' || (select relforcerowsecurity from pg_class where oid = '${home.schema}.items'::regclass) as state
     from pg_trigger where tgrelid = '${home.schema}.items'::regclass and not tgisinternal`,
  )
  expect(state?.state).toBe('always_watchA watchO true')
  expect(await database.sql(`select id from ${home.schema}.items`)).toHaveLength(1)

  await remove('t1')
  expect(await database.sql(`select id from ${home.schema}.items`)).toHaveLength(0)
  expect(await database.sql(`select entry from ${home.schema}.log`)).toHaveLength(0)
})

test('a crash in the middle leaves nothing, and a copy cannot be made twice', async () => {
  await makeTables(
    'create table items (id int primary key); create table others (id int primary key)',
    'create table items (tenant_id text, id int, primary key (tenant_id, id)); create table others (tenant_id text, id int check (id < 5))',
    ['items', 'others'],
  )
  await patternRows('insert into items values (1); insert into others values (9)')
  await expect(copy('t1')).rejects.toMatchObject({ code: '23514' })
  expect(await read('select * from items')).toEqual([])
  await patternRows('delete from others')
  await copy('t1')
  await expect(copy('t1')).rejects.toMatchObject({ code: '23505' })
})
