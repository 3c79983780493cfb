import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cacheKey, type CacheKeyPart } from '../../src/core/cache-key.ts'
import type { Tenancy } from '../../src/index.ts'
import { createTenantWorld, type TenantWorld } from '../support/tenants.ts'

let world: TenantWorld
beforeAll(async () => {
  world = await createTenantWorld('acme', 'globex')
})
afterAll(() => world.close())

/** An endpoint that remembers its answer, asked by one tenant after the other. */
async function ownersFromCache(keyOf: (tenancy: Tenancy) => string): Promise<unknown[]> {
  const cache = new Map<string, unknown>()
  const tenancy = world.open()
  const first = async (): Promise<unknown> => {
    const key = keyOf(tenancy)
    if (!cache.has(key)) {
      const { rows } = await tenancy.pool.query('select owner from orders order by id limit 1')
      cache.set(key, rows[0]?.['owner'])
    }
    return cache.get(key)
  }
  return [await tenancy.run('acme', first), await tenancy.run('globex', first)]
}

test('A4: a cache keyed without the tenant serves one’s rows to another: the attack', async () => {
  expect(await ownersFromCache(() => ['orders', 1].join(':'))).toEqual(['acme', 'acme'])
})

test('A4: a key of the context’s tenant finds its own rows alone', async () => {
  expect(await ownersFromCache((tenancy) => tenancy.cacheKey('orders', 1))).toEqual(['acme', 'globex'])
})

/** Few values, so that pairs nearly meet, and what separators and escapes are made of. */
const id = fc.string({
  unit: fc.constantFrom('a', 'b', '1', ':', ',', '"', '[', ']', '\\', '~'),
  minLength: 1,
  maxLength: 4,
})
const text = fc.oneof(
  fc.string({ unit: fc.constantFrom('a', '1', ':', ' ', ',', '"', '[', ']', '\\', '\n'), maxLength: 4 }),
  fc.string({ unit: 'binary', maxLength: 4 }),
  // Halves of surrogate pairs, which an encoding to UTF-8 would make equal.
  fc.constantFrom('\ud800', '\ud801', '\\ud800', '\ufffd'),
)
const part = fc.oneof(
  text,
  fc.integer({ min: -2, max: 12 }),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
)
const owner = fc.tuple(id, fc.array(part, { maxLength: 3 }))

test('A4: no two tenants and no two lists of parts have a key in common', () => {
  const seen = new Map<string, string>()
  const plain = ([tenantId, parts]: [string, CacheKeyPart[]]): string =>
    // Minus zero is zero, to a Map and to PostgreSQL alike.
    JSON.stringify([
      tenantId,
      parts.map((value) => (typeof value === 'number' ? `${value + 0}n` : `${value}s`)),
    ])
  fc.assert(
    fc.property(fc.array(owner, { minLength: 2, maxLength: 10 }), (owners) => {
      for (const one of owners) {
        const key = cacheKey(...one)
        const before = seen.get(key) ?? plain(one)
        expect(plain(one)).toBe(before)
        seen.set(key, before)
        expect(key.startsWith(`${one[0]} `)).toBe(true)
      }
    }),
    { numRuns: 2_000 },
  )
})

test.each([
  [
    ['a', 'b:c'],
    ['a:b', 'c'],
  ],
  [['a b'], ['a', 'b']],
  [[1], ['1']],
  [[], ['']],
  [['a'], ['a', '']],
] satisfies [CacheKeyPart[], CacheKeyPart[]][])('A4: %j and %j are two keys', (one, other) => {
  expect(cacheKey('id', one)).not.toBe(cacheKey('id', other))
})

test('A4: an id that looks like another’s with a part is not taken for it', () => {
  expect(cacheKey('a', ['b'])).not.toBe(cacheKey('a["b"]', []))
})

test('A4: without a tenant there is no key, and no part may be what JSON would change', async () => {
  const tenancy = world.open()
  expect(() => tenancy.cacheKey('orders')).toThrow(expect.objectContaining({ code: 'TNY201' }))
  const { id: acmeId = '' } = world.tenants['acme'] ?? {}
  await tenancy.run('acme', () => {
    expect(tenancy.cacheKey('orders', 7)).toBe(`${acmeId} ["orders",7]`)
    for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, undefined, null, { toJSON: () => 7 }, 7n, true])
      expect(() => tenancy.cacheKey(bad as never)).toThrow(TypeError)
  })
})
