/** The page of tested threats is what the titles of the tests say. */
import { expect, test } from 'vitest'
import { ISOLATION_PAGE, renderIsolation, threatsIn } from '../../scripts/generate-isolation-doc.ts'
import { readPage } from '../../scripts/generated-page.ts'

test('the page of isolation is what the titles of tests say (npm run docs)', () => {
  expect(readPage(ISOLATION_PAGE)).toBe(renderIsolation())
})

test('titles are found with their modifiers, and skipped tests are not', () => {
  const text = [
    "test('S1: a qualified name', async () => {})",
    "describe('I2, I7: hostile hosts', () => {})",
    "test.each([1, 2])('P3: size %i', () => {})",
    "it.skip('S4: not yet', () => {})",
    "test('S12: the owner\\'s rights', () => {})",
    "test('an ordinary title: with a colon', () => {})",
  ].join('\n')
  expect(threatsIn(text, 'x.test.ts').map(({ id, what }) => `${id} ${what}`)).toEqual([
    'S1 a qualified name',
    'I2 hostile hosts',
    'I7 hostile hosts',
    'P3 size %i',
    "S12 the owner's rights",
  ])
})
