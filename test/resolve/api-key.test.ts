import { createSecretKey } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { apiKey } from '../../src/resolve/api-key.ts'
import { allMustAgree, firstOf } from '../../src/resolve/combine.ts'
import { credentialOf, requireCredential, requireScope } from '../../src/resolve/credential.ts'
import { jwt } from '../../src/resolve/jwt.ts'
import { subdomain } from '../../src/resolve/subdomain.ts'
import { sampleKeys } from './sample-keys.ts'
import { outcomeOf, sampleRequest } from './sample-request.ts'
import { AUDIENCE, bearer, claimsOf, ISSUER, sign } from './sample-tokens.ts'

const SECRET = createSecretKey(Buffer.alloc(32, 7))
const token = (claims = claimsOf('id-of-globex')): Promise<string> => sign(claims, SECRET, { alg: 'HS256' })
const byToken = jwt({ secret: Buffer.alloc(32, 7), issuer: ISSUER, audience: AUDIENCE })

describe.each([{ late: false }, { late: true }])('apiKey, answered late: $late', ({ late }) => {
  const keys = sampleKeys({ late })
  const resolve = apiKey({ apiKeys: keys })

  test('names the tenant of the key, by its id', async () => {
    const secret = keys.issue('id-of-acme', { scopes: ['orders:read'] })
    const raw = {}
    expect(await outcomeOf(resolve, sampleRequest(bearer(secret), { raw }))).toEqual({ id: 'id-of-acme' })
    expect(credentialOf(raw)).toMatchObject({ kind: 'apiKey', key: { tenantId: 'id-of-acme' } })
    expect(JSON.stringify(credentialOf(raw))).not.toContain(secret)
    expect(await outcomeOf(resolve, sampleRequest(['authorization', `BEARER  ${secret} `]))).toEqual({
      id: 'id-of-acme',
    })
  })

  test('I3: unknown, revoked and expired keys are refused alike, and leave no credential', async () => {
    keys.issue('id-of-acme', { id: 'revoked' })
    const revoked = keys.issue('id-of-acme', { id: 'gone' })
    expect(await outcomeOf(resolve, sampleRequest(bearer(revoked)))).toEqual({ id: 'id-of-acme' })
    keys.revoke('gone')
    const expired = keys.issue('id-of-acme', { expiresAt: new Date(Date.now() - 1) })
    for (const secret of [revoked, expired, 'tny_', 'tny_x', `${keys.issue('id-of-acme')}x`]) {
      const raw = {}
      expect(await outcomeOf(resolve, sampleRequest(bearer(secret), { raw }))).toBe('TNY113')
      expect(credentialOf(raw)).toBeUndefined()
    }
  })

  test('what is plainly no API key is left to others', async () => {
    for (const lines of [
      [],
      bearer('x'),
      bearer(await token()),
      ['Authorization', 'Basic dG55Xw=='],
      bearer('TNY_x'),
      bearer('tny_a b'),
    ])
      expect(await outcomeOf(resolve, sampleRequest(lines))).toBe('none')
  })

  test('keys may begin with a word of your own', async () => {
    const own = apiKey({ apiKeys: { find: () => undefined } }, { prefix: 'acme' })
    expect(await outcomeOf(own, sampleRequest(bearer('acme_x')))).toBe('TNY113')
    for (const other of ['acme', 'acmex', 'tny_x'])
      expect(await outcomeOf(own, sampleRequest(bearer(other)))).toBe('none')
  })

  test('I2: two Authorization headers are refused', async () => {
    const secret = keys.issue('id-of-acme')
    expect(await outcomeOf(resolve, sampleRequest([...bearer(secret), ...bearer(secret)]))).toBe('TNY102')
  })

  test('from a header of its own, where everything is meant as a key', async () => {
    const own = apiKey({ apiKeys: keys }, { from: { header: 'x-api-key' } })
    const secret = keys.issue('id-of-acme')
    expect(await outcomeOf(own, sampleRequest(['X-API-Key', secret]))).toEqual({ id: 'id-of-acme' })
    expect(await outcomeOf(own, sampleRequest(bearer(secret)))).toBe('none')
    for (const value of ['', 'x', ` ${secret}`, secret.replace('tny_', '')])
      expect(await outcomeOf(own, sampleRequest(['X-API-Key', value]))).toBe('TNY113')
    expect(await outcomeOf(own, sampleRequest(['X-API-Key', secret, 'x-api-key', secret]))).toBe('TNY102')
  })

  test('firstOf: API keys and tokens share the header, in either order', async () => {
    const secret = keys.issue('id-of-acme')
    for (const both of [firstOf(resolve, byToken), firstOf(byToken, resolve)]) {
      expect(await outcomeOf(both, sampleRequest(bearer(secret)))).toEqual({ id: 'id-of-acme' })
      expect(await outcomeOf(both, sampleRequest(bearer(await token())))).toEqual({ id: 'id-of-globex' })
      expect(await outcomeOf(both, sampleRequest(bearer(`${await token()}x`)))).toBe('TNY113')
      expect(await outcomeOf(both, sampleRequest(bearer('tny_unknown')))).toBe('TNY113')
      expect(await outcomeOf(both, sampleRequest(bearer('opaque')))).toBe('none')
    }
  })

  test('I1: beside the host, the key must be of the same tenant', async () => {
    const both = allMustAgree(subdomain({ root: 'example.com' }), resolve)
    const request = sampleRequest(['Host', 'globex.example.com', ...bearer(keys.issue('id-of-acme'))])
    expect(await outcomeOf(both, request)).toEqual([{ key: 'globex' }, { id: 'id-of-acme' }])
  })
})

describe('requireScope', () => {
  const keys = sampleKeys()
  const both = allMustAgree(apiKey({ apiKeys: keys }, { from: { header: 'x-api-key' } }), byToken)
  const verified = async (...lines: string[]): Promise<object> => {
    const raw = {}
    await both(sampleRequest(lines, { raw }))
    return raw
  }
  const codeOf = (fn: () => unknown): unknown => {
    try {
      return fn()
    } catch (error) {
      return (error as { code: string }).code
    }
  }

  test('an API key has scopes; without one, 403; without any key, 401', async () => {
    const raw = await verified('x-api-key', keys.issue('id-of-acme', { scopes: ['orders:read', 'orders'] }))
    expect(requireScope(raw, 'orders:read')).toMatchObject({ kind: 'apiKey' })
    for (const scope of ['orders:write', 'orders:rea', 'order', '', 'orders:read orders'])
      expect(codeOf(() => requireScope(raw, scope))).toBe('TNY115')
    expect(codeOf(() => requireScope({}, 'orders:read'))).toBe('TNY114')
    expect(codeOf(() => requireCredential({}))).toBe('TNY114')
    expect(requireCredential(raw)).toMatchObject({ kind: 'apiKey' })
  })

  test.each([
    [{ scope: 'orders:read profile' }, true],
    [{ scp: ['orders:read'] }, true],
    [{ scp: 'orders:read' }, true],
    [{ scope: 'orders:readx' }, false],
    [{ scope: { 'orders:read': true } }, false],
    [{ scope: [['orders:read']] }, false],
    [{}, false],
  ])('a token with %j has it: %j', async (claims, has) => {
    const raw = await verified(...bearer(await token(claimsOf('id-of-globex', claims))))
    expect(codeOf(() => requireScope(raw, 'orders:read'))).toEqual(
      has ? expect.objectContaining({ kind: 'jwt' }) : 'TNY115',
    )
  })

  test('where both were verified, both must have it', async () => {
    const withScope = keys.issue('id-of-globex', { scopes: ['orders:read'] })
    const plain = await token()
    const scoped = await token(claimsOf('id-of-globex', { scope: 'orders:read' }))
    const raw = await verified('x-api-key', withScope, ...bearer(plain))
    expect(codeOf(() => requireScope(raw, 'orders:read'))).toBe('TNY115')
    const other = await verified('x-api-key', withScope, ...bearer(scoped))
    expect(requireScope(other, 'orders:read')).toMatchObject({ kind: 'apiKey' })
  })
})
