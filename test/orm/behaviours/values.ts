/** Values of every kind, hostile ones too, go in and come back as they were. */
import fc from 'fast-check'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import type { OrmSuite } from '../describe-orm.ts'
import type { Sample } from '../orm-under-test.ts'

const NOTHING: Sample = {
  words: null,
  big: null,
  flag: null,
  at: null,
  doc: null,
  tags: null,
  bytes: null,
  amount: null,
}

/** What breaks out of quotes, comments, placeholders and templates where a layer is careless. */
const HOSTILE = [
  "'",
  "''; drop table customers; --",
  '" or "1"="1',
  '\\',
  "\\'; select 1; --",
  '$1',
  '?',
  '??',
  ':name',
  '${1}',
  '{{x}}',
  '/* */ -- \n',
  '$$x$$',
  "E'\\x27'",
  '\u2028\u{1F600}é',
  'null',
  '__tenant__',
]

export function describeValues(suite: OrmSuite): void {
  async function back(sample: Partial<Sample>): Promise<Sample | undefined> {
    const id = await suite.acmeDb.saveSample({ ...NOTHING, ...sample })
    expect(await suite.globexDb.findSample(id)).toBeUndefined()
    return suite.acmeDb.findSample(id)
  }

  describe('values', () => {
    test('text, bigint, boolean, time, json, array, bytes and numeric come back as they were', async () => {
      const sample: Sample = {
        words: 'wörter\n',
        big: 9_223_372_036_854_775_807n,
        flag: false,
        at: new Date('2026-02-28T23:59:59.123Z'),
        doc: { list: [1, 'two', null], deep: { 'k"ey': true } },
        tags: ['a,b', '{"c"}', 'NULL', '', 'd\\e'],
        bytes: Buffer.from([0, 1, 39, 92, 255]),
        amount: '1234567890123456.7890',
      }
      const found = await back(sample)
      expect({ ...found, bytes: Buffer.from(found?.bytes ?? []) }).toMatchObject(sample)
    })

    test('null is null in every column', async () => {
      expect(await back({})).toMatchObject(NOTHING)
    })

    test('json that is an array, and an empty array, are what they are', async () => {
      const found = await back({ doc: [1, { two: [] }], tags: [] })
      expect(found).toMatchObject({ doc: [1, { two: [] }], tags: [] })
    })

    test('hostile texts are data, in rows, in conditions and in SQL’s values', async () => {
      for (const words of HOSTILE) {
        expect(await back({ words })).toMatchObject({ words })
        expect(await suite.acmeDb.find(words)).toBeUndefined()
        expect(await suite.acmeDb.raw('select $1::text as it', [words])).toEqual([{ it: words }])
      }
    })

    test('any text is data', async () => {
      await fc.assert(
        fc.asyncProperty(fc.string({ unit: 'grapheme' }), async (given) => {
          const words = given.replaceAll('\0', '')
          expect(await suite.acmeDb.find(words)).toBeUndefined()
          expect(await suite.acmeDb.raw('select $1::text as it', [words])).toEqual([{ it: words }])
        }),
        { numRuns: 25 },
      )
    })

    test('NUL, which PostgreSQL cannot hold, is an error and nothing else', async () => {
      await expect(suite.acmeDb.find('a\0b')).rejects.toBeInstanceOf(Error)
      expect(await suite.acmeDb.count()).toBe(1)
    })

    test('S23: one text, asked by turns for two tenants again and again, has each one’s rows', async () => {
      for (let turn = 0; turn < 12; turn += 1) {
        const [session, { key }] =
          turn % 2 === 0 ? [suite.acmeDb, suite.acme] : [suite.globexDb, suite.globex]
        const email = `first@${key}.example`
        expect(await session.find(email)).toMatchObject({ email })
        expect(await session.list({ limit: 5, offset: 0 })).toMatchObject([{ email }])
      }
    })

    test('a large result is whole', async () => {
      const rows = await suite.acmeDb.raw<{ n: number; text: string }>(
        "select n, repeat('x', 100) as text from generate_series(1, $1::int) n",
        [20_000],
      )
      expect(rows.length).toBe(20_000)
      expect(rows.at(-1)).toEqual({ n: 20_000, text: 'x'.repeat(100) })
    })

    suite.testOf('type-parsers', 'node-postgres’ type parsers hold', async () => {
      const { INT8 } = pg.types.builtins
      const former = pg.types.getTypeParser(INT8)
      pg.types.setTypeParser(INT8, BigInt)
      try {
        expect(await suite.acmeDb.raw('select 1::int8 as n')).toEqual([{ n: 1n }])
      } finally {
        pg.types.setTypeParser(INT8, former)
      }
    })
  })
}
