/** The keys that tokens are verified with: given once, or fetched from the issuer and kept up to date. */
import { createLocalJWKSet, createRemoteJWKSet, customFetch, jwksCache } from 'jose'
import type { ExportedJWKSCache, JWKSCacheInput, JWTVerifyGetKey } from 'jose'
import { TenantryError } from '../core/errors.ts'

/** Keys as verification needs them. */
export interface TokenKeys {
  readonly find: JWTVerifyGetKey
  /** Another number for other keys: what was verified before may no longer be valid. */
  readonly version: number
  /** Begins to fetch them where it is time; a promise only where nobody may go on without. @throws TNY116 */
  renew(): Promise<void> | undefined
}

/** Fetched anew behind the backs of requests. */
const REFRESH_MS = 5 * 60_000
/** From this age on a request waits for newer ones. */
const WAIT_MS = 10 * 60_000
/** Where the issuer is away, they are believed for so long. */
const MAX_AGE_MS = 60 * 60_000
/** For one answer of the issuer. */
const TIMEOUT_MS = 5_000
/** Between two fetches because of a token whose key is not among them: anybody can send such tokens. */
const UNKNOWN_KEY_MS = 30_000
/** After a failure nobody asks again for so long. */
const FAILURE_MS = 5_000

/** The JWK Set behind an address (RFC 7517), fetched when the first token comes. */
export function remoteKeys(url: URL): TokenKeys {
  const cache: Partial<ExportedJWKSCache> = {}
  const jwks = createRemoteJWKSet(url, {
    timeoutDuration: TIMEOUT_MS,
    cooldownDuration: UNKNOWN_KEY_MS,
    cacheMaxAge: Number.POSITIVE_INFINITY,
    [jwksCache]: cache as JWKSCacheInput,
    [customFetch]: failingRarely(),
  })

  return {
    find: jwks,
    get version() {
      return cache.uat ?? 0
    },
    renew() {
      const age = Date.now() - (cache.uat ?? Number.NEGATIVE_INFINITY)
      if (age < REFRESH_MS) return undefined
      const renewed = jwks.reload().catch((error: unknown) => {
        if (age >= MAX_AGE_MS) throw error
      })
      if (age >= WAIT_MS) return renewed
      void renewed
      return undefined
    },
  }
}

/** A fetch that brings a JWK Set or TNY116, and that fails at once for a while after it has failed. */
function failingRarely(): (url: string, init: RequestInit) => Promise<Response> {
  let failure: TenantryError | undefined
  let failedAt = 0

  return async (url, init) => {
    if (failure !== undefined && Date.now() - failedAt < FAILURE_MS) throw failure
    try {
      const response = await fetch(url, init)
      if (response.status !== 200) throw new Error(`it answers ${response.status}`)
      const text = await response.text()
      createLocalJWKSet(JSON.parse(text))
      failure = undefined
      return new Response(text)
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause)
      failure = new TenantryError('TNY116', { params: { url, reason }, cause })
      failedAt = Date.now()
      // Requests go on with the keys that are there: nobody else would tell the operator.
      process.emitWarning(failure)
      throw failure
    }
  }
}

/** One key for all tokens, which never changes. */
export function fixedKey(key: Awaited<ReturnType<JWTVerifyGetKey>>): TokenKeys {
  return { find: () => key, version: 0, renew: () => undefined }
}
