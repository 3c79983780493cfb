/**
 * Managed servers: whoever sets up owns the database and has CREATEROLE and CREATEDB, and nobody is a superuser. The
 * server is one of its own, so that no role was made by a superuser before.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { EmbeddedServer } from '../../dev/embedded.ts'
import { type SetUp, setUpDatabase } from '../../src/cli/set-up-database.ts'
import { type ControlPlane, createControlPlane } from '../../src/control-plane.ts'
import { createAdminDatabase } from '../../src/gateway/admin-database.ts'
import { withLogin } from '../../src/isolation/logins.ts'
import { probeServer } from '../../src/isolation/probe.ts'
import type { Tenancy } from '../../src/tenancy-members.ts'
import { createTenancy } from '../../src/tenancy.ts'
import { startOwnServer } from '../support/own-server.ts'
import { describeOnVersions } from '../support/versions.ts'

const DATABASE = 'managed'
const OWNER = { name: 'service_owner', password: 'p' }

async function run<R extends pg.QueryResultRow>(url: string, text: string, values?: unknown[]): Promise<R[]> {
  const client = new pg.Client(url)
  await client.connect()
  try {
    return (await client.query<R>(text, values)).rows
  } finally {
    await client.end()
  }
}

describeOnVersions('a managed server', [15, 18], (version) => {
  let server: EmbeddedServer
  let ownerUrl: string
  let appUrl: string
  let done: SetUp
  let plane: ControlPlane
  let tenancy: Tenancy
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-migrations-'))

  beforeAll(async () => {
    writeFileSync(join(folder, '1_notes.sql'), '-- Up Migration\ncreate table notes (text text);\n')
    server = await startOwnServer(version)
    await run(
      server.superuserUrl,
      `create role ${OWNER.name} login createrole createdb password '${OWNER.password}'`,
    )
    const asOwner = new URL(withLogin(server.superuserUrl, OWNER))
    await run(asOwner.href, `create database ${DATABASE}`)
    asOwner.pathname = `/${DATABASE}`
    ownerUrl = asOwner.href
    done = await setUpDatabase({
      ownerUrl,
      rotate: false,
      enforcement: 'database',
      harmOthers: () => Promise.resolve(true),
      onRefused: () => undefined,
      onPasswordsLost: () => undefined,
      knownAdmin: undefined,
    })
    appUrl = withLogin(ownerUrl, done.app)
    plane = createControlPlane({
      connection: withLogin(ownerUrl, done.admin),
      migrations: { tenant: folder },
      async seed(db, { key }) {
        await db.query('insert into notes values ($1)', [key])
      },
    })
    tenancy = createTenancy({ connection: appUrl })
  })
  afterAll(async () => {
    await tenancy.close()
    await plane.close()
    await server.stop()
    rmSync(folder, { recursive: true })
  })

  test('nobody is a superuser but the service’s own', async () => {
    const rows = await run<{ rolname: string }>(
      ownerUrl,
      'select rolname from pg_roles where rolsuper or rolbypassrls or rolreplication order by 1',
    )
    expect(rows).toEqual([{ rolname: 'postgres' }])
  })

  test('each revoke that was refused is told as open, by what the server says of the right itself', async () => {
    expect(done.enforcement).toBe('guard')
    expect(done.open).toEqual(
      expect.arrayContaining([
        'EXECUTE on set_config(text,text,boolean)',
        'EXECUTE on pg_notify(text,text)',
        'EXECUTE on lo_create(oid)',
        'EXECUTE on query_to_xml(text,boolean,boolean,text)',
        'USAGE on language plpgsql',
      ]),
    )
    expect(done.closed).toEqual(['TEMPORARY on the database'])
    for (const right of done.open) {
      const [, signature] = /^EXECUTE on (.*)$/.exec(right) ?? []
      if (signature === undefined) continue
      const rows = await run(ownerUrl, "select has_function_privilege('public', $1, 'EXECUTE') as open", [
        signature,
      ])
      expect(rows, right).toEqual([{ open: true }])
    }
    const [language] = await run(
      ownerUrl,
      "select has_language_privilege('public', 'plpgsql', 'USAGE') as plpgsql",
    )
    expect(language).toEqual({ plpgsql: true })
    const [temporary] = await run(
      ownerUrl,
      "select has_database_privilege('public', $1, 'TEMPORARY') as open",
      [DATABASE],
    )
    expect(temporary).toEqual({ open: false })
  })

  test('what was found when it was set up is what every process finds at its start', async () => {
    const db = createAdminDatabase(appUrl, 1)
    const facts = await probeServer(db)
    await db.close()
    expect(facts.enforcement).toBe('guard')
    expect(facts.open.functions.map((signature) => `EXECUTE on ${signature}`)).toEqual(
      done.open.filter((right) => right.startsWith('EXECUTE')),
    )
  })

  test('tenants are made, served, suspended and deleted', async () => {
    for (const key of ['acme', 'globex']) await plane.tenants.create({ key })
    expect((await tenancy.poolFor('acme').query('select text from notes')).rows).toEqual([{ text: 'acme' }])
    const globex = await plane.tenants.get('globex')
    await expect(
      tenancy.poolFor('acme').query(`select text from ${globex.home.schema}.notes`),
    ).rejects.toMatchObject({ code: '42501' })
    await plane.tenants.suspend('globex', { reason: 'unpaid' })
    await expect(tenancy.poolFor('globex').query('select text from notes')).rejects.toMatchObject({
      code: 'TNY211',
    })
    await plane.tenants.delete('globex', { confirm: 'globex' })
    await expect(plane.tenants.get('globex')).rejects.toMatchObject({ code: 'TNY302' })
  })

  test('S2, S5, S16: the guard refuses what this server would not', async () => {
    const acme = await plane.tenants.get('acme')
    const attacks = [
      "select set_config('role', 'none', true)",
      'do $$ begin perform 1; end $$',
      "select pg_notify('channel', 'x')",
      "select query_to_xml('select 1', true, true, '')",
      'select lo_create(0)',
    ]
    for (const attack of attacks) {
      await expect(tenancy.poolFor('acme').query(attack), attack).rejects.toMatchObject({ code: 'TNY204' })
      // The control: under the tenant's role, without the guard, the server lets it pass.
      await run(appUrl, `begin; set local role ${acme.home.role}; ${attack}; rollback`)
    }
  })
})
