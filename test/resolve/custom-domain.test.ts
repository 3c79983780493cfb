import { describe, expect, test } from 'vitest'
import { TenantryError } from '../../src/core/errors.ts'
import { allMustAgree, firstOf } from '../../src/resolve/combine.ts'
import { customDomain } from '../../src/resolve/custom-domain.ts'
import { header } from '../../src/resolve/header.ts'
import { type Resolver, requireRef } from '../../src/resolve/resolver.ts'
import { subdomain } from '../../src/resolve/subdomain.ts'
import { sampleRequest } from './sample-request.ts'

/** What a resolver says of a host: its resolution, or the code of its refusal. */
async function outcome(resolve: Resolver, host: string, ...rawHeaders: string[]): Promise<unknown> {
  try {
    return await resolve(sampleRequest(['Host', host, ...rawHeaders]))
  } catch (error) {
    if (error instanceof TenantryError) return error.code
    throw error
  }
}

test.each([
  ['shop.acme.example', { domain: 'shop.acme.example' }],
  ['SHOP.acme.example.:8443', { domain: 'shop.acme.example' }],
  ['xn--bcher-kva.example', { domain: 'xn--bcher-kva.example' }],
  ['127.0.0.1', 'central'],
  ['[::1]:3000', 'central'],
  ['localhost', 'foreign'],
  ['a_b.acme.example', 'foreign'],
  [`${'a.'.repeat(122)}bc`, 'foreign'],
  ['bücher.example', 'TNY102'],
  ['acme.example,globex.example', 'TNY102'],
])('I2: customDomain: %s resolves to %j', async (host, expected) => {
  expect(await outcome(customDomain(), host)).toEqual(expected)
})

describe('behind subdomain()', () => {
  const resolve = firstOf(subdomain({ root: ['example.com', 'eu.example.com'] }), customDomain())

  test.each([
    ['acme.example.com', { key: 'acme' }],
    ['acme.eu.example.com', { key: 'acme' }],
    ['example.com', 'central'],
    ['eu.example.com', 'central'],
    ['127.0.0.1', 'central'],
    ['a.b.example.com', { domain: 'a.b.example.com' }],
    ['shop.acme.example', { domain: 'shop.acme.example' }],
    ['a_b.example.com', 'TNY102'],
    ['localhost', 'foreign'],
  ])('I2: %s resolves to %j', async (host, expected) => {
    expect(await outcome(resolve, host)).toEqual(expected)
  })

  test('a root is nobody’s domain, whichever resolvers stand between and however late they answer', async () => {
    const late: Resolver = async (request) => customDomain()(request)
    const central: Resolver = async (request) => subdomain({ root: 'example.com' })(request)
    for (const each of [
      firstOf(central, late),
      firstOf(subdomain({ root: 'example.com' }), header('x-tenant'), customDomain()),
      firstOf(subdomain({ root: 'example.com' }), allMustAgree(customDomain(), header('x-tenant'))),
    ]) {
      expect(await outcome(each, 'example.com')).toBe('central')
    }
  })

  test('the unsafe control: alone it takes the service’s own host for a tenant’s', async () => {
    expect(await outcome(customDomain(), 'example.com')).toEqual({ domain: 'example.com' })
  })

  test('on a root, what the request carries may still name a tenant', async () => {
    const byHeader = firstOf(subdomain({ root: 'example.com' }), header('x-tenant'), customDomain())
    expect(await outcome(byHeader, 'example.com', 'x-tenant', 'acme')).toEqual({ key: 'acme' })
  })
})

test.each([
  '',
  'localhost',
  'ACME.example',
  'a b.example',
  'acme.example\0',
  '1.2.3.4',
  `${'a.'.repeat(122)}bc`,
])('I7: { domain: %j } is refused before any look-up', (domain) => {
  expect(() => requireRef({ domain })).toThrow(expect.objectContaining({ code: 'TNY102' }))
})
