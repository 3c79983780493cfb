/** Tenants by API key: programs name the tenant by the key that they authenticate with. */
import { TenantryError } from '../core/errors.ts'
import type { ApiKey, ApiKeyDirectory } from '../core/runtime.ts'
import { remember } from './credential.ts'
import type { Resolution, Resolver } from './resolver.ts'
import type { TokenSource } from './token-source.ts'
import { tokenReader } from './token-source.ts'

/** What `apiKey` may be told. */
export interface ApiKeyOptions {
  /** Where keys stand; `Authorization: Bearer …` by default. */
  readonly from?: TokenSource
  /** The word that every key begins with, before the first of its own letters: `tny` for `tny_…`, the default. */
  readonly prefix?: string
}

/**
 * Takes the tenant of an API key. Unknown, revoked and expired keys are refused alike (401). A bearer token that does not
 * begin as keys do is none of them, and left to other resolvers; in a header or cookie of its own it is an invalid key.
 *
 * @param keys what finds keys: the tenancy
 * @example
 * firstOf(apiKey(tenancy), jwt({ jwks: 'https://id.example.com/jwks', issuer, audience }))
 * apiKey(tenancy, { from: { header: 'x-api-key' } })
 */
export function apiKey(keys: { readonly apiKeys: ApiKeyDirectory }, options: ApiKeyOptions = {}): Resolver {
  const { from = 'bearer', prefix = 'tny' } = options
  const start = `${prefix}_`
  const read = tokenReader(from)

  return (request) => {
    const secret = read(request)
    if (secret === undefined || (from === 'bearer' && !secret.startsWith(start))) return 'none'
    if (!secret.startsWith(start)) throw new TenantryError('TNY113')
    const found = keys.apiKeys.find(secret)
    return found instanceof Promise
      ? found.then((late) => accept(request.raw, late))
      : accept(request.raw, found)
  }
}

function accept(request: unknown, key: ApiKey | undefined): Resolution {
  if (key === undefined) throw new TenantryError('TNY113')
  remember(request, { kind: 'apiKey', key })
  return { id: key.tenantId }
}
