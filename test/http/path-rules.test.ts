import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { pathRules } from '../../src/http/path-rules.ts'

const rules = pathRules('except', ['/healthz', '/Sign-Up/', '/hooks/*', '/'])

describe('pathRules', () => {
  test.each([
    '/healthz',
    '/healthz?x=/../orders',
    '/HEALTHZ/',
    '/sign-up',
    '/hooks/',
    '/hooks',
    '/hooks/a/b',
    '/hooks/a%20b',
    '/',
    'http://any/healthz',
  ])('%s is of the set', (target) => {
    expect(rules.grants(target)).toBe(true)
    expect(rules.resembles(target)).toBe(true)
  })

  test.each([
    '/orders',
    '/healthzz',
    '/healthz/x',
    '/hooksx/a',
    '/x/healthz',
    'http://any/orders',
    '/orders?/healthz',
  ])('%s is not', (target) => {
    expect(rules.grants(target)).toBe(false)
    expect(rules.resembles(target)).toBe(false)
  })

  test.each([
    '/healthz/../orders',
    '/hooks/../orders',
    '/hooks/%2e%2e/orders',
    '/hooks/%2E./orders',
    '/hooks/..%2forders',
    '/hooks/..%5corders',
    '/hooks/..\\orders',
    '/hooks/%252e%252e/orders',
    '/hooks//orders',
    '//orders',
    '//healthz',
    '/hooks/x%00',
    '/hooks/%zz',
    '/healthz#/../orders',
    '/hooks/./orders',
    '/hooks/..',
    '*',
    '',
    'healthz',
    'hooks/x',
  ])('I2: the devious %j opens nothing', (target) => {
    expect(rules.grants(target)).toBe(false)
  })

  test.each([
    '//healthz',
    '/x/../healthz',
    '/%68ealthz',
    '/./healthz/',
    '/healthz#x',
    '/hooks%2Fx',
    '/x/%2e%2e/HOOKS/a',
    '\\healthz',
  ])('I2: %j is near enough to be refused where the path is', (target) => {
    expect(rules.resembles(target)).toBe(true)
  })

  test('escapes in a pattern are those of the request line', () => {
    const escaped = pathRules('central', ['/caf%C3%A9'])
    expect(escaped.grants('/caf%c3%a9')).toBe(true)
    expect(escaped.resembles('/%63af%c3%a9/')).toBe(true)
    expect(rules.resembles('/%68ooks/%aa')).toBe(true)
  })

  test('I2: what is opened stays below its prefix, however it is read', () => {
    const piece = fc.constantFrom(
      '/hooks/',
      '/',
      '.',
      '..',
      '%2e',
      '%2f',
      '%5c',
      '\\',
      'a',
      '%25',
      '#',
      '?',
      ';',
      '%',
      'ℼ',
    )
    const path = fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join(''))
    const below = pathRules('except', ['/hooks/*'])
    let granted = 0
    fc.assert(
      fc.property(path, (target) => {
        if (!below.grants(target)) return true
        granted += 1
        let read = new URL(target, 'http://x').pathname
        for (let round = 0; round < 3; round += 1) read = new URL(unescape(read), 'http://x').pathname
        return `${read}/`.startsWith('/hooks/') && below.resembles(target)
      }),
      { numRuns: 20_000 },
    )
    expect(granted).toBeGreaterThan(100)
  })

  test.each(['healthz', '', '/a*', '/*/b', '*', '/a/**', '/a?b', '/a/../b', '/a#b', '//', '/a//b', '/%2e'])(
    'the pattern %j is refused at start',
    (pattern) => {
      expect(() => pathRules('except', [pattern])).toThrow(expect.objectContaining({ code: 'TNY002' }))
    },
  )
})
