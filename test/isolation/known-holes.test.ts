/** The list of known holes against itself, and the one that concerns shared tables most against the servers at hand. */
import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { holesOf, KNOWN_HOLES, releaseOf, safeRelease } from '../../src/isolation/known-holes.ts'
import { createTestDatabase, type TestDatabase } from '../support/database.ts'
import { describeOnVersions } from '../support/versions.ts'

function idsOf(version: number): string[] {
  return holesOf(version).map(({ id }) => id)
}

test('a hole counts up to the release that closes it, and not for major versions that never had it', () => {
  expect(idsOf(150_003)).toContain('CVE-2023-39418')
  expect(idsOf(150_004)).not.toContain('CVE-2023-39418')
  expect(idsOf(160_000)).not.toContain('CVE-2023-39418')
  expect(idsOf(170_000)).toContain('CVE-2024-10976')
  expect(idsOf(170_001)).not.toContain('CVE-2024-10976')
  expect(idsOf(180_000)).not.toContain('CVE-2025-8713')
  expect(idsOf(190_000)).toEqual([])
})

test('the release that is advised closes all of them, and the one before does not', () => {
  for (const major of [15, 16, 17, 18]) {
    const [, minor = ''] = safeRelease(major * 10_000)?.split('.') ?? []
    const safe = major * 10_000 + Number(minor)
    expect(releaseOf(safe)).toBe(safeRelease(safe))
    expect(holesOf(safe)).toEqual([])
    expect(holesOf(safe - 1)).not.toEqual([])
  }
  expect(safeRelease(190_000)).toBeUndefined()
})

test('each hole is listed once, in one sentence that fits one line of a report', () => {
  const ids = KNOWN_HOLES.map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
  for (const { id, what } of KNOWN_HOLES) {
    expect(id).toMatch(/^CVE-20\d\d-\d{4,6}$/)
    expect(what).toMatch(/^\S.{20,140}[^.]$/)
  }
})

describeOnVersions('CVE-2026-120154', undefined, (version) => {
  let database: TestDatabase
  let client: pg.Client
  beforeAll(async () => {
    database = await createTestDatabase({ version })
    for (const [table, key] of [
      ['led', 'tenant_id, email'],
      ['unled', 'email'],
    ]) {
      await database.sql(`
        create table public.${table} (tenant_id text, email text, secret text, unique (${key}));
        insert into public.${table} values ('b', 'b@example.com', 'secret of b');
        alter table public.${table} enable row level security;
        alter table public.${table} force row level security;
        create policy own on public.${table} using (tenant_id = current_setting('app.current_tenant', true));
        grant select, insert, update on public.${table} to tenantry_app`)
    }
    client = new pg.Client(database.appUrl)
    await client.connect()
    await client.query("set app.current_tenant = 'a'")
  })
  afterAll(async () => {
    await client.end()
    await database.drop()
  })

  /** What tenant a learns of b's row: the error of a cast, which quotes what it could not read. */
  async function attack(table: string, key: string, tenant: string): Promise<string> {
    const text = `insert into public.${table} values ('${tenant}', 'b@example.com', '')
      on conflict (${key}) do update set secret = 'x' where ${table}.secret::int > 0`
    return client.query(text).then(
      ({ rowCount }) => `${rowCount} rows`,
      (error: Error) => error.message,
    )
  }

  test('S9: a unique constraint led by the tenant meets no row of another tenant', async () => {
    expect((await client.query('select * from public.led')).rows).toEqual([])
    expect(await attack('led', 'tenant_id, email', 'a')).toBe('1 rows')
    expect(await attack('led', 'tenant_id, email', 'b')).toContain('violates row-level security policy')
  })

  test('S9: the unsafe control: one that is not reads it, on servers without the fix', async () => {
    const [server] = await database.sql<{ version: number }>(
      "select current_setting('server_version_num')::int as version",
    )
    const message = await attack('unled', 'email', 'a')
    const isOpen = idsOf(server?.version ?? 0).includes('CVE-2026-120154')
    expect(message.includes('secret of b')).toBe(isOpen)
  })
})
