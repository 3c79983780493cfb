/** What a request was verified by: the claims of a token, or an API key, for handlers that decide what it may do. */
import { TenantryError } from '../core/errors.ts'
import type { ApiKey } from '../core/runtime.ts'

/** What a token says, as its issuer signed it. */
export interface TokenClaims {
  /** Who made it. */
  readonly iss?: string
  /** Whom it is about: the user. */
  readonly sub?: string
  /** Whom it is for. */
  readonly aud?: string | readonly string[]
  /** Seconds since 1970 after which it is no longer valid. */
  readonly exp: number
  readonly [claim: string]: unknown
}

/** Something that was verified before the handler runs. */
export type Credential =
  { readonly kind: 'jwt'; readonly claims: TokenClaims } | { readonly kind: 'apiKey'; readonly key: ApiKey }

/** Beside requests and not in them: nothing that a client sends can look like it. */
const credentials = new WeakMap<object, readonly Credential[]>()

/** Notes what a resolver verified; several may verify something each. */
export function remember(request: unknown, credential: Credential): void {
  if (typeof request !== 'object' || request === null) return
  const known = credentials.get(request)
  credentials.set(request, known === undefined ? [credential] : [...known, credential])
}

/** What was verified for a request holds for another that takes its place, such as one whose path was rewritten. */
export function passOn(request: object, successor: object): void {
  const known = credentials.get(request)
  if (known !== undefined) credentials.set(successor, known)
}

/**
 * What `jwt()` or `apiKey()` verified for this request; `undefined` where neither did. Of several the first.
 *
 * @param request the framework's own request, as resolvers get it in `request.raw`
 * @example
 * const credential = credentialOf(req)
 * const user = credential?.kind === 'jwt' ? credential.claims.sub : undefined
 */
export function credentialOf(request: object): Credential | undefined {
  return credentials.get(request)?.[0]
}

/**
 * The same, for handlers that serve nobody without it.
 * @throws TNY114 (401)
 */
export function requireCredential(request: object): Credential {
  const credential = credentialOf(request)
  if (credential === undefined) throw new TenantryError('TNY114')
  return credential
}

/**
 * Lets a request through that may do this: an API key by its `scopes`, a token by its claim `scope` or `scp` (a text with
 * spaces between, or a list). Where several were verified, each must have it.
 *
 * @throws TNY114 (401) where nothing was verified, TNY115 (403) where the scope is missing
 * @example
 * app.get('/orders', async (req, res) => {
 *   requireScope(req, 'orders:read')
 *   res.json(await dbForTenant(req.tenantId)('orders'))
 * })
 */
export function requireScope(request: object, scope: string): Credential {
  const credential = requireCredential(request)
  if (credentials.get(request)?.every((each) => scopesOf(each).includes(scope)) !== true) {
    throw new TenantryError('TNY115', { params: { scope } })
  }
  return credential
}

function scopesOf(credential: Credential): readonly unknown[] {
  if (credential.kind === 'apiKey') return credential.key.scopes
  const { scope, scp } = credential.claims
  return [scope, scp].flatMap((value): readonly unknown[] =>
    typeof value === 'string' ? value.split(' ') : Array.isArray(value) ? value : [],
  )
}
