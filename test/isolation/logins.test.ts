import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { installCatalog } from '../../src/catalog/install-catalog.ts'
import type { AdminDatabase, Queryable } from '../../src/core/database.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { createLogins, withLogin } from '../../src/isolation/logins.ts'
import { loginProblems, probeServer } from '../../src/isolation/probe.ts'
import { scramVerifier } from '../../src/isolation/scram.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

/** Logins belong to the whole server: those of this file have names of their own. */
const suffix = randomBytes(4).toString('hex')
const names = { admin: `admin_${suffix}`, app: `app_${suffix}` }

let database: TestDatabase
const made: string[] = [names.admin, names.app]

beforeAll(async () => {
  database = await createTestDatabase({ installed: false })
})
afterAll(async () => {
  for (const name of made) {
    await database.sql(`drop owned by ${name} cascade`).catch(() => undefined)
  }
  // Those that granted something go after those that hold it.
  for (const name of made) await database.sql(`drop role if exists ${name}`)
  await database.drop()
})

/** The superuser, with each line of the server's log sent back to the client too. */
async function loggedDatabase(log: string[]): Promise<AdminDatabase> {
  const client = new pg.Client({
    connectionString: database.superuserUrl,
    options: '-c log_statement=all -c log_min_duration_statement=0 -c client_min_messages=log',
  })
  client.on('notice', ({ message, detail }) => log.push(`${message} ${detail ?? ''}`))
  await client.connect()
  const queryable = {
    query: (text: string, values?: readonly unknown[]) =>
      client.query(text, values === undefined ? [] : [...values]),
  } as unknown as Queryable
  const simple: Queryable = {
    query: (text, values) =>
      values === undefined ? (client.query(text) as never) : queryable.query(text, values),
  }
  return {
    ...simple,
    async transaction(fn) {
      await client.query('begin')
      const result = await fn(simple)
      await client.query('commit')
      return result
    },
    session: (fn) => fn(simple),
    inDatabase() {
      throw new Error('logins are made in one database')
    },
    apart() {
      throw new Error('logins are made on one connection')
    },
    close: () => client.end(),
  }
}

test('V2: no password reaches the server’s log or pg_stat_activity, and both logins work', async () => {
  const log: string[] = []
  const owner = await loggedDatabase(log)
  try {
    const { admin, app } = await createLogins(owner, names)
    const passwords = [admin.password ?? '', app.password ?? '']
    expect(passwords.map((password) => password.length)).toEqual([43, 43])
    const activity = await database.sql<{ query: string }>('select query from pg_stat_activity')
    const all = [...log, ...activity.map(({ query }) => query)].join('\n')
    expect(all).toContain(`create role "${names.app}" login`)
    for (const password of passwords) expect(all).not.toContain(password)

    // The attack without the verifier: the plain form shows in both.
    await owner.query(`alter role ${names.app} password 'plain secret'`)
    expect(log.join('\n')).toContain('plain secret')
    const after = await database.sql<{ query: string }>('select query from pg_stat_activity')
    expect(after.map(({ query }) => query).join('\n')).toContain('plain secret')

    const again = await createLogins(owner, { ...names, rotate: true })
    for (const login of [again.admin, again.app]) {
      const db = createAdminDatabase(withLogin(database.superuserUrl, login), 1)
      expect((await db.query('select current_user as me')).rows).toEqual([{ me: login.name }])
      await db.close()
    }
    const stale = createAdminDatabase(withLogin(database.superuserUrl, app), 1)
    await expect(stale.query('select 1')).rejects.toMatchObject({ code: '28P01' })
    await stale.close()
  } finally {
    await owner.close()
  }
})

test('existing logins keep their password, which is not told', async () => {
  const owner = createAdminDatabase(database.superuserUrl, 1)
  const { admin, app } = await createLogins(owner, names)
  expect([admin, app]).toEqual([
    { name: names.admin, password: undefined },
    { name: names.app, password: undefined },
  ])
  await owner.close()
})

test('the verifier is what PostgreSQL itself computes', () => {
  // The example of RFC 7677.
  const salt = Buffer.from('W22ZaJ0SNY7soEsUEjb6gQ==', 'base64')
  expect(scramVerifier('pencil', 4096, salt)).toBe(
    'SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=',
  )
})

test('an owner without superuser but with CREATEROLE makes logins that work', async () => {
  const owner = `owner_${suffix}`
  const mine = { admin: `admin2_${suffix}`, app: `app2_${suffix}` }
  made.push(mine.admin, mine.app, owner)
  await database.sql(`
    create role ${owner} login createrole password 'p';
    grant create on database ${database.name} to ${owner} with grant option;
    grant connect on database ${database.name} to ${owner} with grant option;
    grant temporary on database ${database.name} to ${owner} with grant option;
    grant usage, create on schema public to ${owner} with grant option;
    grant tenantry_tenants, tenantry_sealed, tenantry_owners to ${owner} with admin option`)
  const db = createAdminDatabase(withLogin(database.superuserUrl, { name: owner, password: 'p' }), 1)
  const { admin, app } = await createLogins(db, mine)
  await db.close()
  const control = createAdminDatabase(withLogin(database.superuserUrl, admin), 1)
  await installCatalog(control, { runtimeLogin: app.name })
  await control.close()
  const runtime = createAdminDatabase(withLogin(database.superuserUrl, app), 1)
  expect(loginProblems(await probeServer(runtime))).toEqual([])
  await runtime.close()
  await database.sql('drop schema tenantry cascade')
})

test('TNY018 where the connection may not create roles, or not give rights on the database', async () => {
  const [weak, stranger] = [`weak_${suffix}`, `stranger_${suffix}`]
  const theirs = { admin: `admin3_${suffix}`, app: `app3_${suffix}` }
  made.push(weak, stranger)
  await database.sql(`
    create role ${weak} login password 'p';
    create role ${stranger} login createrole password 'p';
    grant tenantry_tenants, tenantry_sealed, tenantry_owners to ${stranger} with admin option`)
  for (const name of [weak, stranger]) {
    const db = createAdminDatabase(withLogin(database.superuserUrl, { name, password: 'p' }), 1)
    await expect(createLogins(db, theirs)).rejects.toMatchObject({ code: 'TNY018' })
    await db.close()
  }
  const left = await database.sql('select rolname from pg_roles where rolname in ($1, $2)', [
    theirs.admin,
    theirs.app,
  ])
  expect(left).toEqual([])
})
