import { describe, expect, test } from 'vitest'
import { allMustAgree, firstOf } from '../../src/resolve/combine.ts'
import { header } from '../../src/resolve/header.ts'
import { pathPrefix } from '../../src/resolve/path-prefix.ts'
import type { Resolver } from '../../src/resolve/resolver.ts'
import { subdomain } from '../../src/resolve/subdomain.ts'
import { outcomeOf, sampleRequest } from './sample-request.ts'

const resolve = pathPrefix({ prefix: '/t' })

const outcome = (target: string, by: Resolver = resolve, rawHeaders: string[] = []): Promise<unknown> =>
  outcomeOf(by, sampleRequest(rawHeaders, { target }))

describe('pathPrefix', () => {
  test.each([
    ['/t/acme/orders?page=2', '/orders?page=2'],
    ['/t/acme/orders/', '/orders/'],
    ['/t/acme', '/'],
    ['/t/acme/', '/'],
    ['/t/acme?page=2', '/?page=2'],
    ['/t/acme/?a=/t/globex', '/?a=/t/globex'],
    ['http://example.com/t/acme/orders?x', 'http://example.com/orders?x'],
    ['http://t/t/acme', 'http://t/'],
    ['/t/acme/files/a%2Fb', '/files/a%2Fb'],
    ['/t/acme/100%25', '/100%25'],
    ['/t/acme/a/../b', '/a/../b'],
    ['/t/acme/.well-known/x', '/.well-known/x'],
    ['/t/acme/orders;v=1', '/orders;v=1'],
    ['/t/acme/a//b', '/a//b'],
  ])('%s names acme, and routers see %s', async (target, routed) => {
    expect(await outcome(target)).toEqual({ key: 'acme' })
    expect(resolve.rewrite?.(target)).toBe(routed)
    expect(resolve.rewrite?.(routed)).toBe(routed)
  })

  test.each([
    '/',
    '/t',
    '/t/',
    '/t?x',
    '/orders',
    '/tt/acme',
    '/tacme',
    '/x/t/acme',
    '/?/t/acme',
    '*',
    '',
    'example.com:443',
  ])('%j names none, and stays as it is', async (target) => {
    expect(await outcome(target)).toBe('none')
    expect(resolve.rewrite?.(target)).toBe(target)
  })

  test.each([
    [
      'what one program shortens and another does not',
      ['/t/acme/%74/orders/..;', '/%74/x//..', '/%74/acme%3f/..', '/%74/acme/%5c..', '/%74/acme/.%09.'],
    ],
    ['endless escapes', [`/%${'25'.repeat(2_000)}74/acme`, `/t/acme/%${'25'.repeat(2_000)}2e`]],
    ['another beginning', ['t/acme', './t/acme', 'T/acme']],
    ['another slash', ['//t/acme', '/t//acme', '/t/acme//globex.example/x', '/t/acme/\\x', '///t/acme']],
    ['another case', ['/T/acme', '/t/ACME', '/t/Acme/x']],
    [
      'steps upwards',
      [
        '/t/acme/..',
        '/t/acme/../globex',
        '/t/acme/../acme',
        '/t/acme/x/../../globex',
        '/x/../t/acme',
        '/t/../t/acme',
        '/t/./acme',
        '/./t/acme',
        '/t/..',
        '/t/acme/..;/globex',
        '/t/acme/..%3f/globex',
      ],
    ],
    [
      'escapes',
      [
        '/t/%61cme',
        '/%74/acme',
        '/t%2facme',
        '/t/acme%2f..%2fglobex',
        '/t/acme/%2e%2e/globex',
        '/t/acme/.%2E/globex',
        '/t/acme/..%2fglobex',
        '/t/acme/..%5cglobex',
        '/t/acme/%252e%252e/globex',
        '/t/acme/%25252e%25252e%25252fglobex',
        '/t/acme%00',
        '/t/acm%c3%a9',
      ],
    ],
    ['backslashes', ['\\t\\acme', '/\\t/acme', '/t/acme/\\..\\globex', '/t\\acme']],
    ['parameters', ['/t;x/acme', '/t/acme;x', '/t/acme;x/orders', '/;/t/acme']],
    ['fragments', ['/t/acme#', '/t/acme/#x', '/t/acme/x#/../../globex']],
    ['control characters', ['/t/ac\tme', '/\tt/acme', '/t/acme/.\n./globex', '/t/acme/\t/globex.example']],
    [
      'two tenants',
      ['/t/acme/t/globex', '/t/acme/T/globex/x', '/t/acme/%74/globex', '/t/acme/x/../t/globex'],
    ],
    [
      'no key',
      ['/t//', '/t/-', '/t/a--b', '/t/a_b', '/t/a.b', '/t/café', `/t/${'a'.repeat(49)}`, '/t/*', '/t/:key'],
    ],
  ])('I2, I7: %s: refused, and routers see the path that came', async (_, targets) => {
    for (const target of targets) {
      expect([target, await outcome(target)]).toEqual([target, 'TNY102'])
      expect(resolve.rewrite?.(target)).toBe(target)
      const absolute = `http://example.com${target}`
      if (target.startsWith('/')) expect([absolute, await outcome(absolute)]).toEqual([absolute, 'TNY102'])
    }
  })

  test('I4: a reserved key is a name like any other here', async () => {
    for (const key of ['none', 'public', 'postgres']) expect(await outcome(`/t/${key}`)).toEqual({ key })
    expect(await outcome('/t/pg_x')).toBe('TNY102')
  })

  test('a prefix may have several segments', async () => {
    const deep = pathPrefix({ prefix: '/api/tenants' })
    expect(await outcome('/api/tenants/acme/orders', deep)).toEqual({ key: 'acme' })
    expect(deep.rewrite?.('/api/tenants/acme/orders')).toBe('/orders')
    expect(await outcome('/api/acme', deep)).toBe('none')
    expect(await outcome('/api/x/../tenants/acme', deep)).toBe('TNY102')
  })

  test.each(['', '/', 't', '/t/', '//t', '/t/*', '/:t', '/t?', '/../t', '/%74', '/t/./x'])(
    'the prefix %j is refused at start',
    (prefix) => {
      expect(() => pathPrefix({ prefix })).toThrow(expect.objectContaining({ code: 'TNY002' }))
    },
  )
})

describe('beside other resolvers', () => {
  test('firstOf and allMustAgree carry the rewriting on, also of resolvers that did not decide', () => {
    for (const combine of [firstOf, allMustAgree]) {
      const both = combine(header('x-tenant'), firstOf(resolve, subdomain({ root: 'example.com' })))
      expect(both.rewrite?.('/t/acme/orders')).toBe('/orders')
      expect(both.rewrite?.('/orders')).toBe('/orders')
      expect(combine(header('x-tenant')).rewrite).toBeUndefined()
    }
    const two = firstOf(resolve, pathPrefix({ prefix: '/w' }))
    expect(two.rewrite?.('/w/acme/orders')).toBe('/orders')
  })

  test('I1: the path and the host must name the same tenant', async () => {
    const both = allMustAgree(subdomain({ root: 'example.com' }), resolve)
    const host = ['Host', 'acme.example.com']
    expect(await outcome('/t/acme/orders', both, host)).toEqual({ key: 'acme' })
    expect(await outcome('/orders', both, host)).toEqual({ key: 'acme' })
    expect(await outcome('/t/globex/orders', both, host)).toEqual([{ key: 'acme' }, { key: 'globex' }])
    expect(await outcome('/t/acme/../globex', both, host)).toBe('TNY102')
  })

  test('a long path is refused where reading it in every way would cost a server its time', async () => {
    expect(await outcome(`/x${'/%252525252525252525;a\\'.repeat(600)}`)).toBe('TNY102')
    expect(await outcome(`/files/${'a%20'.repeat(3_700)}`)).toBe('none')
    expect(await outcome(`/t/acme/files/${'a%20'.repeat(3_700)}`)).toEqual({ key: 'acme' })
  })
})
