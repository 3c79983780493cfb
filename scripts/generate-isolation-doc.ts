/** docs/reference/isolation.md from the titles of tests that name a threat (`npm run docs`; `--check` only compares). */
import { globSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { cell, putPage } from './generated-page.ts'

/** Where the page is, from the root of the repository. */
export const ISOLATION_PAGE = 'docs/reference/isolation.md'

/** Groups of threats by the letter of their ids, in the order of the page. */
const GROUPS: Readonly<Record<string, string>> = {
  I: 'Identity',
  S: 'SQL',
  P: 'Pooling',
  A: 'Asynchronous code',
  M: 'Migrations',
  V: 'Provisioning',
  R: 'Moves',
  B: 'Backup',
  L: 'Limits',
  U: 'Audit',
  C: 'Admin and console',
}

interface Tested {
  id: string
  what: string
  file: string
}

/** `test('S1: …'` and `describe('I2, I7: …'`, their modifiers included. */
const TITLE =
  /\b(?:test|it|describe)((?:\.\w+)*)(?:\([^()]*\))?\(\s*(['"`])([A-Z]\d+(?:, ?[A-Z]\d+)*): ((?:\\.|(?!\2)[^\\])*)\2/g

/** The titles in one file's text. Skipped tests show nothing, and so are left out. */
export function threatsIn(text: string, file: string): Tested[] {
  return [...text.matchAll(TITLE)].flatMap(([, modifiers = '', , ids = '', what = '']) =>
    /\.(skip|todo|fails)\b/.test(modifiers)
      ? []
      : ids.split(/, ?/).map((id) => ({ id, what: what.replaceAll(/\\(.)/g, '$1'), file })),
  )
}

/** The whole page. */
export function renderIsolation(): string {
  const root = join(import.meta.dirname, '..')
  const tested = globSync('test/**/*.ts', { cwd: root })
    .map((file) => file.replaceAll('\\', '/'))
    // The test of this page holds titles as examples.
    .filter((file) => !file.startsWith('test/docs/'))
    .sort()
    .flatMap((file) => threatsIn(readFileSync(join(root, file), 'utf8'), file))

  const lines = [
    '# What is tested about isolation',
    '',
    '<!-- Written by scripts/generate-isolation-doc.ts from the titles of tests; change them there. -->',
    '',
    'Each line is a test that runs against a real PostgreSQL with `npm test`; the id names the threat.',
  ]
  const strangers = tested.filter(({ id }) => !(id.charAt(0) in GROUPS))
  if (strangers.length > 0) {
    throw new Error(
      `no such group of threats: ${strangers.map(({ id, file }) => `${id} in ${file}`).join(', ')}`,
    )
  }
  for (const [letter, group] of Object.entries(GROUPS)) {
    const rows = tested.filter(({ id }) => id.startsWith(letter))
    if (rows.length === 0) continue
    // The sort is stable: within an id the order of files and titles stays.
    rows.sort((a, b) => Number(a.id.slice(1)) - Number(b.id.slice(1)))
    lines.push('', `## ${group}`, '', '| id | what is tested | where |', '| --- | --- | --- |')
    for (const { id, what, file } of rows) {
      lines.push(`| ${id} | ${cell(what)} | [${file}](../../${file}) |`)
    }
  }
  return `${lines.join('\n')}\n`
}

if (import.meta.main) putPage(ISOLATION_PAGE, renderIsolation())
