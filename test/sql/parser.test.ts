import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { createParser } from '../../src/sql/parser.ts'
import { readStatement } from '../../src/sql/statement.ts'

const DEEP = `select ${'1+('.repeat(4_000)}1${')'.repeat(4_000)}`
const LONG = `select ${'1+'.repeat(20_000)}1`

test('texts that are nested too deeply are refused, and however many come, others are read', async () => {
  const parser = createParser()
  await parser.load()
  for (let round = 0; round < 30; round += 1) {
    for (const text of [DEEP, LONG, DEEP, LONG]) {
      expect(() => parser.parse(text)).toThrow(expect.objectContaining({ code: 'TNY213' }))
    }
    await sleep(20)
    expect([...readStatement('select f(1) from t', parser).functions]).toEqual(['f'])
  }
  // Those who come faster than it is made anew are told so, and the next is served.
  for (let count = 0; count < 60; count += 1) expect(() => parser.parse(LONG)).toThrow(/nested|anew/)
  await expect.poll(() => tries(() => parser.parse('select 1').length)).toBe(1)
}, 120_000)

function tries<T>(fn: () => T): T | undefined {
  try {
    return fn()
  } catch {
    return undefined
  }
}

test('deep trees that can be read are read to their end', async () => {
  const parser = createParser()
  await parser.load()
  const sql = `select ${'f('.repeat(900)}set_config('role', 'x', true)${')'.repeat(900)}`
  expect([...readStatement(sql, parser).functions].sort()).toEqual(['f', 'set_config'])
})

test('S6: characters at which the parser and the server would part ways are refused', async () => {
  const parser = createParser()
  await parser.load()
  for (const text of ['select 1\0; reset role', "select '\ud800', 1", "select '\udc00'"]) {
    expect(() => parser.parse(text)).toThrow(expect.objectContaining({ code: 'TNY213' }))
  }
  expect(parser.parse("select '😀'")).toHaveLength(1)
  expect(parser.parse(' \n\t ')).toEqual([])
})
