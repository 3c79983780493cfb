import fc from 'fast-check'
import { scanSync } from 'libpg-query'
import { beforeAll, expect, test } from 'vitest'
import { loadParser } from '../../src/sql/statement.ts'
import { unqualify } from '../../src/sql/unqualify.ts'

beforeAll(() => loadParser())

test.for([
  ['select "s"."o"."id" from "s"."o"', 'select "o"."id" from "o"'],
  ['select cast($1::text as "s"."Status")', 'select cast($1::text as "Status")'],
  ['select * from "s" . "o", "s"\n."p"', 'select * from  "o", "p"'],
])('it goes from in front of what it qualifies: %s', ([text = '', expected]) => {
  // The space between is what the user wrote, and stays.
  expect(unqualify(text, 's').replaceAll(/\s+/g, ' ')).toBe(expected?.replaceAll(/\s+/g, ' '))
})

test.for([
  `select '"s"."o"'`,
  `select 'it''s "s"."o"'`,
  `select E'\\'"s"."o"'`,
  `select e'a'\n'\\'"s"."o"'`,
  `select B'"s"."o"'`,
  `select $$"s"."o"$$`,
  `select $a$ $b$ "s"."o" $a$`,
  `select 1 -- "s"."o"`,
  `select 1 /* /* */ "s"."o" */`,
  `select """s"."o"`,
  `select "a""s"."o"`,
  `select U&"s"."o"`,
  `select a."s"."o"`,
  `select a . /* of it */ "s"."o"`,
  `select "s", "s" as x`,
  `select "S"."o", s."o"`,
  `select '"s"."o"`,
  `select $q$"s"."o"`,
  `select /* "s"."o"`,
])('it stays: %s', (text) => {
  expect(unqualify(text, 's')).toBe(text)
})

test('a name that ends in e does not begin an escape string', () => {
  expect(unqualify(`select type'\\', "s"."o" from "s"."o"`, 's')).toBe(`select type'\\', "o" from "o"`)
  expect(unqualify(`select $1E'\\''`, 's')).toBe(`select $1E'\\''`)
})

/** Whatever may open, close, or look as if it did. */
const PIECES = [
  ...['"s"', '"s".', '"s"."o"', '.', '"', '""', "'", "''", '\\', "\\'", "E'", "e'", "U&'", 'U&"', "b'", 'x'],
  ...['$$', '$a$', '$1', '$', '--', '\n', '/*', '*/', '/', '*', ' ', 'e', 'type', '1', 'é', 'E', '\r', ';'],
]

test('S6: as PostgreSQL’s own scanner reads it, whatever the text', () => {
  let read = 0
  fc.assert(
    fc.property(fc.array(fc.constantFrom(...PIECES), { maxLength: 14 }), (pieces) => {
      const text = pieces.join('')
      const expected = asScanned(text)
      if (expected === undefined) return
      read += 1
      expect(unqualify(text, 's')).toBe(expected)
    }),
    { numRuns: 20_000 },
  )
  expect(read).toBeGreaterThan(2_000)
})

/** `undefined` where the scanner refuses the text, as the server would. */
function asScanned(text: string): string | undefined {
  const bytes = Buffer.from(text)
  let tokens
  try {
    tokens = scanSync(text).tokens.filter(({ tokenName }) => !tokenName.endsWith('COMMENT'))
  } catch {
    return undefined
  }
  let result = ''
  let taken = 0
  for (const [index, { text: token, start, end }] of tokens.entries()) {
    const dot = tokens[index + 1]
    if (token !== '"s"' || dot?.text !== '.' || tokens[index - 1]?.text === '.') continue
    if (!/^\s*$/.test(bytes.subarray(end, dot.start).toString())) continue
    result += bytes.subarray(taken, start).toString()
    taken = dot.end
  }
  return result + bytes.subarray(taken).toString()
}
