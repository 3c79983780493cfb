/** What the layers above need of a running tenancy, so that none of them imports the composition root. */
import type { TenantContext } from './context.ts'
import type { Tenant } from './tenant.ts'

/**
 * How a tenant is named by a request, a job or a person: by its key (aliases included), by its id, by a name that
 * may be either, which is safe because the catalog lets no key equal another tenant's id, or by a domain of its own
 * that was verified (in its canonical form: `shop.acme.com`).
 */
export type TenantRef =
  { readonly key: string } | { readonly id: string } | { readonly name: string } | { readonly domain: string }

/** Finds tenants, from memory where the entry is known to be current (at most 1 s old, see catalog/). */
export interface TenantDirectory {
  /**
   * The tenant in whatever status, or `undefined` where there is none.
   * @throws TNY202 where the catalog cannot be asked and memory cannot be trusted.
   */
  find(ref: TenantRef): Promise<Tenant | undefined>
  /** The same, without a promise where memory knows. @throws TNY202 */
  locate(ref: TenantRef): Tenant | undefined | Promise<Tenant | undefined>
  /**
   * The same, but never a tenant that is being moved: waits until the move is over, for a bounded time.
   * @param signal ends the wait; its reason is thrown.
   * @throws TNY108 where the move takes too long or too many wait for it, TNY106 where the tenancy closes meanwhile.
   */
  settled(ref: TenantRef, signal?: AbortSignal): Promise<Tenant | undefined>
}

/** A key that a program authenticates with, as far as the application may know it: never the secret. */
export interface ApiKey {
  /** Of the key itself; what revoking names. */
  readonly id: string
  readonly tenantId: string
  /** What its owner calls it: free text. */
  readonly name: string
  /** What it may be used for, in the application's own words. */
  readonly scopes: readonly string[]
  /** It is refused from then on; `undefined`: it does not expire. */
  readonly expiresAt: Date | undefined
}

/** Finds API keys by their secret, from memory where the entry is known to be current. */
export interface ApiKeyDirectory {
  /**
   * The key, or `undefined` where there is none, or it was revoked, or has expired.
   * @throws TNY202 where the catalog cannot be asked and memory cannot be trusted.
   */
  find(secret: string): ApiKey | undefined | Promise<ApiKey | undefined>
}

/** The part of a tenancy that HTTP faces use. */
export interface TenantRuntime {
  readonly directory: TenantDirectory
  readonly context: TenantContext
  /** True from the moment `close()` was called: new requests are refused, those in flight go on. */
  readonly closing: boolean
}
