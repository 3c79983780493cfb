import fc from 'fast-check'
import { expect, test } from 'vitest'
import { getActions } from 'node-pg-migrate/sqlMigration'
import { getMigrationFilePaths } from 'node-pg-migrate/migration'
import { readdir } from 'node:fs/promises'
import { basename } from 'node:path'
import {
  compareFiles,
  fileNameProblem,
  isIgnored,
  splitSections,
} from '../../src/migrate/files/migration-file.ts'
import { createFolder } from './migration-folder.ts'

/** Lines that look like markers, nearly like markers, and like SQL. */
const line = fc.oneof(
  fc.constantFrom(
    '-- Up Migration',
    '-- Down Migration',
    '--up migration',
    '  ---- - DOWN\tMIGRATION of orders',
    '-- upMigration',
    '-- up\n-- migration',
    '/* -- Up Migration */',
    "select '-- Down Migration'",
    'select 1;',
    '',
    '\t',
    '\uFEFF-- Up Migration',
    '--\r\n-- Up Migration\r',
  ),
  fc.string(),
)

/** What node-pg-migrate would send to the database. */
function sectionsOfTheTool(text: string): { up: string; down: string | undefined } {
  const sent: string[] = []
  const builder = { sql: (sql: string) => void sent.push(sql) }
  const { up, down } = getActions(text)
  for (const action of [up, down]) {
    if (typeof action === 'function') void action(builder as never, () => undefined)
  }
  return { up: sent[0] ?? '', down: sent[1] }
}

test('a text splits exactly where node-pg-migrate splits it', () => {
  fc.assert(
    fc.property(fc.array(line, { maxLength: 8 }), fc.constantFrom('\n', '\r\n', '\n\n'), (lines, end) => {
      const text = lines.join(end)
      const { up, down, upStart, preamble } = splitSections(text)
      expect({ up, down }).toEqual(sectionsOfTheTool(text))
      // Nothing is lost: what node-pg-migrate drops is the preamble.
      expect(text.slice(upStart ?? 0).startsWith(up)).toBe(true)
      expect(text.startsWith(preamble)).toBe(true)
      if (upStart !== undefined) expect(preamble.length + up.length + (down?.length ?? 0)).toBe(text.length)
    }),
    { numRuns: 2000 },
  )
})

const prefix = fc.oneof(
  fc.nat(20).map(String),
  fc.nat(20).map((n) => String(n).padStart(4, '0')),
  fc
    .date({ min: new Date('2015-01-01'), max: new Date('2035-01-01'), noInvalidDate: true })
    .chain((date) => fc.constantFrom(String(date.valueOf()), date.toISOString().replace(/\D/g, ''))),
  fc.constantFrom('1700000000000', '20231114221320000', '20239999999999999'),
)
const fileName = fc
  .tuple(
    prefix,
    fc.constantFrom('_', '-', ''),
    fc.stringMatching(/^[a-zA-Z0-9_. -]{0,12}$/),
    fc.constantFrom('.sql', '.SQL'),
  )
  .map((parts) => parts.join(''))
  .filter((name) => fileNameProblem(name) === undefined)

test('files run in the order in which node-pg-migrate runs them', async () => {
  await fc.assert(
    fc.asyncProperty(fc.uniqueArray(fileName, { maxLength: 12 }), async (names) => {
      const folder = await createFolder(Object.fromEntries(names.map((name) => [name, 'select 1'])))
      await folder.write({ '.gitkeep': '' })
      try {
        const theirs = (await getMigrationFilePaths(folder.path, {})).map((path) => basename(path))
        const listed = (await readdir(folder.path)).filter((name) => !isIgnored(name))
        expect(listed.sort(compareFiles)).toEqual(theirs)
      } finally {
        await folder.drop()
      }
    }),
    { numRuns: 150 },
  )
})

test.each([
  ['1_orders.sql', undefined],
  ['1_orders.SQL', undefined],
  ['20231114221320000_orders.sql', undefined],
  ['1_orders.js', undefined],
  ['1_orders.mts', undefined],
  ['1_orders.down.sql', undefined],
  ['README.md', /only SQL and code/],
  ['1_orders.sql.bak', /only SQL and code/],
  ['orders.sql', /must begin with a number/],
  [`1_${'x'.repeat(254)}.sql`, /255/],
])('%s as a file name', (name, problem) => {
  if (problem === undefined) expect(fileNameProblem(name)).toBeUndefined()
  else expect(fileNameProblem(name)).toMatch(problem)
})
