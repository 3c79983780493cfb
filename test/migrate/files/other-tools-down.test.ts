/** What other tools' migrations are undone with, and how they ask to run. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Migration } from '../../../src/migrate/files/migration.ts'
import { createMigrationReader } from '../../../src/migrate/files/read-migrations.ts'
import { createFolder, type MigrationFolder } from '../migration-folder.ts'

let folder: MigrationFolder
beforeEach(async () => {
  folder = await createFolder()
})
afterEach(() => folder.drop())

async function readFirst(files: Readonly<Record<string, string>>): Promise<Migration> {
  await folder.write(files)
  const [first] = await createMigrationReader().read(folder.path, true, () => Promise.resolve([]))
  if (first === undefined) throw new Error('nothing was read')
  return first
}

const INDEX = 'create index concurrently a_id on a (id)'

test.each<[tool: string, file: string, code: string]>([
  [
    'knex',
    '20240101000000_a.js',
    `exports.up = (knex) => knex.raw('${INDEX}')
exports.down = (knex) => knex.raw('drop index concurrently a_id')
exports.config = { transaction: false }`,
  ],
  [
    'typeorm',
    '1700000000000-a.js',
    `exports.A1700000000000 = class A1700000000000 {
  transaction = false
  up(queryRunner) { return queryRunner.query('${INDEX}') }
  down(queryRunner) { return queryRunner.query('drop index concurrently a_id') }
}`,
  ],
  [
    'mikro-orm',
    'Migration20240101000000.js',
    `exports.A = class extends class { down() { throw new Error('none') } } {
  up() { this.addSql('${INDEX}') }
  down() { this.addSql('drop index concurrently a_id') }
  isTransactional() { return false }
}`,
  ],
])('%s: down, and no transaction', async (_, file, code) => {
  const { up, down, options } = await readFirst({ [file]: code })
  expect(up).toBe(INDEX)
  expect(options.transaction).toBe(false)
  expect(down).toMatchObject({ sql: 'drop index concurrently a_id', options: { transaction: false } })
})

test('a class without a down of its own cannot be undone', async () => {
  const { down, downRefusal } = await readFirst({
    'Migration20240101000000.js':
      "exports.A = class extends class { down() { throw new Error('none') } } { up() { this.addSql('select 1') } }",
  })
  expect([down, downRefusal]).toEqual([undefined, undefined])
})

test('a down that reads rows is a reason, kept until somebody asks', async () => {
  const { down, downRefusal } = await readFirst({
    '20240101000000_a.js':
      "exports.up = (knex) => knex.raw('select 1')\nexports.down = async (knex) => { for (const row of await knex('a')) await row }",
  })
  expect(down).toBeUndefined()
  expect(downRefusal).toMatchObject({ code: 'TNY410' })
  expect(downRefusal?.message).toContain('it reads the rows of a query')
})

test('prisma: down.sql beside the migration, with names and options of its own', async () => {
  const files = {
    'migration_lock.toml': 'provider = "postgresql"\n',
    '20240101000000_a/migration.sql': 'create table "public"."a" ();',
    '20240101000000_a/down.sql': '-- tenantry: lock-timeout 1s\ndrop table "public"."a";',
  }
  const { down } = await readFirst(files)
  expect(down?.sql).toBe('-- tenantry: lock-timeout 1s\ndrop table "a";')
  expect(down?.options.lockTimeoutMs).toBe(1000)
  await expect(readFirst({ '20240101000000_a/down.sql': '\ndrop tabel a' })).rejects.toThrow(
    /20240101000000_a\/down\.sql is not valid: syntax error.*\(line 2\)/,
  )
})
