/** Folders of other tools as tenant migrations: with a schema for each tenant, and where tenants share tables. */
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { type ControlPlane, createControlPlane } from '../../../src/index.ts'
import { createTestDatabase, type TestDatabase } from '../../support/database.ts'
import { createFolder, type MigrationFolder } from '../migration-folder.ts'
import { TOOL_FOLDERS } from './tool-folders.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let db: TestDatabase
let folder: MigrationFolder
let plane: ControlPlane
beforeEach(async () => {
  db = await createTestDatabase()
  folder = await createFolder()
  plane = createControlPlane({ connection: db.adminUrl, migrations: { tenant: folder.path } })
})
afterEach(async () => {
  await plane.close()
  await folder.drop()
  await db.drop()
})

/** What the tenants are given first, and what comes later. */
function inTwoSteps({ files, names }: (typeof TOOL_FOLDERS)[keyof typeof TOOL_FOLDERS]): [object, object] {
  const last = Object.keys(files).filter((file) => /(^|\/)[^/]*(20240201|0001_calm|1706788800000)/.test(file))
  const entries = Object.entries(files)
  const later = entries.filter(([file]) => last.includes(file) || file.endsWith('_journal.json'))
  const first = entries
    .filter(([file]) => !last.includes(file))
    .map(([file, text]) => {
      if (!file.endsWith('_journal.json')) return [file, text]
      const journal = JSON.parse(text) as { entries: { tag: string }[] }
      return [
        file,
        JSON.stringify({ ...journal, entries: journal.entries.filter(({ tag }) => tag === names[0]) }),
      ]
    })
  return [Object.fromEntries(first) as object, Object.fromEntries(later)]
}

async function inPublic(): Promise<unknown[]> {
  return db.sql(`select relname from pg_class where relnamespace = 'public'::regnamespace
    union all select typname from pg_type where typnamespace = 'public'::regnamespace`)
}

test.each(Object.entries(TOOL_FOLDERS))(
  '%s: tenants of both models get the tables, once',
  async (_, tool) => {
    const [first, later] = inTwoSteps(tool) as [Record<string, string>, Record<string, string>]
    const [one, two] = tool.names
    const before = await inPublic()
    await folder.write(first)
    await plane.tenants.create({ key: 'acme' })
    await plane.tenants.create({ key: 'tiny', model: 'shared' })
    await plane.tenants.create({ key: 'small', model: 'shared' })
    const ledger = (): Promise<unknown[]> => db.sql('select name from tenant_acme.pgmigrations order by id')
    expect(await ledger()).toEqual([{ name: one }])

    await folder.write(later)
    const { tenants } = await plane.migrate.status()
    expect(tenants.map(({ key, pending }) => [key, pending])).toEqual([
      ['shared tenants', [two]],
      ['acme', [two]],
    ])
    const report = await plane.migrate.up()
    expect(report.failed).toEqual([])
    expect(report.tenants).toEqual([
      { key: 'shared tenants', applied: [two], members: 2 },
      { key: 'acme', applied: [two] },
    ])
    expect(await ledger()).toEqual([{ name: one }, { name: two }])
    const again = await plane.migrate.up()
    expect(again.tenants.flatMap(({ applied }) => applied)).toEqual([])
    expect(await inPublic()).toEqual(before)

    const gone = Object.keys(later).find((file) => !file.endsWith('_journal.json')) ?? ''
    await folder.remove(gone)
    const journal = Object.entries(first).filter(([file]) => file.endsWith('_journal.json'))
    await folder.write(Object.fromEntries(journal))
    if (gone.endsWith('migration.sql')) await folder.drop().then(() => folder.write(first))
    const { failed } = await plane.migrate.up()
    expect(failed.map(({ error }) => error.code)).toEqual(['TNY403', 'TNY403'])
    expect(failed[0]?.error.message).toContain(`${two} ran, but its file is gone`)
  },
)

test('a statement of code that fails is told with its line', async () => {
  await plane.tenants.create({ key: 'acme' })
  await folder.write({
    '1_a.cjs': `exports.up = async (knex) => {
  await knex.raw('create table a ()')
  await knex.raw('select 1 from\\n\\nnowhere')
}`,
  })
  const { failed } = await plane.migrate.up()
  expect(failed[0]?.error).toMatchObject({
    code: 'TNY402',
    message: expect.stringMatching(/1_a\.cjs failed for acme: .*nowhere.*\(line 3\)/),
  })
  expect(await db.sql("select 1 from pg_class where relname = 'a'")).toEqual([])
})
