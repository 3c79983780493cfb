/** What rules warn of does happen: each harm once, on a real server, and the way out beside it. */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'

let db: TestDatabase
let client: pg.Client
beforeAll(async () => {
  db = await createTestDatabase({ installed: false })
  client = new pg.Client(db.superuserUrl)
  await client.connect()
})
afterAll(async () => {
  await client.end()
  await db.drop()
})

/** The error's SQLSTATE, or `done`; several statements are one transaction, as a migration is. */
async function outcome(sql: string): Promise<string> {
  try {
    await client.query(sql)
    return 'done'
  } catch (error) {
    return (error as pg.DatabaseError).code ?? String(error)
  }
}

test('enum-value-used: in the transaction that adds it, a value is refused', async () => {
  await client.query("create type mood as enum ('sad'); create table moods (mood mood)")
  expect(await outcome("alter type mood add value 'calm'; insert into moods values ('calm')")).toBe('55P04')
  expect(await outcome("alter type mood add value 'calm'")).toBe('done')
  expect(await outcome("insert into moods values ('calm')")).toBe('done')
})

test('on-conflict-columns: behind a constraint led by tenant_id, the columns match none; its name does', async () => {
  await client.query(
    'create table users (tenant_id int, email text, constraint users_email unique (tenant_id, email))',
  )
  const insert = "insert into users values (1, 'a') on conflict"
  expect(await outcome(`${insert} (email) do nothing`)).toBe('42P10')
  expect(await outcome(`${insert} on constraint users_email do nothing`)).toBe('done')
})

test('definer-search-path: the caller chooses what the owner runs', async () => {
  const body = "language sql security definer as 'select secret()'"
  await client.query(`
    create schema good; create schema evil;
    create function good.secret() returns text language sql as 'select ''kept'''; 
    create function evil.secret() returns text language sql as 'select current_user::text';
    set search_path = good; create function good.open() returns text ${body};
    create function good.closed() returns text set search_path = good ${body};
    create role evil_caller; grant usage on schema good, evil to evil_caller; grant execute on all functions in schema good, evil to evil_caller`)
  await client.query('set role evil_caller; set search_path = evil, good')
  const { rows } = await client.query<{ open: string; closed: string }>('select good.open(), good.closed()')
  await client.query('reset role; reset search_path; drop owned by evil_caller; drop role evil_caller')
  expect(rows[0]).toEqual({ open: 'postgres', closed: 'kept' })
})

test('index-not-concurrent: writes wait, reads do not', async () => {
  await client.query('create table wide (a int)')
  await client.query('begin; create index on wide (a)')
  const other = new pg.Client(db.superuserUrl)
  await other.connect()
  try {
    await other.query("set lock_timeout = '20ms'")
    await expect(other.query('insert into wide values (1)')).rejects.toMatchObject({ code: '55P03' })
    await expect(other.query('select * from wide')).resolves.toMatchObject({ rows: [] })
  } finally {
    await client.query('rollback')
    await other.end()
  }
})

test('json-column: a query that worked before fails', async () => {
  await client.query("create table docs (id int, body json); insert into docs values (1, '{}')")
  expect(await outcome('select distinct * from docs')).toBe('42883')
  await client.query('alter table docs alter body type jsonb')
  expect(await outcome('select distinct * from docs')).toBe('done')
})

test('identifier-too-long: two names become one', async () => {
  const name = 'n'.repeat(63)
  expect(await outcome(`create table ${name}a (a int)`)).toBe('done')
  expect(await outcome(`create table ${name}b (a int)`)).toBe('42P07')
})
