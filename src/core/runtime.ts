/** What the layers above need of a running tenancy, so that none of them imports the composition root. */
import type { TenantContext } from './context.ts'
import type { Tenant } from './tenant.ts'

/**
 * How a tenant is named by a request, a job or a person: by its key (aliases included), by its id, or by a name that
 * may be either, which is safe because the catalog lets no key equal another tenant's id.
 */
export type TenantRef = { readonly key: string } | { readonly id: string } | { readonly name: string }

/** Finds tenants, from memory where the entry is known to be current (at most 1 s old, see catalog/). */
export interface TenantDirectory {
  /**
   * The tenant in whatever status, or `undefined` where there is none.
   * @throws TNY202 where the catalog cannot be asked and memory cannot be trusted.
   */
  find(ref: TenantRef): Promise<Tenant | undefined>
}

/** The part of a tenancy that HTTP faces use. */
export interface TenantRuntime {
  readonly directory: TenantDirectory
  readonly context: TenantContext
  /** True from the moment `close()` was called: new requests are refused, those in flight go on. */
  readonly closing: boolean
}
