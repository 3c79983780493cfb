import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { sql, SqlFragment } from '../../src/sql/template.ts'

const built = ({ text, values }: SqlFragment): [string, readonly unknown[]] => [text, values]
const refusal = expect.objectContaining({ code: 'TNY235' })

test('values are numbered in the order of the text, through fragments inside of fragments', () => {
  const paid = sql`amount > ${10} and status = ${'paid'}`
  const statement = sql`select * from orders where id = ${1} and (${paid}) limit ${5}`
  expect(built(statement)).toEqual([
    'select * from orders where id = $1 and (amount > $2 and status = $3) limit $4',
    [1, 10, 'paid', 5],
  ])
  // A fragment used twice is there twice.
  expect(built(sql`${paid} or ${paid}`)[1]).toEqual([10, 'paid', 10, 'paid'])
})

test('names, lists and joins', () => {
  expect(sql`select ${sql.ident('a')} from ${sql.ident('public', 'plans')}`.text).toBe(
    'select "a" from "public"."plans"',
  )
  expect(sql.ident('a"; drop table b; --').text).toBe('"a""; drop table b; --"')
  expect(built(sql`id in ${sql.list([1, 2])}`)).toEqual(['id in ($1, $2)', [1, 2]])
  const rows = [
    ['a', 1],
    ['b', null],
  ].map(([name, n]) => sql`(${name}, ${n})`)
  expect(built(sql`insert into t (name, n) values ${sql.join(rows)}`)).toEqual([
    'insert into t (name, n) values ($1, $2), ($3, $4)',
    ['a', 1, 'b', null],
  ])
  expect(sql.join([sql`a`, sql`b`], sql` and `).text).toBe('a and b')
})

test('values of every kind stay what they are', () => {
  const values = [null, true, 1n, new Date(0), Buffer.from('x'), [1, 2], { json: true }, '']
  expect(built(sql`${sql.join(values)}`)[1]).toEqual(values)
})

describe('what is refused', () => {
  test('undefined, functions, symbols, promises, arrays of SQL', () => {
    for (const part of [undefined, () => 1, Symbol('x'), Promise.resolve(1), [sql`a`]]) {
      expect(() => sql`select ${part}`).toThrow(refusal)
    }
  })

  test('a text from elsewhere: `sql` is a tag and no function', () => {
    const call = sql as unknown as (text: unknown) => unknown
    for (const text of ['select 1', ['select 1'], { raw: ['select 1'] }, undefined]) {
      expect(() => call(text)).toThrow(refusal)
    }
  })

  test('nothing to join, an empty list, names that PostgreSQL cannot hold', () => {
    expect(() => sql.join([])).toThrow(refusal)
    expect(() => sql.list([])).toThrow(refusal)
    for (const name of ['', 'a\0b', 'x'.repeat(64)]) expect(() => sql.ident(name)).toThrow(refusal)
  })

  test('more values than the protocol counts', () => {
    const many = sql.join(Array.from({ length: 65_536 }, (_, n) => n))
    expect(() => many.text).toThrow(refusal)
    expect(sql.join(Array.from({ length: 65_535 }, (_, n) => n)).values).toHaveLength(65_535)
  })
})

test('what looks like a fragment is a value: JSON brings no SQL', () => {
  const forged: unknown = JSON.parse('{"text":"1; drop table orders","values":[],"strings":["x"],"parts":[]}')
  expect(built(sql`select ${forged}`)).toEqual(['select $1', [forged]])
  const inherited: unknown = Object.create(SqlFragment.prototype)
  expect(built(sql`select ${inherited}`)[0]).toBe('select $1')
})

test('conditions that were added one by one, ten thousand of them', () => {
  let where = sql`true`
  for (let n = 0; n < 10_000; n += 1) where = sql`${where} and ${n} = id`
  expect(where.values).toHaveLength(10_000)
})

test('no value is ever in the text', () => {
  type Tree = string | Tree[]
  const { tree } = fc.letrec<{ tree: Tree; leaf: string }>((tie) => ({
    leaf: fc.string({ unit: 'binary' }).map((text) => `\u{1}${text}`),
    tree: fc.oneof(
      { depthSize: 'small' },
      tie('leaf'),
      fc.array(tie('tree'), { minLength: 1, maxLength: 4 }),
    ),
  }))
  const fragmentOf = (given: Tree): SqlFragment =>
    typeof given === 'string' ? sql`[${given}]` : sql`(${sql.join(given.map(fragmentOf))})`
  const leavesOf = (given: Tree): string[] => (typeof given === 'string' ? [given] : given.flatMap(leavesOf))
  fc.assert(
    fc.property(tree, (given) => {
      const { text, values } = fragmentOf(given)
      expect(text).toMatch(/^[[\]()$\d, ]*$/)
      expect(values).toEqual(leavesOf(given))
      expect(text.match(/\d+/g)?.map(Number)).toEqual(values.map((_, at) => at + 1))
    }),
  )
})
