import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { harden, loginsAffected, soften } from '../../src/isolation/harden.ts'
import { loginProblems, probeServer, requireSafeLogin } from '../../src/isolation/probe.ts'
import { withLogin } from '../../src/isolation/logins.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'

const suffix = randomBytes(4).toString('hex')
let database: TestDatabase
const made: string[] = []

beforeAll(async () => {
  database = await createTestDatabase({ installed: false })
})
afterAll(async () => {
  for (const name of made) await database.sql(`drop owned by ${name} cascade; drop role ${name}`)
  await database.drop()
})

async function createRole(attributes: string): Promise<string> {
  const name = `probe_${suffix}_${made.length}`
  await database.sql(`create role ${name} login password 'p' ${attributes}`)
  made.push(name)
  return name
}

/** Facts as a login sees them. */
async function probeAs(name: string): ReturnType<typeof probeServer> {
  const db = createAdminDatabase(withLogin(database.superuserUrl, { name, password: 'p' }), 1)
  try {
    return await probeServer(db)
  } finally {
    await db.close()
  }
}

test('closes everything as a superuser, says so, and takes it back', async () => {
  const owner = createAdminDatabase(database.superuserUrl, 1)
  try {
    const other = await createRole('')
    expect(await loginsAffected(owner)).toContain(other)
    const sealed = await createRole('')
    await database.sql(`grant tenantry_sealed to "${sealed}"`)
    expect(await loginsAffected(owner)).not.toContain(sealed)
    expect((await probeServer(owner)).enforcement).toBe('guard')
    const first = await harden(owner)
    expect(first).toMatchObject({ enforcement: 'database', open: [] })
    expect(first.closed).toEqual(
      expect.arrayContaining([
        'EXECUTE on set_config(text,text,boolean)',
        'EXECUTE on query_to_xml(text,boolean,boolean,text)',
        'EXECUTE on lo_create(oid)',
        'EXECUTE on ts_rewrite(tsquery,text)',
        'USAGE on language plpgsql',
        'TEMPORARY on the database',
      ]),
    )
    expect(await harden(owner)).toEqual({ enforcement: 'database', closed: [], open: [] })
    const [may] = await database.sql(
      `select has_function_privilege('tenantry_app', 'set_config(text,text,boolean)', 'EXECUTE') as app,
         has_function_privilege('tenantry_admin', 'set_config(text,text,boolean)', 'EXECUTE') as admin,
         has_function_privilege($1, 'set_config(text,text,boolean)', 'EXECUTE') as other,
         has_function_privilege('tenantry_app', 'query_to_xml(text,boolean,boolean,text)', 'EXECUTE') as app_xml`,
      [other],
    )
    expect(may).toEqual({ app: true, admin: true, other: false, app_xml: false })
    await soften(owner)
    const facts = await probeServer(owner)
    expect(facts.enforcement).toBe('guard')
    expect(facts.open.functions.length).toBeGreaterThan(35)
    // Closed by PostgreSQL itself, and not opened by taking back.
    const [closed] = await database.sql(
      "select has_function_privilege('public', 'lo_export(oid,text)', 'EXECUTE') as lo_export, has_function_privilege('public', 'pg_read_file(text)', 'EXECUTE') as read_file",
    )
    expect(closed).toEqual({ lo_export: false, read_file: false })
  } finally {
    await owner.close()
  }
})

/** What a tenant could do beyond its tables where nothing but its role keeps it in. */
const ATTACKS = {
  S2: "select set_config('app.current_tenant', 'b', false)",
  S3: "update pg_settings set setting = '7000' where name = 'statement_timeout'",
  S5: 'do $$ begin perform 1; end $$',
  S15: 'create temp table orders (id int)',
  S16: "select pg_notify('channel', 'x')",
  S18: 'select lo_create(0)',
  S26: "select query_to_xml('select 1', true, true, '')",
}

test('S2: hardening, and nothing else, makes the server refuse it; so for S3, S5, S15, S16, S18, S26', async () => {
  const owner = createAdminDatabase(database.superuserUrl, 1)
  const attacker = createAdminDatabase(
    withLogin(database.superuserUrl, { name: await createRole('noinherit'), password: 'p' }),
    1,
  )
  try {
    await soften(owner)
    for (const attack of Object.values(ATTACKS)) await attacker.query(attack)
    await harden(owner)
    for (const [id, attack] of Object.entries(ATTACKS)) {
      const refused = attacker.session((session) => session.query(attack))
      await expect(refused, id).rejects.toMatchObject({ code: '42501' })
    }
  } finally {
    await soften(owner)
    await Promise.all([attacker.close(), owner.close()])
  }
})

test('without superuser it tells truthfully what stays open: enforcement is the guard’s', async () => {
  const name = await createRole('createrole')
  await database.sql(`alter database ${database.name} owner to ${name}`)
  const owner = createAdminDatabase(withLogin(database.superuserUrl, { name, password: 'p' }), 1)
  const result = await harden(owner)
  await owner.close()
  expect(result.enforcement).toBe('guard')
  expect(result.open).toContain('EXECUTE on set_config(text,text,boolean)')
  expect(result.open).toContain('USAGE on language plpgsql')
  expect(result.closed).toEqual(['TEMPORARY on the database'])
  await database.sql(`alter database ${database.name} owner to tenantry_admin`)
})

test('S12: superuser, BYPASSRLS, owners and members are found, and refused as the runtime login', async () => {
  const unsafe: readonly (readonly [attributes: string, more: (name: string) => string, problem: RegExp])[] =
    [
      ['superuser', () => '', /superuser/],
      ['bypassrls', () => '', /BYPASSRLS/],
      ['createrole', () => '', /CREATEROLE/],
      ['replication', () => '', /REPLICATION/],
      [
        '',
        (name) => `create table public.t_${suffix} (n int); alter table public.t_${suffix} owner to ${name}`,
        /owns 1 /,
      ],
      ['', (name) => `grant pg_read_all_data to ${name}`, /pg_read_all_data/],
      ['', (name) => `grant create on schema public to ${name}`, /schema public/],
      ['', (name) => `grant create on database ${database.name} to ${name}`, /create schemas/],
      [
        '',
        (name) => `create schema tenantry authorization tenantry_admin; grant tenantry_admin to ${name}`,
        /control plane/,
      ],
      [
        '',
        (name) => `create role in_${suffix} in role tenantry_tenants; grant in_${suffix} to ${name}`,
        /NOINHERIT/,
      ],
      [
        '',
        (name) => `create role ow_${suffix} in role tenantry_owners; grant ow_${suffix} to ${name}`,
        /owner of a tenant/,
      ],
    ]
  for (const [attributes, more, problem] of unsafe) {
    const name = await createRole(attributes)
    const statement = more(name)
    if (statement !== '') await database.sql(statement)
    const facts = await probeAs(name)
    expect(loginProblems(facts).join('; ')).toMatch(problem)
    expect(() => requireSafeLogin(facts)).toThrow(expect.objectContaining({ code: 'TNY006' }))
  }
  made.push(`in_${suffix}`, `ow_${suffix}`)
  await database.sql('drop schema tenantry')
})

test('a plain login is safe; standard_conforming_strings = off is not', async () => {
  const name = await createRole('noinherit')
  const facts = await probeAs(name)
  expect(loginProblems(facts)).toEqual([])
  expect(facts).toMatchObject({ standardConformingStrings: true, login: { name, setConfig: true } })
  expect(facts.version).toBeGreaterThan(150_000)
  expect(() => requireSafeLogin(facts)).not.toThrow()
  await database.sql(`alter role ${name} set standard_conforming_strings = off`)
  const blind = await probeAs(name)
  expect(() => requireSafeLogin(blind)).toThrow(expect.objectContaining({ code: 'TNY007' }))
})
