/** Whom a flight acts for: the values that its context statement binds, and what the tenant may take. */
import type { Home, Tenant } from '../core/tenant.ts'
import { quoteIdent } from '../sql/quote.ts'

/** What a tenant may take, usually by its plan. Times in milliseconds, 0 for no limit. */
export interface TenantLimits {
  /** Turns while others wait: twice the weight, twice the turns. 1 by default. */
  readonly weight?: number
  /** Most connections that it holds at once in this process. By default three quarters, so that others find one free. */
  readonly maxConnections?: number
  /** How long one statement may run; the tenancy's `statementTimeoutMs` by default. */
  readonly statementTimeoutMs?: number
  /** How long a transaction may rest between two statements; 60,000 by default. */
  readonly idleInTransactionTimeoutMs?: number
}

/** The context of one tenant, ready to be bound. */
export interface Binding {
  readonly tenantId: string
  /** For errors that operators read. */
  readonly tenantKey: string
  /** Where its rows live; `undefined`: in the database of the catalog. */
  readonly database?: string | undefined
  readonly role: string
  readonly searchPath: string
  /** As PostgreSQL reads them: milliseconds. */
  readonly statementTimeout: string
  readonly idleInTransactionTimeout: string
  readonly weight: number
  readonly maxConnections: number
}

/**
 * `pg_temp` comes last, so that a temporary table never shadows the tenant's (S15); `pg_catalog` is not listed, so
 * that it stays first. `public` holds extensions and shared tables, where a tenant may create nothing.
 */
export function searchPathOf({ schema }: Home): string {
  return `${quoteIdent(schema)}, public, pg_temp`
}

/** What a flight binds for a tenant. */
export function bindingOf(tenant: Tenant, limits: Required<TenantLimits>): Binding {
  return {
    tenantId: tenant.id,
    tenantKey: tenant.key,
    role: tenant.home.role,
    searchPath: searchPathOf(tenant.home),
    statementTimeout: String(limits.statementTimeoutMs),
    idleInTransactionTimeout: String(limits.idleInTransactionTimeoutMs),
    weight: limits.weight,
    maxConnections: limits.maxConnections,
  }
}
