/** Tenants by token: a claim that the issuer signed says whose it is. */
import { createPublicKey, createSecretKey, KeyObject } from 'node:crypto'
import { jwtVerify } from 'jose'
import type { JWK, JWTVerifyOptions } from 'jose'
import { TenantryError } from '../core/errors.ts'
import type { TenantRef } from '../core/runtime.ts'
import type { TokenClaims } from './credential.ts'
import { remember } from './credential.ts'
import type { Resolution, Resolver } from './resolver.ts'
import { requireRef } from './resolver.ts'
import type { TokenKeys } from './token-keys.ts'
import { fixedKey, remoteKeys } from './token-keys.ts'
import type { TokenSource } from './token-source.ts'
import { tokenReader } from './token-source.ts'
import type { VerifiedToken } from './verified-tokens.ts'
import { VerifiedTokens } from './verified-tokens.ts'

const SIGNATURES = [
  ...(['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const),
  ...(['ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const),
] as const
const MACS = ['HS256', 'HS384', 'HS512'] as const

/** How tokens may be signed (RFC 7518, section 3.1); `none` is not among them. */
export type TokenAlgorithm = (typeof SIGNATURES)[number] | (typeof MACS)[number]

/** What tokens are verified with: one of the three. */
export type JwtKeys =
  | {
      /** The address of the issuer's JWK Set, which is fetched, kept, and follows the issuer's rotation. */
      readonly jwks: string | URL
      readonly key?: undefined
      readonly secret?: undefined
    }
  | {
      /** The issuer's public key: PEM, JWK or KeyObject. */
      readonly key: string | JWK | KeyObject
      readonly jwks?: undefined
      readonly secret?: undefined
    }
  | {
      /** A secret that issuer and verifier share, of 32 bytes or more. */
      readonly secret: string | Uint8Array
      readonly jwks?: undefined
      readonly key?: undefined
    }

/** What else `jwt` is told. */
export interface JwtChecks {
  /** Who makes the tokens: their `iss`. `false`: they do not say. */
  readonly issuer: string | readonly string[] | false
  /**
   * Whom they are made for: their `aud`. `false`: they do not say. Where an issuer's keys sign for other services too,
   * a token of theirs is valid here without it.
   */
  readonly audience: string | readonly string[] | false
  /** The only ones that are accepted. With a secret HS256 by default, else every public-key signature. */
  readonly algorithms?: readonly TokenAlgorithm[]
  /**
   * The claim that names the tenant, `tenant` by default, or a function that finds it in the claims. Where the function
   * returns `null` the token is valid and belongs to no tenant: the other resolvers decide alone.
   */
  readonly claim?: string | ((claims: TokenClaims) => unknown)
  /** What the claim holds; the tenant's id by default. Keys can change hands while a token is valid. */
  readonly by?: 'id' | 'key' | 'name'
  /** Where tokens stand; `Authorization: Bearer …` by default. */
  readonly from?: TokenSource
  /** By how much the issuer's clock may be off. 5,000 by default. */
  readonly clockToleranceMs?: number
}

/** Options of `jwt`. */
export type JwtOptions = JwtKeys & JwtChecks

/** Three parts, as compact JWS have them (RFC 7515, section 7.1); API keys and opaque tokens are nothing like it. */
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]*$/

/**
 * Takes the tenant from a claim of a verified token. Requests without one are `'none'`; whatever is wrong with one that
 * is there, the answer is the same (401). Tokens must have an `exp`. What it verified is `credentialOf(request)`.
 *
 * @throws TNY002 where an option is not valid, such as an algorithm that does not fit the key
 * @example
 * allMustAgree(
 *   subdomain({ root: 'example.com' }),
 *   jwt({ jwks: 'https://id.example.com/.well-known/jwks.json', issuer: 'https://id.example.com/', audience: 'orders' }),
 * )
 */
export function jwt(options: JwtOptions): Resolver {
  const checks = readChecks(options)
  const keys = readKeys(options)
  const read = tokenReader(options.from ?? 'bearer')
  const nameOf = readClaim(options)
  const verified = new VerifiedTokens<TenantRef | undefined>()

  async function verify(token: string, renewing: Promise<void> | undefined) {
    await renewing
    const { version } = keys
    const known = verified.find(token, version)
    if (known !== undefined) return known
    try {
      const { payload } = await jwtVerify<TokenClaims>(token, keys.find, checks)
      const claims = frozen(payload)
      const until = claims.exp * 1_000 + toleranceMs(options)
      const found = { ref: nameOf(claims), claims, until, version }
      verified.add(token, found)
      return found
    } catch (cause) {
      // Not the token's fault; all else is, and says nothing about tenants.
      if (cause instanceof TenantryError && cause.code === 'TNY116') throw cause
      throw new TenantryError('TNY113', { cause })
    }
  }

  return (request) => {
    const token = read(request)
    if (token === undefined || !COMPACT.test(token)) return 'none'
    const accept = ({ ref, claims }: VerifiedToken<TenantRef | undefined>): Resolution => {
      remember(request.raw, { kind: 'jwt', claims })
      return ref ?? 'none'
    }
    const renewing = keys.renew()
    const known = renewing === undefined ? verified.find(token, keys.version) : undefined
    return known === undefined ? verify(token, renewing).then(accept) : accept(known)
  }
}

function toleranceMs({ clockToleranceMs = 5_000 }: JwtChecks): number {
  return clockToleranceMs
}

function readChecks(options: JwtOptions): JWTVerifyOptions {
  const { issuer, audience, secret } = options
  const fitting: readonly TokenAlgorithm[] = secret === undefined ? SIGNATURES : MACS
  const algorithms = options.algorithms ?? (secret === undefined ? SIGNATURES : ['HS256'])
  const wrong = algorithms.find((name) => !fitting.includes(name))
  if (wrong !== undefined) {
    // A public key that were taken for the secret of an HMAC would let anybody sign (RFC 8725, section 2.1).
    throw invalid(`the algorithm ${JSON.stringify(wrong)} does not go with what tokens are verified with`)
  }
  if (algorithms.length === 0) throw invalid('there is no algorithm')
  for (const [name, value] of Object.entries({ issuer, audience })) {
    if (value !== false && [value].flat().every((text) => typeof text !== 'string' || text === '')) {
      throw invalid(`${name} is missing; where tokens have none, say false`)
    }
  }
  if (!(toleranceMs(options) >= 0 && toleranceMs(options) <= 300_000)) {
    throw invalid('clockToleranceMs is not between 0 and 300000')
  }
  return {
    algorithms: [...algorithms],
    requiredClaims: ['exp'],
    clockTolerance: toleranceMs(options) / 1_000,
    ...(issuer !== false && { issuer: [issuer].flat() }),
    ...(audience !== false && { audience: [audience].flat() }),
  }
}

function readKeys({ jwks, key, secret }: JwtKeys): TokenKeys {
  if ([jwks, key, secret].filter((each) => each !== undefined).length !== 1) {
    throw invalid('give one of jwks, key and secret')
  }
  if (secret !== undefined) {
    const bytes = Buffer.from(secret)
    // RFC 7518, section 3.2: a shorter one can be guessed from any token.
    if (bytes.length < 32) throw invalid('the secret is shorter than 32 bytes')
    return fixedKey(createSecretKey(bytes))
  }
  if (key !== undefined) return fixedKey(publicKey(key))
  const url = URL.parse(String(jwks))
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw invalid(`${JSON.stringify(String(jwks))} is not the address of a JWK Set`)
  }
  return remoteKeys(url)
}

function publicKey(key: string | JWK | KeyObject): KeyObject {
  try {
    if (typeof key === 'string') return createPublicKey(key)
    if (key instanceof KeyObject) return key.type === 'public' ? key : createPublicKey(key)
    return createPublicKey({ key, format: 'jwk' })
  } catch (cause) {
    throw invalid('the key is not a public key', cause)
  }
}

/** What the claims name, or `undefined` for a token of no tenant. Throws where the claim is missing or of a wrong type. */
function readClaim({
  claim = 'tenant',
  by = 'id',
}: JwtChecks): (claims: TokenClaims) => TenantRef | undefined {
  if (!['id', 'key', 'name'].includes(by)) throw invalid(`by is ${JSON.stringify(by)}; it is id, key or name`)
  const read = typeof claim === 'function' ? claim : (claims: TokenClaims) => claims[claim]
  return (claims) => {
    const value = read(claims)
    if (value === null && typeof claim === 'function') return undefined
    // Ids that an application brought along may be numbers there.
    const text = Number.isSafeInteger(value) ? String(value) : value
    if (typeof text !== 'string') throw new TypeError('the claim of the tenant is missing, or no text')
    return requireRef(by === 'id' ? { id: text } : by === 'key' ? { key: text } : { name: text })
  }
}

function frozen<T>(value: T): T {
  if (typeof value !== 'object' || value === null) return value
  Object.values(value).forEach(frozen)
  return Object.freeze(value)
}

function invalid(problem: string, cause?: unknown): TenantryError {
  return new TenantryError('TNY002', { params: { reason: `jwt(): ${problem}` }, cause })
}
