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

/** A login of a tenant's own. */
export interface TenantLogin {
  readonly user: string
  readonly password: string
}

/** The context of one tenant, ready to be bound. */
export interface Binding {
  readonly tenantId: string
  /**
   * Within which equal texts are the same statement: the tenant's id, and more where the path is not its own; one for all
   * where role and path are the same for all.
   */
  readonly scope: string
  /** For errors that operators read. */
  readonly tenantKey: string
  /** Where its rows live; `undefined`: in the database of the catalog. */
  readonly database?: string | undefined
  /** Of a sealed tenant, whose connections serve nobody else; `undefined`: the runtime login. */
  readonly login?: TenantLogin | undefined
  /** Whether other tenants' rows are in the same tables. */
  readonly shared: boolean
  /** Whether it is for tables that users share on purpose: nothing is completed there, but others' rows are in them too. */
  readonly common?: boolean | undefined
  /** Whether any connection is as warm for it as another: its role, path and tables are those of many tenants. */
  readonly roams: boolean
  /** Shows the database that the context is the gateway's, and not what a statement has set. */
  readonly proof: string
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

/** What proves who a tenant is: to its tables, and, where it is sealed, to the server. */
export interface Credentials {
  readonly proof: string
  readonly login?: TenantLogin | undefined
}

/** What a flight binds for a tenant. */
export function bindingOf(tenant: Tenant, limits: Required<TenantLimits>, credentials: Credentials): Binding {
  const { home } = tenant
  const roams = home.model === 'shared' && home.tier === 'guarded'
  return {
    tenantId: tenant.id,
    scope: roams ? `\0${home.schema}` : tenant.id,
    roams,
    tenantKey: tenant.key,
    database: home.database,
    login: credentials.login,
    shared: home.model === 'shared',
    proof: credentials.proof,
    role: home.role,
    searchPath: searchPathOf(home),
    statementTimeout: String(limits.statementTimeoutMs),
    idleInTransactionTimeout: String(limits.idleInTransactionTimeoutMs),
    weight: limits.weight,
    maxConnections: limits.maxConnections,
  }
}

/** The same tenant before the tables that all tenants share: in the catalog's database, outside of its own schema. */
export function ofSharedTables(binding: Binding): Binding {
  const scope = `${binding.tenantId}\0public`
  return {
    ...binding,
    scope,
    roams: false,
    database: undefined,
    shared: false,
    common: true,
    searchPath: 'public, pg_temp',
  }
}
