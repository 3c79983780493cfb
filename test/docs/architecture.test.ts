/** The picture of the layers is what the imports are, and no import points upward. */
import { expect, test } from 'vitest'
import {
  allowedImports,
  ARCHITECTURE_PAGE,
  importsIn,
  readImports,
  renderArchitecture,
} from '../../scripts/generate-architecture.ts'
import { readPage } from '../../scripts/generated-page.ts'

const TOOLS = new Set(['cli', 'testing'])

test('the layers in ARCHITECTURE.md are what the code is (npm run docs)', () => {
  expect(readPage(ARCHITECTURE_PAGE)).toBe(renderArchitecture())
})

test('every folder of src has a layer and imports from the layers below it only', () => {
  const allowed = allowedImports()
  const upward = [...readImports()].flatMap(([folder, { folders }]) =>
    [...folders]
      // The composition roots see all; the command line and the testing kit may use them, and the embedded server.
      .filter((to) => folder !== 'roots' && !(TOOLS.has(folder) && (to === 'roots' || to === 'dev')))
      .filter((to) => allowed.get(folder)?.includes(to) !== true)
      .map((to) => `${folder} imports ${to}`),
  )
  expect(upward).toEqual([])
})

test('imports are found in all their forms, and those in comments are not', () => {
  const text = [
    "import type { A } from './a.ts'",
    'import {',
    '  b,',
    "} from '../b.ts'",
    "import 'c'",
    "export { d } from './d.ts'",
    "const e = await import('./e.ts')",
    "/** import { f } from './f.ts' */",
    "const sentence = 'taken from here'",
  ].join('\n')
  expect(importsIn(text)).toEqual(['./a.ts', '../b.ts', 'c', './d.ts', './e.ts'])
})
