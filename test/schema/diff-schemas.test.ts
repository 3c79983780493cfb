/** What a diff says, what it keeps, and what it cannot do. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { diffSchemas } from '../../src/schema/diff/diff-schemas.ts'
import type { SchemaDiff } from '../../src/schema/diff/difference.ts'
import { allKinds, createSchemaWorld, type SchemaWorld } from './schema-world.ts'

describe('a diff', () => {
  let world: SchemaWorld
  beforeAll(async () => (world = await createSchemaWorld()))
  afterAll(() => world.close())

  /** The diff of the first to the second, run; the first then reads as the second. */
  async function repair(one: string, other: string): Promise<SchemaDiff> {
    await world.make('one', one)
    await world.make('other', other)
    const to = await world.read('other')
    const diff = diffSchemas(await world.read('one'), to)
    await world.run(
      'one',
      diff.statements.map(({ sql }) => sql),
    )
    expect(diffSchemas(await world.read('one'), to).differences).toEqual([])
    return diff
  }

  it('names objects and columns, and says with both values in what they differ', async () => {
    const { differences, statements } = await repair(
      'create table t (a int, extra int); create view gone as select 1 as a',
      'create table t (a bigint default 3, note text); create index by_a on t (a)',
    )
    expect(differences).toEqual([
      {
        object: 'column t.a',
        is: 'different',
        aspects: {
          type: { is: 'integer', wants: 'bigint' },
          default: { is: undefined, wants: '3' },
        },
      },
      { object: 'column t.extra', is: 'extra' },
      { object: 'column t.note', is: 'missing' },
      { object: 'index by_a', is: 'missing' },
      { object: 'view gone', is: 'extra' },
    ])
    expect(statements).toContainEqual({
      sql: 'alter table t drop column extra',
      loses: 'the values of t.extra',
    })
  })

  it('keeps rows where columns move, change their type, or get an enum that is made anew', async () => {
    await world.make(
      'one',
      `create type mood as enum ('a', 'b'); create table t (id serial primary key, m mood default 'a', n int, twice int generated always as (n * 2) stored);
       insert into t (m, n) values ('a', 1), ('b', 2); create view v as select m from t`,
    )
    await world.make(
      'other',
      `create type mood as enum ('b', 'a', 'c'); create table t (n bigint, twice bigint generated always as (n * 3) stored, m mood default 'b', id serial primary key);
       create view v as select m, n from t`,
    )
    const to = await world.read('other')
    const { statements, unsupported } = diffSchemas(await world.read('one'), to)
    expect(unsupported).toEqual([])
    await world.run(
      'one',
      statements.map(({ sql }) => sql),
    )
    expect((await world.read('one')).fingerprint).toBe(to.fingerprint)
    expect(await world.database.sql('select * from one.t order by id')).toEqual([
      { n: '1', twice: '3', m: 'a', id: 1 },
      { n: '2', twice: '6', m: 'b', id: 2 },
    ])
  })

  it('makes everything in an empty schema, and takes all of it away again', async () => {
    await repair('', allKinds(18))
    await repair(allKinds(18), '')
  })

  it('names what no statement is known for', async () => {
    await world.make(
      'one',
      `create table t (a int) partition by list (a); create collation c (provider = libc, locale = 'C')`,
    )
    await world.make('other', 'create table t (a int)')
    const { unsupported } = diffSchemas(await world.read('one'), await world.read('other'))
    expect(unsupported).toEqual(['collation c', 'table t'])
  })
})
