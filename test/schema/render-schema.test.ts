/** What a schema holds is read and written so that the copy reads the same. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { readFingerprints, readSchema } from '../../src/schema/read-schema.ts'
import { renderSchema } from '../../src/schema/render-schema.ts'
import { findRealSchemas } from '../contract/real-schemas.ts'
import { describeOnVersions } from '../support/versions.ts'
import { allKinds, createSchemaWorld, type SchemaWorld } from './schema-world.ts'

describeOnVersions('every kind of object', [15, 18], (version) => {
  let world: SchemaWorld
  beforeAll(async () => (world = await createSchemaWorld(version)))
  afterAll(() => world.close())

  it('reads the same from its copy, whatever the schemas are called', async () => {
    await world.make('first', allKinds(version))
    const description = await world.read('first')
    expect(description.unsupported).toEqual([])
    expect(JSON.stringify(description)).not.toMatch(/\bfirst\./)
    const copy = await world.render('A "second" one'.replaceAll('"', ''), description)
    expect(copy).toEqual(description)
    const fingerprints = await world.db.transaction((tx) =>
      readFingerprints(tx, ['A second one', 'there is none', 'first']),
    )
    expect(fingerprints).toEqual([description.fingerprint, undefined, description.fingerprint])
  })

  it('does not see columns that were dropped, nor the order of creation', async () => {
    await world.make(
      'first',
      'create table t (a int, gone int, b text, check (a > 0), unique (b)); alter table t drop gone; create view v as select 1 as a; create sequence s',
    )
    await world.make(
      'second',
      'create sequence s; create view v as select 1 as a; create table t (a int, b text, unique (b)); alter table t add check (a > 0)',
    )
    expect(await world.read('second')).toEqual(await world.read('first'))
  })
})

/** What each statement changes must show. */
const CHANGES = [
  'alter table t alter a set default 1',
  'alter table t alter a drop not null',
  'alter table t alter b type varchar(9)',
  'alter table t alter b type text collate "C"',
  'alter table t alter b set storage plain',
  'alter table t alter b set compression pglz',
  'alter table t alter b set statistics 7',
  'alter table t set (fillfactor = 50)',
  'alter table t set (toast.autovacuum_enabled = off)',
  'alter table t set unlogged',
  'alter table t replica identity nothing',
  'alter table t enable row level security',
  'alter table t drop constraint positive, add constraint positive check (a > 0) not valid',
  'alter table t drop constraint only_one, add constraint only_one unique (b) deferrable',
  'alter table t disable trigger fires',
  'alter index by_b set (fillfactor = 50)',
  'alter index by_b rename to by_bb',
  'alter index only_one set (fillfactor = 50)',
  'alter sequence s increment 2',
  'alter sequence s owned by t.a',
  'alter view v set (security_barrier = true)',
  "alter type mood add value 'angry'",
  'alter domain positive set default 3',
  'alter function f() stable',
  'alter function f() set work_mem = 64',
  "create or replace function f() returns trigger language plpgsql as 'begin return old; end'",
  "comment on column t.b is 'b'",
  "comment on trigger fires on t is 'b'",
  'grant select on t to pg_monitor',
  'grant select (b) on t to public',
  'revoke execute on function f() from public',
  'alter policy mine on t using (a > 1)',
  'create aggregate sum_up(int) (sfunc = int4pl, stype = int)',
  'create table u ()',
  'create statistics two on a, b from t',
  "create collation own (provider = libc, locale = 'C')",
  'create text search configuration own (copy = simple)',
  'create cast (mood as int) with inout',
]

describe('a change of one thing', () => {
  let world: SchemaWorld
  beforeAll(async () => (world = await createSchemaWorld()))
  afterAll(() => world.close())

  it.each(CHANGES)('%s', async (change) => {
    await world.make(
      'first',
      `create type mood as enum ('sad'); create domain positive as int; create sequence s;
       create table t (a int not null, b text, constraint positive check (a > 0), constraint only_one unique (b));
       create index by_b on t (b); create view v as select a from t;
       create function f() returns trigger language plpgsql as 'begin return new; end';
       create trigger fires before insert on t for each row execute function f();
       create policy mine on t using (a > 0)`,
    )
    const before = await world.read('first')
    await world.run('first', [change])
    const after = await world.read('first')
    // A cast belongs to no schema, as pg_dump -n sees it too.
    if (change.startsWith('create cast')) expect(after.fingerprint).toBe(before.fingerprint)
    else expect(after.fingerprint).not.toBe(before.fingerprint)
  })

  it('names what cannot be described, and refuses to write it', async () => {
    await world.make(
      'odd',
      `create collation own (provider = libc, locale = 'C'); create text search dictionary words (template = simple);
       create type unfinished; create table t (a int)`,
    )
    const description = await world.read('odd')
    expect(description.unsupported).toEqual([
      'collation own',
      'text search dictionary words',
      'type unfinished',
    ])
    expect(() => renderSchema(description)).toThrow(expect.objectContaining({ code: 'TNY425' }))
  })

  it('leaves out the ledger, and rights of a group of roles', async () => {
    await world.db.query('create role members; create role one_of_them in role members; create role another')
    await world.make(
      'first',
      `create table pgmigrations (id serial primary key); create table t ();
       grant select on t to one_of_them, another`,
    )
    const { objects } = await world.db.transaction(async (tx) => {
      return readSchema(tx, 'first', { without: ['pgmigrations'], rightsNotOf: 'members' })
    })
    expect(objects).toEqual([
      { kind: 'table', name: 't', facts: { columns: [], grants: [{ to: 'another', rights: ['SELECT'] }] } },
    ])
  })
})

const FIXTURE = join(import.meta.dirname, '../migrate/fixtures/rental-shop')
const rentalShop = readdirSync(FIXTURE)
  .toSorted()
  .map((name) => readFileSync(join(FIXTURE, name), 'utf8'))
  .join('\n')

describe('schemas of applications', () => {
  const real = findRealSchemas()
  let world: SchemaWorld
  beforeAll(async () => (world = await createSchemaWorld()))
  afterAll(() => world.close())

  it.skipIf(real === undefined).each(['zabbix', 'davical'] as const)('%s', async (name) => {
    await world.make('first', real?.[name].tables ?? '')
    const description = await world.read('first')
    expect(description.unsupported).toEqual([])
    expect(await world.render('second', description)).toEqual(description)
  })

  it('a rental shop', async () => {
    await world.make('first', rentalShop)
    const description = await world.read('first')
    expect(await world.render('second', description)).toEqual(description)
  })
})
