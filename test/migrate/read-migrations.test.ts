import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { TenantryError } from '../../src/core/errors.ts'
import { createMigrationReader } from '../../src/migrate/files/read-migrations.ts'
import { createFolder, type MigrationFolder } from './migration-folder.ts'

let folder: MigrationFolder
beforeEach(async () => {
  folder = await createFolder()
})
afterEach(() => folder.drop())

async function refusal(files: Record<string, string | Uint8Array>): Promise<string> {
  await folder.write(files)
  const error: unknown = await createMigrationReader()
    .read(folder.path, true)
    .then(
      () => undefined,
      (reason: unknown) => reason,
    )
  expect(error).toBeInstanceOf(TenantryError)
  expect(error).toMatchObject({ code: 'TNY401' })
  return (error as TenantryError).message
}

test('a folder becomes migrations in order, with their text, line and statements', async () => {
  await folder.write({
    '2_b.sql': 'select 2',
    '10_c.sql': '\n-- about\n\n-- Up Migration\n\nselect 3; -- ü\nselect 4\n-- Down Migration\nselect 5',
    '1_a.sql': '-- Down Migration\ndrop table a;\n-- Up Migration\ncreate table a ();',
    '.gitkeep': '',
  })
  const migrations = await createMigrationReader().read(folder.path, true)
  expect(migrations.map(({ name }) => name)).toEqual(['1_a', '2_b', '10_c'])
  expect(migrations.map(({ line }) => line)).toEqual([3, 1, 3])
  expect(migrations[0]?.up).toBe('-- Up Migration\ncreate table a ();')
  expect(migrations[2]?.statements.map((at) => migrations[2]?.up.slice(at, at + 8))).toEqual([
    'select 3',
    'select 4',
  ])
  expect(new Set(migrations.map(({ checksum }) => checksum)).size).toBe(3)
})

test('a missing folder is an error only where it is required', async () => {
  const reader = createMigrationReader()
  const missing = join(folder.path, 'nowhere')
  await expect(reader.read(missing, false)).resolves.toEqual([])
  await expect(reader.read(missing, true)).rejects.toMatchObject({ code: 'TNY404' })
})

test('an edited file is read anew', async () => {
  const reader = createMigrationReader()
  await folder.write({ '1_a.sql': 'select 1' })
  const [first] = await reader.read(folder.path, true)
  await folder.write({ '1_a.sql': 'select 2' })
  const [second] = await reader.read(folder.path, true)
  expect(second?.up).toBe('select 2')
  expect(second?.checksum).not.toBe(first?.checksum)
})

test.each<[name: string, text: string | Uint8Array, message: RegExp]>([
  ['no statement', '-- Up Migration\n\n-- Down Migration\ndrop table a', /holds no statement/],
  ['an empty file', ' \n', /holds no statement/],
  [
    'a syntax error',
    '-- Up Migration\ncreate table ü ();\ncreat table b ();',
    /syntax error at or near "creat" \(line 3\)/,
  ],
  ['an open quote', "select 1;\nselect 'a", /unterminated quoted string .*\(line 2\)/],
  ['an open dollar quote', 'select $x$ a; $y$', /unterminated dollar-quoted/],
  ['an open comment', 'select 1; /* a', /unterminated \/\* comment/],
  [
    'a marker inside a string',
    "-- Up Migration\nselect '\n-- Down Migration\n'",
    /unterminated quoted string/,
  ],
  ['BEGIN', 'select 1;\n\n-- now\nbegin; select 2; commit', /cannot hold BEGIN.*\(line 4\)/],
  ['COMMIT', 'select 1; commit; drop table b', /cannot hold BEGIN, COMMIT/],
  ['COMMIT AND CHAIN', 'commit and chain', /cannot hold BEGIN, COMMIT/],
  ['a savepoint', 'savepoint a', /SAVEPOINT/],
  ['PREPARE TRANSACTION', "prepare transaction 'a'", /transaction of its own/],
  ['SET TRANSACTION', 'set transaction isolation level serializable', /characteristics/],
  ['SET ROLE', 'set role postgres', /changing role/],
  ['RESET ROLE', 'reset role; drop table public.a', /changing role/],
  ['SET LOCAL search_path', 'set local search_path = public', /changing search_path/],
  [
    'set_config as pg_dump writes it',
    "SELECT pg_catalog.set_config('search_path', '', false);",
    /changing search_path/,
  ],
  [
    'set_config inside another statement',
    "insert into a values (set_config('ROLE', 'x', false))",
    /changing role/,
  ],
  ['RESET ALL', 'reset all', /RESET ALL/],
  ['DISCARD', 'discard all', /DISCARD/],
  ['standard_conforming_strings', 'set standard_conforming_strings = off', /standard_conforming/],
  [
    'CREATE INDEX CONCURRENTLY',
    'create index concurrently i on a (b)',
    /CREATE INDEX CONCURRENTLY refuses to run inside/,
  ],
  ['DROP INDEX CONCURRENTLY', 'drop index concurrently i', /DROP INDEX CONCURRENTLY/],
  ['REINDEX CONCURRENTLY', 'reindex table concurrently a', /REINDEX/],
  ['REINDEX SCHEMA', 'reindex schema a', /REINDEX/],
  ['DETACH CONCURRENTLY', 'alter table a detach partition b concurrently', /DETACH PARTITION CONCURRENTLY/],
  ['VACUUM', 'vacuum a', /VACUUM refuses/],
  ['CREATE DATABASE', 'create database a', /CREATE DATABASE/],
  ['ALTER SYSTEM', "alter system set work_mem = '1GB'", /ALTER SYSTEM/],
  ['CLUSTER of everything', 'cluster', /CLUSTER/],
  ['COPY FROM STDIN', 'copy a from stdin', /COPY FROM STDIN/],
  ['a command of psql', 'select 1;\n  \\i other.sql\n', /\\i is a command of psql, not SQL \(line 2\)/],
  ['NUL', 'select 1;\0 select 2', /NUL/],
  ['Latin-1', new Uint8Array([0x2d, 0x2d, 0xfc]), /not UTF-8/],
  ['a byte order mark', '\uFEFFselect 1', /byte order mark/],
  [
    'statements before the marker',
    'select 1;\n-- Up Migration\nselect 2',
    /before the first marker would never run/,
  ],
  ['Down without Up', 'create table a ();\n-- Down Migration\ndrop table a', /would run upwards too/],
])('TNY401: %s', async (_, text, message) => {
  expect(await refusal({ '1_a.sql': text })).toMatch(message)
})

test.each([
  'set statement_timeout = 0; set standard_conforming_strings = on; set local work_mem = 65536; select 1',
  'analyze a',
  'create index i on a (b)',
  'reindex table a',
  'refresh materialized view concurrently a',
  "alter type a add value 'b'",
  'alter table a detach partition b',
  'cluster a using b',
  'drop index i',
  'create function f() returns void language plpgsql set search_path = pg_catalog as $$ begin commit; end $$',
  'create table a ();\n-- Down Migration\n\n',
  "select set_config('app.x', 'role', true)",
])('allowed: %s', async (text) => {
  await folder.write({ '1_a.sql': text })
  await expect(createMigrationReader().read(folder.path, true)).resolves.toHaveLength(1)
})

test('TNY401: two files between which the order is open, or that share a name', async () => {
  expect(await refusal({ '1_a-b.sql': 'select 1', '1_ab.sql': 'select 1' })).toMatch(/cannot be told/)
  await folder.remove('1_a-b.sql')
  expect(await refusal({ '1_ab.SQL': 'select 1' })).toMatch(/cannot be told/)
})

test('a text that passes cannot swallow what follows it', async () => {
  const { loadModule, parseSync } = await import('libpg-query')
  await loadModule()
  const piece = fc.constantFrom(
    "'",
    '"',
    '$$',
    '$a$',
    '--',
    '/*',
    '*/',
    '\n',
    ' ',
    'select 1',
    ';',
    "E'",
    '\\',
    '1',
    'x',
  )
  const texts = fc.array(piece, { minLength: 1, maxLength: 10 }).map((pieces) => pieces.join(''))
  const { checkSql } = await import('../../src/migrate/files/check-sql.ts')
  fc.assert(
    fc.property(
      fc.oneof(
        texts,
        texts.map((text) => `select 1; ${text}`),
      ),
      (text) => {
        const verdict = checkSql(text)
        if (!('statements' in verdict)) return
        const { stmts = [] } = parseSync(`${text}\n;\nselect 'after'`)
        expect(stmts).toHaveLength(verdict.statements.length + 1)
        expect(JSON.stringify(stmts.at(-1))).toContain('"after"')
      },
    ),
    { numRuns: 3000 },
  )
})
