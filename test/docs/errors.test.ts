/** The error registry, the code that raises its errors and the page that lists them say the same. */
import { globSync, readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { ERRORS_PAGE, renderErrors } from '../../scripts/generate-errors-doc.ts'
import { readPage } from '../../scripts/generated-page.ts'
import { ERRORS } from '../../src/core/errors.ts'

const REGISTRY = 'src/core/errors.ts'
const sources = globSync(['src/**/*.ts', 'dev/**/*.ts', 'examples/**/*.ts', 'bootstrap.mjs', 'docs/**/*.md'])
  .filter((file) => file !== REGISTRY)
  .map((file) => ({ file, text: readFileSync(file, 'utf8') }))

test('the page of errors is what the registry says (npm run docs)', () => {
  expect(readPage(ERRORS_PAGE)).toBe(renderErrors())
})

test('every code that code, comments and guides mention is in the registry', () => {
  const unknown = sources.flatMap(({ file, text }) =>
    [...text.matchAll(/\bTNY\d{3}\b/g)]
      .filter(([code]) => !(code in ERRORS))
      .map(([code]) => `${code} in ${file}`),
  )
  expect(unknown).toEqual([])
})

test('every code of the registry is raised or answered somewhere', () => {
  const code = sources
    .filter(({ file }) => /^(src|dev|examples)\//.test(file))
    .map(({ text }) => text.replaceAll(/\/\*.*?\*\//gs, '').replaceAll(/^\s*\/\/.*$/gm, ''))
    .join('\n')
  const used = new Set([...code.matchAll(/['"`](TNY\d{3})['"`]/g)].map(([, name]) => name))
  expect(Object.keys(ERRORS).filter((name) => !used.has(name))).toEqual([])
})

test('every code is TNY and three digits, and every text is a sentence', () => {
  for (const [name, { message, hint, status }] of Object.entries(ERRORS)) {
    expect(name).toMatch(/^TNY[0-7]\d\d$/)
    expect(message, name).toMatch(/^[A-Z{].*\.$/)
    expect(hint, name).toMatch(/^[A-Z`{].*[.}]$/)
    expect(status, name).toBeGreaterThanOrEqual(400)
  }
})
