import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { TenantryError } from '../../src/core/errors.ts'
import { canonicalHost } from '../../src/resolve/canonical-host.ts'

function codeOf(fn: () => unknown): string {
  try {
    return JSON.stringify(fn())
  } catch (error) {
    if (error instanceof TenantryError) return error.code
    throw error
  }
}

describe('canonicalHost', () => {
  test.each([
    ['acme.example.com', 'acme.example.com'],
    ['ACME.Example.COM', 'acme.example.com'],
    ['acme.example.com.', 'acme.example.com'],
    ['acme.example.com:8080', 'acme.example.com'],
    ['Acme.example.com.:443', 'acme.example.com'],
    ['acme.example.com:', 'acme.example.com'],
    ['localhost', 'localhost'],
    ['xn--caf-dma.example.com', 'xn--caf-dma.example.com'],
    ['my_service:80', 'my_service'],
  ])('I2: %s has the one form %s', (text, name) => {
    expect(canonicalHost(text)).toEqual({ name, isAddress: false })
  })

  test.each([
    ['127.0.0.1', '127.0.0.1'],
    ['127.0.0.1:3000', '127.0.0.1'],
    ['127.0.0.1.', '127.0.0.1'],
    ['[::1]', '::1'],
    ['[::1]:3000', '::1'],
    ['[0:0:0:0:0:0:0:1]', '::1'],
    ['[2001:DB8::0:1]', '2001:db8::1'],
  ])('I2: %s is the address %s', (text, name) => {
    expect(canonicalHost(text)).toEqual({ name, isAddress: true })
  })

  test.each([
    [''],
    ['.'],
    ['..'],
    [':80'],
    ['acme..example.com'],
    ['.example.com'],
    ['acme.example.com..'],
    ['-acme.example.com'],
    ['acme-.example.com'],
    ['acme.example.com:80:80'],
    ['acme.example.com:65536'],
    ['acme.example.com:http'],
    ['acme.example.com:-1'],
    ['user@acme.example.com'],
    ['globex.example.com:80@acme.example.com'],
    ['acme.example.com/'],
    ['acme.example.com, globex.example.com'],
    ['acme.example.com globex'],
    ['acme%2eexample.com'],
    ['http://acme.example.com'],
    ['::1'],
    ['[::1'],
    ['[::1]x'],
    ['[fe80::1%eth0]'],
    ['[127.0.0.1]'],
    ['[]'],
    ['127.1'],
    ['0x7f.0.0.1'],
    ['127.0.0.01'],
    ['2130706433'],
    ['1.2.3.4.5'],
    ['300.1.1.1'],
  ])('I2: %j is refused', (text) => {
    expect(codeOf(() => canonicalHost(text))).toBe('TNY102')
  })

  test.each([
    ["acme'.example.com"],
    ['acme".example.com'],
    ['acme\n.example.com'],
    ['acme.example.com\n'],
    ['acme.example.com\r\nx: y'],
    ['acme\0.example.com'],
    ['acme;drop.example.com'],
  ])('I7: %j is refused', (text) => {
    expect(codeOf(() => canonicalHost(text))).toBe('TNY102')
  })

  test.each([
    ['café.example.com'],
    ['cafe\u0301.example.com'],
    ['\u0430cme.example.com'],
    ['acme。example.com'],
  ])('I6: %j is refused, not folded', (text) => {
    expect(codeOf(() => canonicalHost(text))).toBe('TNY102')
  })

  test('I2: names and labels have their lengths', () => {
    const label = 'a'.repeat(63)
    expect(canonicalHost(`${label}.example.com`).name).toBe(`${label}.example.com`)
    expect(codeOf(() => canonicalHost(`a${label}.example.com`))).toBe('TNY102')
    const longest = [label, label, label, 'a'.repeat(61)].join('.')
    expect(canonicalHost(`${longest}.:65535`).name).toBe(longest)
    expect(codeOf(() => canonicalHost(`a${longest}`))).toBe('TNY102')
    expect(codeOf(() => canonicalHost('a.'.repeat(100_000)))).toBe('TNY102')
  })

  const anything = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    fc.string({ unit: fc.constantFrom(...Array.from('aZ09.-_:[]@/%, \t\n\0é')), maxLength: 40 }),
    fc.webAuthority({ withIPv4: true, withIPv6: true, withPort: true, withUserInfo: true }),
  )

  test('I2 I7: any text has a form that is its own form, or is refused', () => {
    fc.assert(
      fc.property(anything, (text) => {
        const first = codeOf(() => canonicalHost(text))
        if (first === 'TNY102') return
        const host = canonicalHost(text)
        const again = host.name.includes(':') ? `[${host.name}]` : host.name
        expect(canonicalHost(again)).toEqual(host)
        expect(host.name).toMatch(/^[a-z0-9_.:-]{1,253}$/)
      }),
      { numRuns: 20_000 },
    )
  })

  test('I2: a host that is accepted is the one that a browser would go to', () => {
    fc.assert(
      fc.property(anything, (text) => {
        if (codeOf(() => canonicalHost(text)) === 'TNY102') return true
        const { name, isAddress } = canonicalHost(text)
        const url = URL.canParse(`http://${text}`) ? new URL(`http://${text}`).hostname : undefined
        // Punycode that encodes nothing valid is refused there; here it is an unknown name at worst.
        if (url === undefined) return name.includes('xn--')
        return (isAddress ? url.replace(/^\[|\]$/g, '') : url.replace(/\.$/, '')) === name
      }),
      { numRuns: 20_000 },
    )
  })
})
