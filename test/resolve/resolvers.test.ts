import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TenantryError } from '../../src/core/errors.ts'
import { allMustAgree, firstOf } from '../../src/resolve/combine.ts'
import { header } from '../../src/resolve/header.ts'
import type { Resolver } from '../../src/resolve/resolver.ts'
import { requireRef } from '../../src/resolve/resolver.ts'
import { subdomain } from '../../src/resolve/subdomain.ts'
import { outcomeOf, sampleRequest } from './sample-request.ts'

const ID = '0190f5a2-7c1b-7d3e-8a4f-5b6c7d8e9f00'

/** What a resolver says of these header lines. */
const outcome = (resolve: Resolver, ...rawHeaders: string[]): Promise<unknown> =>
  outcomeOf(resolve, sampleRequest(rawHeaders))

describe('subdomain', () => {
  const resolve = subdomain({ root: 'example.com' })

  test.each([
    ['acme.example.com', { key: 'acme' }],
    ['ACME.example.com.:3000', { key: 'acme' }],
    ['acme-2.example.com', { key: 'acme-2' }],
    ['example.com', 'central'],
    ['example.com:3000', 'central'],
    ['127.0.0.1:3000', 'central'],
    ['[::1]', 'central'],
    ['a.b.example.com', 'foreign'],
    ['acme.example.org', 'foreign'],
    ['acmeexample.com', 'foreign'],
    ['acme.example.com.evil.org', 'foreign'],
    ['localhost', 'foreign'],
    ['com', 'foreign'],
  ])('I2: %s resolves to %j', async (host, expected) => {
    expect(await outcome(resolve, 'Host', host)).toEqual(expected)
  })

  test.each(['a_b', 'a--b', 'xn--caf-dma', 'a'.repeat(49), '_'])('I7: the key %s is refused', async (key) => {
    expect(await outcome(resolve, 'Host', `${key}.example.com`)).toBe('TNY102')
  })

  test.each(['none', 'public', 'postgres', 'admin'])(
    'I4: the reserved %s is a name like any other here',
    async (key) => {
      expect(await outcome(resolve, 'Host', `${key}.example.com`)).toEqual({ key })
    },
  )

  test('I4: pg_x is no key', async () => {
    expect(await outcome(resolve, 'Host', 'pg_x.example.com')).toBe('TNY102')
  })

  test('several roots, with ports; the more special one wins', async () => {
    const both = subdomain({ root: ['example.com:3000', 'eu.example.com', 'LOCALHOST'] })
    expect(await outcome(both, 'Host', 'acme.localhost:3000')).toEqual({ key: 'acme' })
    expect(await outcome(both, 'Host', 'acme.example.com')).toEqual({ key: 'acme' })
    expect(await outcome(both, 'Host', 'acme.eu.example.com')).toEqual({ key: 'acme' })
    expect(await outcome(both, 'Host', 'eu.example.com')).toBe('central')
  })

  test.each([[''], ['127.0.0.1'], ['https://example.com'], [[]], ['*.example.com']])(
    'the root %j is refused at start',
    (root) => {
      expect(() => subdomain({ root })).toThrow(expect.objectContaining({ code: 'TNY002' }))
    },
  )

  test('I1 I2 I7: of any host, only the tenant whose canonical host was sent is resolved', async () => {
    const part = fc.oneof(
      fc.constantFrom(
        'acme',
        'globex',
        'example',
        'com',
        '.',
        ':',
        '@',
        ':80',
        'ACME',
        '\n',
        '\0',
        '%',
        '[',
        ',',
      ),
      fc.string({ maxLength: 3 }),
    )
    const host = fc.oneof(
      fc.array(part, { maxLength: 8 }).map((parts) => parts.join('')),
      fc
        .tuple(
          fc.array(part, { minLength: 1, maxLength: 3 }),
          fc.constantFrom('', '.', ':80', '.:80', 'x', '@'),
        )
        .map(([a, b]) => `${a.join('')}.example.com${b}`),
    )
    let named = 0
    await fc.assert(
      fc.asyncProperty(fc.array(host, { maxLength: 2 }), async (hosts) => {
        const found = await outcome(resolve, ...hosts.flatMap((value) => ['Host', value]))
        if (typeof found === 'string') return ['TNY102', 'foreign', 'central'].includes(found)
        named += 1
        const { key } = found as { key: string }
        return (
          hosts.length === 1 && hosts[0]?.toLowerCase().replace(/\.?(:\d*)?$/, '') === `${key}.example.com`
        )
      }),
      { numRuns: 10_000 },
    )
    expect(named).toBeGreaterThan(100)
  })
})

describe('header', () => {
  const resolve = header('X-Tenant')

  test('takes a key, or a uuid as an id', async () => {
    expect(await outcome(resolve, 'x-tenant', 'acme')).toEqual({ key: 'acme' })
    expect(await outcome(resolve, 'X-TENANT', ID)).toEqual({ id: ID })
    expect(await outcome(resolve, 'x-tenant', ID.toUpperCase())).toEqual({ id: ID })
    expect(await outcome(resolve, 'x-other', 'acme')).toBe('none')
  })

  test.each([
    '',
    ' ',
    'ACME',
    'acme, globex',
    'acme,',
    "acme'--",
    'a\0b',
    'café',
    '../acme',
    'a'.repeat(49),
    `${ID}0-`,
  ])('I7: the value %j is refused', async (value) => {
    expect(await outcome(resolve, 'x-tenant', value)).toBe('TNY102')
  })

  test('I2: two lines are refused, equal ones too', async () => {
    expect(await outcome(resolve, 'x-tenant', 'acme', 'X-Tenant', 'acme')).toBe('TNY102')
  })

  test('I7: of any value, only the tenant of that very name is resolved', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.string({ unit: fc.constantFrom(...Array.from('abz09-_A ,\n\0\'"é')), maxLength: 12 }),
        async (value) => {
          const found = await outcome(resolve, 'x-tenant', value)
          return found === 'TNY102' || (found as { key: string }).key === value
        },
      ),
      { numRuns: 10_000 },
    )
  })
})

describe('firstOf', () => {
  const resolve = firstOf(header('x-tenant'), subdomain({ root: 'example.com' }))

  test('the first that names a tenant decides', async () => {
    expect(await outcome(resolve, 'Host', 'acme.example.com', 'x-tenant', 'globex')).toEqual({
      key: 'globex',
    })
    expect(await outcome(resolve, 'Host', 'acme.example.com')).toEqual({ key: 'acme' })
  })

  test('I7: an invalid name is refused, not passed over', async () => {
    expect(await outcome(resolve, 'Host', 'acme.example.com', 'x-tenant', 'GLOBEX')).toBe('TNY102')
  })

  test('where none names one, the one that knows the address speaks', async () => {
    expect(await outcome(resolve, 'Host', 'example.com')).toBe('central')
    expect(await outcome(resolve, 'Host', 'example.org')).toBe('foreign')
    const two = firstOf(subdomain({ root: 'example.com' }), subdomain({ root: 'example.org' }))
    expect(await outcome(two, 'Host', 'example.com')).toBe('central')
    expect(await outcome(two, 'Host', 'example.net')).toBe('foreign')
    expect(await outcome(firstOf(header('x-tenant')), 'Host', 'example.net')).toBe('none')
  })

  test('resolvers may be asynchronous, in any place', async () => {
    const late = firstOf<unknown>(
      async () => Promise.resolve('none' as const),
      async (request) => Promise.resolve({ key: request.header('x-late')[0] ?? 'nobody' }),
      () => {
        throw new Error('never asked')
      },
    )
    expect(await outcome(late, 'x-late', 'acme')).toEqual({ key: 'acme' })
    const central = firstOf(subdomain({ root: 'example.com' }), async () =>
      Promise.resolve('foreign' as const),
    )
    expect(await outcome(central, 'Host', 'example.com')).toBe('central')
  })
})

describe('allMustAgree', () => {
  const resolve = allMustAgree(subdomain({ root: 'example.com' }), header('x-tenant'))

  test('I1: one name, or several for the look-up to compare', async () => {
    expect(await outcome(resolve, 'Host', 'acme.example.com', 'x-tenant', 'acme')).toEqual({ key: 'acme' })
    expect(await outcome(resolve, 'Host', 'acme.example.com')).toEqual({ key: 'acme' })
    expect(await outcome(resolve, 'Host', 'acme.example.com', 'x-tenant', 'globex')).toEqual([
      { key: 'acme' },
      { key: 'globex' },
    ])
    expect(await outcome(resolve, 'Host', 'acme.example.com', 'x-tenant', ID)).toEqual([
      { key: 'acme' },
      { id: ID },
    ])
  })

  test('I1: a header makes no tenant of an address that has none', async () => {
    expect(await outcome(resolve, 'Host', 'example.com', 'x-tenant', 'acme')).toBe('central')
    expect(await outcome(resolve, 'Host', '127.0.0.1', 'x-tenant', 'acme')).toBe('central')
    expect(await outcome(resolve, 'Host', 'example.org', 'x-tenant', 'acme')).toBe('foreign')
  })

  test('an invalid name is refused, also beside a resolver that fails later', async () => {
    expect(await outcome(resolve, 'Host', 'acme.example.com', 'x-tenant', 'GLOBEX')).toBe('TNY102')
    const failing = allMustAgree<unknown>(
      () => Promise.reject(new TenantryError('TNY102')),
      header('x-tenant'),
    )
    expect(await outcome(failing, 'x-tenant', 'GLOBEX')).toBe('TNY102')
  })

  test('asynchronous ones agree too', async () => {
    const late = allMustAgree(header('x-tenant'), async () => Promise.resolve({ key: 'acme' }))
    expect(await outcome(late, 'x-tenant', 'acme')).toEqual({ key: 'acme' })
    expect(await outcome(late, 'x-tenant', 'globex')).toEqual([{ key: 'globex' }, { key: 'acme' }])
  })
})

describe('requireRef', () => {
  test.each([
    { key: '' },
    { key: 'A' },
    { id: '' },
    { id: 'a b' },
    { id: 'a\0' },
    { id: 'é' },
    { id: 'a'.repeat(201) },
  ])('I7: %j is refused', (ref) => {
    expect(() => requireRef(ref)).toThrow(expect.objectContaining({ code: 'TNY102' }))
  })

  test('ids of other kinds are taken', () => {
    for (const id of ['42', ID, 'cus_Nf9']) expect(requireRef({ id })).toEqual({ id })
  })
})
