import { drizzle } from 'drizzle-orm/node-postgres'
import { bigint, pgTable, text as textColumn } from 'drizzle-orm/pg-core'
import fc from 'fast-check'
import knex from 'knex'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { completeOnConflict } from '../../src/sql/on-conflict.ts'
import { createParser } from '../../src/sql/parser.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const parser = createParser()
let database: TestDatabase
beforeAll(async () => {
  await parser.load()
  database = await createTestDatabase({ installed: false })
  await database.sql(`create table customers (
    id bigint not null, email text not null, name text, open boolean not null default true,
    tenant_id text not null default 'a', primary key (tenant_id, id), unique (tenant_id, email));
    create unique index customers_open on customers (tenant_id, lower(email)) where open`)
})
afterAll(() => database.drop())

const complete = (sql: string): string => completeOnConflict(sql, parser)

test.for([
  ['on conflict (a) do nothing', 'on conflict (tenant_id, a) do nothing'],
  ['ON CONFLICT(a,b)DO UPDATE SET x=1', 'ON CONFLICT(tenant_id, a,b)DO UPDATE SET x=1'],
  ['on conflict (lower(a)) where b do nothing', 'on conflict (tenant_id, lower(a)) where b do nothing'],
  [
    'on conflict (a collate "C" text_ops) do nothing',
    'on conflict (tenant_id, a collate "C" text_ops) do nothing',
  ],
  [
    'on /* ( */ conflict -- (a)\n ( "é" ) do nothing',
    'on /* ( */ conflict -- (a)\n (tenant_id,  "é" ) do nothing',
  ],
  ['on conflict (U&"\\0061") do nothing', 'on conflict (tenant_id, U&"\\0061") do nothing'],
])('%s', ([clause, expected]) => {
  for (const before of [
    'insert into t (x) values (1) ',
    "insert into t values ('ü😀 on conflict (a)', $$on conflict (a)$$) ",
  ]) {
    expect(complete(before + (clause ?? ''))).toBe(before + (expected ?? ''))
  }
})

test.for([
  'insert into t values (1) on conflict do nothing',
  'insert into t values (1) on conflict on constraint t_key do nothing',
  'insert into t values (1) on conflict (tenant_id, a) do nothing',
  'insert into t values (1) on conflict ("tenant_id") do nothing',
  // Named with its schema: a table that users share on purpose.
  'insert into public.t values (1) on conflict (a) do nothing',
  "select 'on conflict (a) do nothing'",
  'select 1 -- insert into t values (1) on conflict (a) do nothing',
  'select conflict from t',
  '',
])('stays as it is: %s', (sql) => {
  expect(complete(sql)).toBe(sql)
})

test('every INSERT of a statement, in CTEs and below EXPLAIN', () => {
  expect(
    complete(`explain with a as (insert into t values (1) on conflict (x) do nothing returning *),
      b as (insert into public.s values (1) on conflict (x) do nothing)
      insert into u select * from a on conflict (y, z) do update set y = (select max(y) from t)`),
  ).toBe(`explain with a as (insert into t values (1) on conflict (tenant_id, x) do nothing returning *),
      b as (insert into public.s values (1) on conflict (x) do nothing)
      insert into u select * from a on conflict (tenant_id, y, z) do update set y = (select max(y) from t)`)
})

test('what it does not understand is not sent half-changed', () => {
  expect(() => complete('insert into t values (1) on conflict (a) do')).toThrow(
    expect.objectContaining({ code: 'TNY213' }),
  )
})

/** The tree without places, and without the column that is added. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.filter((item) => !isAdded(item)).map(shapeOf)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value)
      .filter(([name]) => name !== 'location')
      .map(([name, child]) => [name, shapeOf(child)]),
  )
}
function isAdded(item: unknown): boolean {
  return (item as { IndexElem?: { name?: string } } | null)?.IndexElem?.name === 'tenant_id'
}

test('random statements say the same afterwards, but for the column', () => {
  const name = fc
    .oneof(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }), fc.constantFrom('a', 'on', 'é"x'))
    .filter((value) => !/[\0]/.test(value) && value !== 'tenant_id' && Buffer.byteLength(value) < 60)
    .map((value) => `"${value.replaceAll('"', '""')}"`)
  const blank = fc.constantFrom(
    ' ',
    '\n',
    '/* on conflict (x) */',
    ' -- on conflict (\n',
    ' /* /* ü */ ) */ ',
  )
  const literal = fc
    .string({ unit: 'grapheme', maxLength: 12 })
    .filter((value) => !value.includes('\0'))
    .map((value) => `'${value.replaceAll("'", "''")} on conflict (a) do nothing'`)
  const column = fc.oneof(
    name,
    fc.tuple(name, literal).map(([left, right]) => `(${left} || ${right})`),
  )
  const insert = fc
    .tuple(name, blank, literal, blank, fc.array(column, { minLength: 1, maxLength: 3 }), blank, fc.boolean())
    .map(
      ([table, a, value, b, columns, c, where]) =>
        `insert${a}into ${table} values (${value})${b}on${c}conflict${a}(${b}${columns.join(`${c},`)})` +
        `${where ? ` where ${columns[0] ?? ''} <> ${value}` : ''} do${c}nothing`,
    )
  const statement = fc.oneof(
    insert,
    fc.tuple(insert, insert).map(([first, second]) => `with w as (${first} returning 1) ${second}`),
  )
  fc.assert(
    fc.property(statement, (sql) => {
      const completed = complete(sql)
      expect(completed).not.toBe(sql)
      expect(completed.replaceAll('(tenant_id, ', '(')).toBe(sql)
      expect(shapeOf(parser.parse(completed))).toEqual(shapeOf(parser.parse(sql)))
      expect(complete(completed)).toBe(completed)
    }),
    { numRuns: 500 },
  )
})

test('what Knex and Drizzle write finds the constraint of a shared table; as they write it, it does not', async () => {
  const row = { id: 1, email: 'a@example.com', name: 'first' }
  const builder = knex({ client: 'pg' })
  const byKnex = (changes: object): { sql: string; bindings: readonly unknown[] } =>
    builder('customers').insert(changes).onConflict('email').merge(['name']).toSQL().toNative()
  const table = pgTable('customers', {
    id: bigint({ mode: 'number' }).notNull(),
    email: textColumn().notNull(),
    name: textColumn(),
  })
  const byDrizzle = drizzle
    .mock()
    .insert(table)
    .values({ ...row, name: 'by drizzle' })
    .onConflictDoUpdate({ target: table.email, set: { name: 'by drizzle' } })
    .toSQL()
  const first = byKnex(row)
  await expect(database.sql(first.sql, [...first.bindings])).rejects.toMatchObject({ code: '42P10' })
  await database.sql(complete(first.sql), [...first.bindings])
  const second = byKnex({ ...row, id: 2, name: 'by knex' })
  await database.sql(complete(second.sql), [...second.bindings])
  expect(await database.sql('select id::int, name from customers')).toEqual([{ id: 1, name: 'by knex' }])
  await database.sql(complete(byDrizzle.sql), byDrizzle.params)
  await database.sql(
    complete(`insert into customers (id, email) values (3, 'A@example.com')
      on conflict (lower(email)) where open do update set name = customers.name || ', again'`),
  )
  expect(await database.sql('select name from customers')).toEqual([{ name: 'by drizzle, again' }])
})
