/** Dumps by the admin login: every tenant's rows, or an error, and never a part without a word. */
import { execFile, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type ControlPlane, createControlPlane, createTenancy } from '../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { describeOnVersions } from '../support/versions.ts'

const run = promisify(execFile)
const has = (program: string): boolean => spawnSync(program, ['--version']).status === 0

describeOnVersions('pg_dump by the admin login', [15, 18], (version) => {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-dump-'))
  let db: TestDatabase
  let plane: ControlPlane

  beforeAll(async () => {
    writeFileSync(
      join(folder, '1_orders.sql'),
      `-- Up Migration
      create table customers (id bigserial primary key, email text not null unique);
      create table orders (id bigserial primary key, customer_id bigint not null references customers);
      create view emails as select email from customers;
      insert into customers (email) values ('pattern@example');`,
    )
    db = await createTestDatabase({ version })
    plane = createControlPlane({
      connection: db.adminUrl,
      migrations: { tenant: folder },
      seed: (tenant, { key }) =>
        tenant.query('insert into customers (email) values ($1)', [`${key}@example`]).then(() => undefined),
    })
    for (const key of ['acme', 'globex']) await plane.tenants.create({ key, model: 'shared' })
    await db.sql(`set role tenantry_admin;
      create table users (id int primary key, tenant_id text not null, email text);
      select tenantry.protect('users');
      insert into users select row_number() over (), id, 'user of ' || id from tenantry.tenants;
      reset role`)
  })
  afterAll(async () => {
    for (const { key } of await plane.tenants.list()) await plane.tenants.delete(key, { confirm: key })
    await plane.close()
    await db.drop()
    rmSync(folder, { recursive: true, force: true })
  })

  async function dump(...options: string[]): Promise<string> {
    const { stdout } = await run('pg_dump', [...options, db.adminUrl], { maxBuffer: 1 << 26 })
    return stdout
  }
  /** How often the rows of each are in a dump of the shared tables. */
  function countRows(text: string): number[] {
    return ['acme@', 'globex@', 'pattern@'].map((email) => text.split(email).length - 1)
  }

  test('what it sends with --enable-row-security gives all rows, and what it sends without gives an error', async () => {
    const client = new pg.Client(db.adminUrl)
    await client.connect()
    try {
      for (const table of ['tenant_shared.customers (id, tenant_id, email)', 'public.users']) {
        await client.query("set row_security = on; select set_config('search_path', '', false)")
        const copied = await client.query(`copy ${table} to stdout`)
        expect(copied.rowCount).toBe(table === 'public.users' ? 2 : 4)
        await client.query('set row_security = off')
        await expect(client.query(`copy ${table} to stdout`)).rejects.toMatchObject({ code: '42501' })
      }
    } finally {
      await client.end()
    }
  })

  // The programs of Debian 12 and of CI are of this version, and refuse newer servers.
  if (version !== 15) return
  const isThere = has('pg_dump') && has('psql')

  test.skipIf(!isThere)('the shared tables with all tenants’ rows, and what keeps them apart', async () => {
    const text = await dump('--enable-row-security', '--schema=tenant_shared')
    // The pattern's row is each tenant's.
    expect(countRows(text)).toEqual([1, 1, 2])
    expect(text).toContain('CREATE POLICY tenantry_tenant ON tenant_shared.orders')
    expect(text).toContain('ALTER TABLE ONLY tenant_shared.orders FORCE ROW LEVEL SECURITY')
  })

  test.skipIf(!isThere)(
    'without --enable-row-security it fails and says why, rather than leave rows out',
    async () => {
      for (const what of ['--schema=tenant_shared', '--table=public.users']) {
        await expect(dump(what)).rejects.toThrow('query would be affected by row-level security policy')
      }
    },
  )

  test.skipIf(!isThere)('unsafe control: without the admin’s policy the same dump holds no row', async () => {
    const [policies] = await db.sql<{ drop: string }>(
      `select string_agg(format('drop policy %I on %I.%I', policyname, schemaname, tablename), ';') as drop
       from pg_policies where policyname = 'tenantry_admin' and schemaname = 'tenant_shared'`,
    )
    await db.sql(policies?.drop ?? '')
    try {
      const text = await dump('--enable-row-security', '--schema=tenant_shared')
      expect(countRows(text)).toEqual([0, 0, 0])
    } finally {
      // The next migration derives it again.
      writeFileSync(join(folder, '2_notes.sql'), '-- Up Migration\ncreate table notes (id int primary key);')
      await plane.migrate.up()
    }
    expect(countRows(await dump('--enable-row-security', '--schema=tenant_shared'))).toEqual([1, 1, 2])
  })

  test.skipIf(!isThere)(
    'a dump of the whole database brings an installation back',
    { timeout: 60_000 },
    async () => {
      const file = join(folder, 'whole.dump')
      writeFileSync(file, await dump('--enable-row-security'))
      const copy = await createTestDatabase({ version, installed: false })
      try {
        await run('psql', ['-qX', '-v', 'ON_ERROR_STOP=1', '-f', file, copy.superuserUrl])
        const tenancy = createTenancy({ connection: copy.appUrl })
        try {
          for (const key of ['acme', 'globex']) {
            const { id } = await plane.tenants.get(key)
            const { rows } = await tenancy.poolFor(key)
              .query(`select (select array_agg(email order by id) from customers) as emails,
              (select array_agg(email) from users) as users`)
            expect(rows).toEqual([
              { emails: ['pattern@example', `${key}@example`], users: [`user of ${id}`] },
            ])
          }
        } finally {
          await tenancy.close({ timeoutMs: 1_000 })
        }
      } finally {
        await copy.drop()
      }
    },
  )
})
