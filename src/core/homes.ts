/** What fleet migrations need of the catalog, so that migrate/ does not import it. */
import type { Queryable } from './database.ts'
import type { Home, Plan, Settings, TenantStatus } from './tenant.ts'

/** A tenant as far as migrations care. */
export interface TenantHome {
  readonly id: string
  readonly key: string
  readonly status: TenantStatus
  readonly home: Home
  /** What waves select by; absent where nobody does. */
  readonly plan?: Plan
  readonly settings?: Settings
}

/** Lists where tenants live. */
export interface TenantHomes {
  /**
   * Every tenant whose schema is complete (active, suspended or moving), by key, read page by page: tenants that
   * come or go meanwhile may be missed or listed. Those still provisioning are brought up to date by that operation.
   */
  list(): AsyncIterable<TenantHome>
  /**
   * How many tenants that serve, or will again, have tables of their own, how many of them are not known to be at `head`, or at
   * `repeatable` where that is given, and how many share tables, in one query. Absent where nobody keeps heads.
   */
  countBehind?(session: Queryable, head: string, repeatable?: string): Promise<FleetCount>
  /** Where tenants share tables; `undefined` until there is a tenant of that model. */
  findShared(): Promise<SharedHome | undefined>
  /**
   * Ids of the tenants that have rows in shared tables, new ones included once the pattern's rows were copied for them.
   * @param tx a transaction that holds the shared schema's lock, so that none comes meanwhile.
   */
  listSharing(tx: Queryable): Promise<string[]>
}

/** A fleet in numbers. */
export interface FleetCount {
  readonly tenants: number
  readonly behind: number
  readonly sharing: number
}

/** The tables that tenants of the shared model have together, and the pattern that these are derived from. */
export interface SharedHome {
  /** Holds the tables with `tenant_id`. */
  readonly schema: string
  /** Holds the same tables as the migrations alone would make them, with the rows that migrations themselves write. */
  readonly pattern: string
  /** May read and write rows of the shared tables, as the policies let it. */
  readonly role: string
  /** Owns what is in both schemas. */
  readonly ownerRole: string
}
