/** New tenants are made from what the migrations amount to, or by the migrations where that is not certain. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { AdminDatabase } from '../../../src/core/database.ts'
import type { TenantHome } from '../../../src/core/homes.ts'
import { createAdminDatabase } from '../../../src/gateway/admin-database.ts'
import { buildBaseline } from '../../../src/migrate/baseline/build-baseline.ts'
import { TENANT_SCHEMA } from '../../../src/migrate/baseline/scratch.ts'
import { createMigrationReader } from '../../../src/migrate/files/read-migrations.ts'
import { createMigrations, type Migrations } from '../../../src/migrate/migrations.ts'
import { readFingerprints } from '../../../src/schema/read-schema.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { createFolder, type MigrationFolder } from '../migration-folder.ts'
import { homesOf, makeTenants } from '../tenant-schemas.ts'

let database: TestDatabase
let admin: AdminDatabase
let folder: MigrationFolder
let tenant: TenantHome
let other: TenantHome
let count = 0

beforeAll(async () => {
  database = await createTestDatabase()
  admin = createAdminDatabase(database.adminUrl)
})
afterAll(async () => {
  await admin.close()
  await database.drop()
})
beforeEach(async () => {
  const made = await makeTenants(admin, [`a${++count}`, `b${count}`])
  if (made[0] === undefined || made[1] === undefined) throw new Error('no tenants')
  ;[tenant, other] = made as [TenantHome, TenantHome]
  folder = await createFolder()
})
afterEach(() => folder.drop())

const create = (): Migrations =>
  createMigrations({ db: admin, homes: homesOf([tenant]), folders: { tenant: folder.path } })

/** Why there is no baseline for the files of the folder. */
async function refusal(): Promise<string> {
  const migrations = await createMigrationReader().read(folder.path, true)
  const built = await admin.session((session) => buildBaseline(session, migrations, tenant.home, 1000))
  return 'refused' in built ? built.refused : ''
}

const fingerprints = (...homes: readonly TenantHome[]): Promise<(string | undefined)[]> =>
  admin.transaction((tx) =>
    readFingerprints(
      tx,
      homes.map(({ home }) => home.schema),
      TENANT_SCHEMA,
    ),
  )

const FILES = {
  '1_orders.sql': `create type state as enum ('new');
    create table orders (id bigserial primary key, state state default 'new', made_at timestamptz default now(), note text);
    create function note() returns trigger language plpgsql as $$ begin new.note := 'by ' || tg_name; return new; end $$;
    create trigger notes before insert on orders for each row execute function note();`,
  '2_rows.sql': `alter type state add value 'paid';
    create table countries (code char(2) primary key, name text, area double precision, raw bytea, since date);
    insert into countries values ('at', 'Österreich', 0.1::float8 + 0.2, '\\xdead', '1955-05-15'), ('de', E'a\\n''b''\\\\', null, null, null);
    insert into orders (made_at) values ('2020-01-01');
    create materialized view areas as select sum(area) from countries;`,
  '3_keys.sql': `alter table orders add country char(2) references countries default 'at';
    create table gone (); drop table gone; alter table orders drop column note; update orders set state = 'paid';
    create or replace function note() returns trigger language plpgsql as $$ begin return new; end $$;
    create sequence counter; select nextval('counter'), nextval('counter');`,
}

describe('a new tenant', () => {
  it('has what the migrations make, rows and ledger included, by one statement', async () => {
    await folder.write(FILES)
    expect(await refusal()).toBe('')
    const migrations = create()
    // One that is not empty is migrated step by step.
    await admin.transaction((tx) =>
      tx.query(`set local role ${other.home.ownerRole}; create table ${other.home.schema}.foo ()`),
    )
    expect(await migrations.migrateHome(admin, other.home, other.key)).toHaveLength(3)
    await database.sql(`drop table ${other.home.schema}.foo`)
    expect(await migrations.migrateHome(admin, tenant.home, tenant.key)).toEqual([
      '1_orders',
      '2_rows',
      '3_keys',
    ])
    const [made, replayed] = await fingerprints(tenant, other)
    expect(made).toBe(replayed)
    const read = async ({ home: { schema } }: TenantHome): Promise<unknown> => [
      await database.sql(`select * from ${schema}.countries`),
      await database.sql(`select * from ${schema}.orders`),
      await database.sql(`select * from ${schema}.areas`),
      await database.sql(`select nextval('${schema}.counter')::int, nextval('${schema}.orders_id_seq')::int`),
      await database.sql(`select id, name from ${schema}.pgmigrations order by run_on, id`),
    ]
    expect(await read(tenant)).toEqual(await read(other))
    // Each step has a time of its own, the baseline one for all.
    const [times] = await database.sql<{ n: string }>(
      `select count(distinct run_on)::text as n from ${tenant.home.schema}.pgmigrations`,
    )
    expect(times?.n).toBe('1')
    const [owned] = await database.sql<{ strangers: string }>(
      `select count(*)::text as strangers from pg_class where relnamespace = '${tenant.home.schema}'::regnamespace
         and relowner <> '${tenant.home.ownerRole}'::regrole`,
    )
    expect(owned?.strangers).toBe('0')
    const rights = (schema: string, role: string): Promise<unknown> =>
      database.sql(
        `select c.relname, r.kind, has_table_privilege('${role}', c.oid, r.kind) as has from pg_class c,
           unnest('{select,insert,update,delete}'::text[]) r(kind)
         where c.relnamespace = '${schema}'::regnamespace and c.relkind in ('r', 'm') order by 1, 2`,
      )
    expect(await rights(tenant.home.schema, tenant.home.role)).toEqual(
      await rights(other.home.schema, other.home.role),
    )
    // It goes on from there as any other.
    await folder.write({ '4_more.sql': 'create table more ()' })
    expect(await migrations.migrateHome(admin, tenant.home, tenant.key)).toEqual(['4_more'])
    expect(
      await admin.query("select from pg_namespace where nspname like 'tenantry_scratch%'"),
    ).toMatchObject({ rowCount: 0 })
  })

  it('is compiled once, by whichever process', async () => {
    await folder.write(FILES)
    await create().migrateHome(admin, tenant.home, tenant.key)
    await database.sql(
      "update tenantry.migration_baselines set compiled = replace(compiled, 'Österreich', 'Austria')",
    )
    await expect(create().migrateHome(admin, other.home, other.key)).resolves.toHaveLength(3)
    const names = (schema: string): Promise<unknown> =>
      database.sql(`select name from ${schema}.countries where code = 'at'`)
    expect(await names(tenant.home.schema)).toEqual([{ name: 'Österreich' }])
    expect(await names(other.home.schema)).toEqual([{ name: 'Austria' }])
    await database.sql('delete from tenantry.migration_baselines')
  })

  it('is told a failing migration with its file', async () => {
    await folder.write({ ...FILES, '4_wrong.sql': 'create table x (a nothing)' })
    await expect(create().migrateHome(admin, tenant.home, tenant.key)).rejects.toMatchObject({
      code: 'TNY402',
      message: expect.stringContaining('4_wrong.sql') as string,
    })
  })
})

/** Migrations that may give one tenant what they do not give another, and a word of the reason. */
const DOUBTS: Readonly<Record<string, [sql: string, reason: string]>> = {
  'a random value': ['create table t (a uuid); insert into t values (gen_random_uuid())', 'gen_random_uuid'],
  'the time': ['create table t (a date); insert into t values (current_date)', 'current_date'],
  'the time by a default': ['create table t (a int, d date default now()); insert into t values (1)', 't.d'],
  'the exact time by a default': [
    'create table t (a int, d timestamptz default now()); insert into t values (1)',
    'time',
  ],
  'the time by a trigger': [
    `create table t (a int, d date); create function f() returns trigger language plpgsql as
     $$ begin new.d := current_date; return new; end $$; create trigger g before insert on t for each row execute function f();
     insert into t values (1)`,
    'f()',
  ],
  'a table outside': ['create table t (a text); insert into t select tablename from public.plans', 'public'],
  'a write outside': ["do $$ begin insert into public.notes values ('x'); end $$", 'public.notes'],
  'the schema in a name': [
    "do $$ begin execute format('create table %I ()', 't_' || md5(current_schema())); end $$",
    'current_schema',
  ],
  'the schema in a name, hidden': [
    `create function f() returns text language sql as 'select current_schema()::text';
     do $$ begin execute format('create table %I ()', 't_' || f()); end $$`,
    "schema's name",
  ],
  'an object that is not described': ["create collation c (provider = libc, locale = 'C')", 'collation c'],
}

describe('migrations are replayed where a tenant may get something else by', () => {
  beforeAll(() =>
    database.sql(
      'create table public.plans (tablename text); create table public.notes (a text); grant all on public.plans, public.notes to public',
    ),
  )

  it.each(Object.entries(DOUBTS))('%s', async (_, [sql, reason]) => {
    await folder.write({ '1_it.sql': sql })
    expect(await refusal()).toContain(reason)
    expect(await create().migrateHome(admin, tenant.home, tenant.key)).toEqual(['1_it'])
    expect(await database.sql('select from public.notes')).toHaveLength(sql.includes('notes') ? 1 : 0)
    await database.sql('truncate public.notes')
  })
})
