import { createHmac, timingSafeEqual } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { cookie } from '../../src/resolve/cookie.ts'
import type { Resolver } from '../../src/resolve/resolver.ts'
import { outcomeOf, sampleRequest } from './sample-request.ts'

const ID = '0190f5a2-7c1b-7d3e-8a4f-5b6c7d8e9f00'
const resolve = cookie('tenant')

/** Of a request with these Cookie lines. */
const outcome = (lines: string | string[], by: Resolver = resolve): Promise<unknown> =>
  outcomeOf(by, sampleRequest([lines].flat().flatMap((line) => ['Cookie', line])))

/** As cookie-signature has it: `value.signature`. */
const sign = (value: string): string =>
  `${value}.${createHmac('sha256', 'secret').update(value).digest('base64').replace(/=+$/, '')}`
const unsign = (text: string): string | false => {
  const value = text.slice(0, text.lastIndexOf('.'))
  const [expected, given] = [Buffer.from(sign(value)), Buffer.from(text)]
  return expected.length === given.length && timingSafeEqual(expected, given) && value
}

describe('cookie', () => {
  test.each([
    'tenant=acme',
    'a=b; tenant=acme',
    'tenant=acme;a=b',
    ' tenant = acme ; a=b',
    '\ttenant=acme\t',
    'tenant="acme"',
    'atenant=globex; tenant=acme; tenant2=globex',
    'Tenant=globex; tenant=acme',
    'x="tenant=globex"; tenant=acme',
    'tenant; =globex; tenant=acme',
  ])('%j names acme', async (line) => {
    expect(await outcome(line)).toEqual({ key: 'acme' })
  })

  test('HTTP/2 spreads cookies over several lines; an id is taken too', async () => {
    expect(await outcome(['a=b', 'tenant=acme'])).toEqual({ key: 'acme' })
    expect(await outcome(`tenant=${ID.toUpperCase()}`)).toEqual({ id: ID })
  })

  test.each([
    '',
    'a=b',
    'tenant',
    'tenants=acme',
    'TENANT=acme',
    'a=tenant=acme',
    '\u00a0tenant=acme',
    'x=tenant',
  ])('%j names none', async (line) => {
    expect(await outcome(line)).toBe('none')
  })

  test('I2: the same cookie twice is refused, equal ones too: programs differ in which they take', async () => {
    expect(await outcome('tenant=acme; tenant=globex')).toBe('TNY102')
    expect(await outcome('tenant=acme; a=b; tenant=acme')).toBe('TNY102')
    expect(await outcome(['tenant=acme', 'tenant=globex'])).toBe('TNY102')
    expect(await outcome('tenant=acme; tenant=')).toBe('TNY102')
  })

  test.each([
    'tenant=',
    'tenant=""',
    'tenant=ACME',
    'tenant="acme',
    'tenant=a%63me',
    'tenant=acme,globex',
    'tenant="a;b"',
    "tenant=a'--",
    'tenant=\u00a0acme',
    'tenant=café',
    `tenant=${'a'.repeat(49)}`,
    'tenant=""acme""',
  ])('I7: %j is refused', async (line) => {
    expect(await outcome(line)).toBe('TNY102')
  })

  test('a signed one counts only with its signature; any other is as good as none', async () => {
    const signed = cookie('tenant', { unsign })
    expect(await outcome(`tenant=${sign('acme')}`, signed)).toEqual({ key: 'acme' })
    expect(await outcome(`tenant=${encodeURIComponent(sign('acme'))}`, signed)).toEqual({ key: 'acme' })
    for (const value of ['acme', sign('acme').replace('acme', 'globex'), `${sign('acme')}x`, '', '%zz', '%'])
      expect(await outcome(`tenant=${value}`, signed)).toBe('none')
    // The unsafe control: without the signature whoever sends it chooses.
    expect(await outcome('tenant=globex')).toEqual({ key: 'globex' })
    expect(await outcome(`tenant=${sign('ACME')}`, signed)).toBe('TNY102')
  })

  test.each(['', 'a b', 'a=b', 'a;b', 'é', '"tenant"'])('the name %j is refused at start', (name) => {
    expect(() => cookie(name)).toThrow(expect.objectContaining({ code: 'TNY002' }))
  })
})
