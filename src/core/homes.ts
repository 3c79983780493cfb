/** What fleet migrations need of the catalog, so that migrate/ does not import it. */
import type { Home, TenantStatus } from './tenant.ts'

/** A tenant as far as migrations care. */
export interface TenantHome {
  readonly id: string
  readonly key: string
  readonly status: TenantStatus
  readonly home: Home
}

/** Lists where tenants live. */
export interface TenantHomes {
  /**
   * Every tenant whose schema is complete (active, suspended or moving), by key, read page by page: tenants that
   * come or go meanwhile may be missed or listed. Those still provisioning are brought up to date by that operation.
   */
  list(): AsyncIterable<TenantHome>
}
