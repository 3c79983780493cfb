import { createHmac, createSecretKey, generateKeyPairSync } from 'node:crypto'
import type { JWTPayload } from 'jose'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { allMustAgree } from '../../src/resolve/combine.ts'
import { credentialOf } from '../../src/resolve/credential.ts'
import { jwt } from '../../src/resolve/jwt.ts'
import type { JwtChecks, JwtOptions } from '../../src/resolve/jwt.ts'
import { subdomain } from '../../src/resolve/subdomain.ts'
import { outcomeOf, sampleRequest } from './sample-request.ts'
import { AUDIENCE, bearer, claimsOf, ISSUER, part, sign } from './sample-tokens.ts'

const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const otherRsa = generateKeyPairSync('rsa', { modulusLength: 2048 })
const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const ed = generateKeyPairSync('ed25519')
const PEM = rsa.publicKey.export({ type: 'spki', format: 'pem' }) as string
const SECRET = 'a secret of at least 32 characters, no less'
const CHECKS: JwtChecks = { issuer: ISSUER, audience: AUDIENCE }
const ID = 'id-of-acme'

const resolve = jwt({ key: rsa.publicKey, ...CHECKS })
const RS256 = { alg: 'RS256' }
const signed = (claims = claimsOf(ID)): Promise<string> => sign(claims, rsa.privateKey, RS256)
const outcome = (token: string, by = resolve): Promise<unknown> => outcomeOf(by, sampleRequest(bearer(token)))

afterEach(() => {
  vi.useRealTimers()
})
/** Moves the clock; sockets and timers go on as ever. */
function travel(seconds: number): void {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + seconds * 1_000 })
}

describe('jwt', () => {
  test('names the tenant of the claim, and hands the claims on', async () => {
    const token = await signed()
    for (const time of ['first', 'again, from memory']) {
      const raw = {}
      expect(await outcomeOf(resolve, sampleRequest(bearer(token), { raw }))).toEqual({ id: ID })
      expect([time, credentialOf(raw)]).toEqual([
        time,
        { kind: 'jwt', claims: expect.objectContaining({ sub: 'ann', tenant: ID }) },
      ])
    }
  })

  test('what a handler does to the claims reaches no other request', async () => {
    const token = await signed(claimsOf(ID, { roles: ['reader'] }))
    const raw = {}
    await outcomeOf(resolve, sampleRequest(bearer(token), { raw }))
    const credential = credentialOf(raw)
    if (credential?.kind !== 'jwt') throw new Error('no claims')
    expect(() => (credential.claims['roles'] as string[]).push('admin')).toThrow(TypeError)
    expect(() => Object.assign(credential.claims, { tenant: 'id-of-globex' })).toThrow(TypeError)
  })

  test.each([
    ['id', ID, { id: ID }],
    ['id', 42, { id: '42' }],
    ['key', 'acme', { key: 'acme' }],
    ['name', 'acme', { name: 'acme' }],
  ] as const)('by %s: %j', async (by, tenant, expected) => {
    const token = await signed(claimsOf(tenant))
    expect(await outcome(token, jwt({ key: PEM, by, ...CHECKS }))).toEqual(expected)
  })

  test('the claim has any name, or a function finds it; its null is a token of no tenant', async () => {
    const token = await signed(claimsOf(undefined, { 'https://example.com/org': { id: ID } }))
    const claim: JwtChecks['claim'] = (claims) =>
      (claims['https://example.com/org'] as { id: string } | undefined)?.id ?? null
    expect(await outcome(token, jwt({ key: PEM, claim, ...CHECKS }))).toEqual({ id: ID })
    expect(await outcome(token, jwt({ key: PEM, claim: 'sub', ...CHECKS }))).toEqual({ id: 'ann' })
    const raw = {}
    const request = sampleRequest(bearer(await signed(claimsOf(undefined))), { raw })
    expect(await outcomeOf(jwt({ key: PEM, claim, ...CHECKS }), request)).toBe('none')
    expect(credentialOf(raw)?.kind).toBe('jwt')
  })

  test.each([
    ['PEM', PEM],
    ['JWK', rsa.publicKey.export({ format: 'jwk' })],
    ['a private KeyObject', rsa.privateKey],
  ])('the key as %s', async (_, key) => {
    expect(await outcome(await signed(), jwt({ key, ...CHECKS }))).toEqual({ id: ID })
  })

  test('every kind of public key, and a secret', async () => {
    const kinds = [
      ['PS256', rsa],
      ['ES256', ec],
      ['EdDSA', ed],
    ] as const
    for (const [alg, { privateKey, publicKey }] of kinds) {
      const token = await sign(claimsOf(ID), privateKey, { alg })
      expect(await outcome(token, jwt({ key: publicKey, ...CHECKS }))).toEqual({ id: ID })
    }
    const token = await sign(claimsOf(ID), createSecretKey(Buffer.from(SECRET)), { alg: 'HS256' })
    expect(await outcome(token, jwt({ secret: SECRET, ...CHECKS }))).toEqual({ id: ID })
    expect(await outcome(token, jwt({ secret: Buffer.from(SECRET), ...CHECKS }))).toEqual({ id: ID })
  })

  test('from a cookie, or a header of its own', async () => {
    const token = await signed()
    const fromCookie = jwt({ key: PEM, from: { cookie: 'session' }, ...CHECKS })
    expect(await outcomeOf(fromCookie, sampleRequest(['Cookie', `a=b; session=${token}`]))).toEqual({
      id: ID,
    })
    expect(await outcome(token, fromCookie)).toBe('none')
    expect(await outcomeOf(fromCookie, sampleRequest(['Cookie', `session=${token}; session=${token}`]))).toBe(
      'TNY102',
    )
    const fromHeader = jwt({ key: PEM, from: { header: 'x-token' }, ...CHECKS })
    expect(await outcomeOf(fromHeader, sampleRequest(['X-Token', token]))).toEqual({ id: ID })
  })

  test.each([
    [[]],
    [['Authorization', '']],
    [['Authorization', 'Basic YTpi']],
    [['Authorization', 'Bearer']],
    [bearer('opaque')],
    [bearer('tny_a.b')],
    [bearer('a.b.c.d.e')],
    [['Authorization', 'Bearer a.b.c d']],
  ])('what is plainly no token is left to others: %j', async (lines) => {
    expect(await outcomeOf(resolve, sampleRequest(lines))).toBe('none')
  })

  test('I2: two Authorization headers are refused, equal ones too', async () => {
    const token = await signed()
    expect(await outcomeOf(resolve, sampleRequest([...bearer(token), ...bearer(token)]))).toBe('TNY102')
  })
})

describe('I1, I3: whatever is wrong with a token, the answer is one, and there is no credential', () => {
  const now = Math.floor(Date.now() / 1_000)
  test.each([
    ['expired', { exp: now - 10 }],
    ['without exp', { exp: undefined }],
    ['whose exp is text', { exp: '9999999999' }],
    ['not yet valid', { nbf: now + 60 }],
    ['of another issuer', { iss: 'https://evil.example/' }],
    ['without issuer', { iss: undefined }],
    ['for another audience', { aud: 'billing' }],
    ['without audience', { aud: undefined }],
    ['of no tenant', { tenant: undefined }],
    ['of a list of tenants', { tenant: [ID] }],
    ['of an object', { tenant: { id: ID } }],
    ['of null', { tenant: null }],
    ['of true', { tenant: true }],
    ['of half a tenant', { tenant: 1.5 }],
    ['of an empty tenant', { tenant: '' }],
    ['of a tenant with a NUL', { tenant: 'a\0b' }],
  ])('one %s', async (_, others) => {
    const raw = {}
    const token = await signed(claimsOf(ID, others as JWTPayload))
    expect(await outcomeOf(resolve, sampleRequest(bearer(token), { raw }))).toBe('TNY113')
    expect(credentialOf(raw)).toBeUndefined()
  })

  test('claims that every object has by birth name no tenant', async () => {
    const by = jwt({ key: PEM, claim: 'constructor', ...CHECKS })
    expect(await outcome(await signed(), by)).toBe('TNY113')
  })

  test('one of another key, or changed in any place', async () => {
    const token = await signed()
    expect(await outcome(await sign(claimsOf(ID), otherRsa.privateKey, RS256))).toBe('TNY113')
    const [head = '', body = '', signature = ''] = token.split('.')
    const forged = part(claimsOf('id-of-globex'))
    for (const bad of [
      `${head}.${forged}.${signature}`,
      `${head}.${body}.`,
      `${head}.${body}.AAAA`,
      `${part(RS256)}.${body}.${signature}`,
      'a.b.c',
      `${head}.${part('[]')}.${signature}`,
      `${head}.${body}.${signature}A`,
    ])
      expect([bad, await outcome(bad)]).toEqual([bad, 'TNY113'])
    expect(await outcome(token)).toEqual({ id: ID })
  })

  test.each(['none', 'None', 'NONE', 'nOnE', ''])(
    'the algorithm %j needs no key, and is refused',
    async (alg) => {
      for (const key of [{ key: PEM }, { secret: SECRET }] as const) {
        const bare = `${part({ alg, typ: 'JWT' })}.${part(claimsOf(ID))}.`
        expect(await outcome(bare, jwt({ ...key, ...CHECKS }))).toBe('TNY113')
        expect(await outcome(`${bare}AAAA`, jwt({ ...key, ...CHECKS }))).toBe('TNY113')
      }
    },
  )

  test('a public key is no secret: what was signed with its text as HMAC is refused', async () => {
    const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claimsOf(ID))}`
    const forms = [
      PEM,
      PEM.trim(),
      rsa.publicKey.export({ type: 'spki', format: 'der' }),
      JSON.stringify(rsa.publicKey.export({ format: 'jwk' })),
    ]
    for (const secret of forms) {
      const token = `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`
      for (const key of [PEM, rsa.publicKey, rsa.publicKey.export({ format: 'jwk' })])
        expect(await outcome(token, jwt({ key, ...CHECKS }))).toBe('TNY113')
    }
    // The unsafe control: whoever takes the public key for a secret believes it.
    const [pem = ''] = forms
    const token = `${body}.${createHmac('sha256', pem).update(body).digest('base64url')}`
    expect(await outcome(token, jwt({ secret: pem, ...CHECKS }))).toEqual({ id: ID })
  })

  test('algorithms that fit the key and are not among the configured ones', async () => {
    const only = jwt({ key: PEM, algorithms: ['RS256'], ...CHECKS })
    expect(await outcome(await sign(claimsOf(ID), rsa.privateKey, { alg: 'PS256' }), only)).toBe('TNY113')
    expect(await outcome(await signed(), only)).toEqual({ id: ID })
    const secret = createSecretKey(Buffer.from(SECRET))
    expect(
      await outcome(await sign(claimsOf(ID), secret, { alg: 'HS512' }), jwt({ secret: SECRET, ...CHECKS })),
    ).toBe('TNY113')
  })

  test('a key that the token brings along is not looked at', async () => {
    const jwk = otherRsa.publicKey.export({ format: 'jwk' })
    const head = { ...RS256, jwk, jku: 'http://127.0.0.1:9/', x5c: ['AAAA'] }
    expect(await outcome(await sign(claimsOf(ID), otherRsa.privateKey, head))).toBe('TNY113')
  })
})

describe('time', () => {
  test('the clock may be off by what is allowed, and by no more', async () => {
    const now = Math.floor(Date.now() / 1_000)
    const off = (seconds: number): Promise<string> => signed(claimsOf(ID, { exp: now + seconds }))
    const tolerant = jwt({ key: PEM, clockToleranceMs: 60_000, ...CHECKS })
    expect(await outcome(await off(-30), tolerant)).toEqual({ id: ID })
    expect(await outcome(await off(-90), tolerant)).toBe('TNY113')
    expect(await outcome(await off(-1), jwt({ key: PEM, clockToleranceMs: 0, ...CHECKS }))).toBe('TNY113')
    expect(await outcome(await signed(claimsOf(ID, { nbf: now + 30 })), tolerant)).toEqual({ id: ID })
  })

  test('a verdict in memory ends when the token does', async () => {
    const token = await signed(claimsOf(ID, { exp: Math.floor(Date.now() / 1_000) + 60 }))
    expect(await outcome(token)).toEqual({ id: ID })
    travel(50)
    expect(await outcome(token)).toEqual({ id: ID })
    travel(30)
    expect(await outcome(token)).toBe('TNY113')
  })
})

describe('beside the host', () => {
  const both = allMustAgree(subdomain({ root: 'example.com' }), resolve)
  const ask = (host: string, lines: string[]): Promise<unknown> =>
    outcomeOf(both, sampleRequest(['Host', host, ...lines]))

  test('I1: the tenant of the token and that of the host are both looked up, and must be one', async () => {
    const lines = bearer(await signed())
    expect(await ask('acme.example.com', lines)).toEqual([{ key: 'acme' }, { id: ID }])
    expect(await ask('example.com', lines)).toBe('central')
    expect(await ask('example.org', lines)).toBe('foreign')
  })

  test('I3: an invalid token is refused before the host counts', async () => {
    const lines = bearer(await signed(claimsOf(ID, { exp: 1 })))
    for (const host of ['acme.example.com', 'nobody.example.com', 'example.com', 'example.org'])
      expect(await ask(host, lines)).toBe('TNY113')
  })
})

test.each([
  ['no key', {}],
  ['two keys', { key: PEM, secret: SECRET }],
  ['a short secret', { secret: 'short' }],
  ['a secret in place of a key', { key: 'a text that is no PEM' }],
  ['a secret KeyObject', { key: createSecretKey(Buffer.from(SECRET)) }],
  ['an address that is none', { jwks: 'id.example.com' }],
  ['a file', { jwks: 'file:///etc/passwd' }],
  ['an HMAC with a public key', { key: PEM, algorithms: ['HS256'] }],
  ['an HMAC beside signatures', { jwks: 'https://id.example.com/', algorithms: ['RS256', 'HS256'] }],
  ['a signature with a secret', { secret: SECRET, algorithms: ['RS256'] }],
  ['none', { key: PEM, algorithms: ['none'] }],
  ['no algorithm', { key: PEM, algorithms: [] }],
  ['no issuer', { key: PEM, issuer: undefined }],
  ['an empty issuer', { key: PEM, issuer: '' }],
  ['no audience', { key: PEM, audience: [] }],
  ['a day of tolerance', { key: PEM, clockToleranceMs: 86_400_000 }],
  ['a tolerance that is no number', { key: PEM, clockToleranceMs: Number.NaN }],
  ['an unknown by', { key: PEM, by: 'slug' }],
  ['a cookie of no name', { key: PEM, from: { cookie: '' } }],
])('%s is refused at start', (_, options) => {
  expect(() => jwt({ ...CHECKS, ...options } as JwtOptions)).toThrow(
    expect.objectContaining({ code: 'TNY002' }),
  )
})
