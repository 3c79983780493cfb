/** What a run over the fleet tells: its progress, what it did, what is left. */
import { TenantryError } from '../../core/errors.ts'
import type { TenantStatus } from '../../core/tenant.ts'

/** Told after the shared set and after each tenant. */
export interface MigrationProgress {
  /** Targets finished, failed ones included: the shared set counts as one, and so do all tenants that share tables. */
  readonly done: number
  readonly total: number
  /** The tenant's key, `shared`, or `shared tenants`. */
  readonly tenant: string
  /** Names that ran now. */
  readonly applied: readonly string[]
}

/** What `up` did. */
export interface MigrationReport {
  readonly shared: readonly string[]
  /**
   * Every tenant that is up to date now, but for what is held back; `applied` is empty where nothing was missing. Tenants that share tables are
   * one entry, `shared tenants`, which says how many they are.
   */
  readonly tenants: readonly {
    readonly key: string
    readonly applied: readonly string[]
    readonly members?: number
  }[]
  /** Tenants that are not; `applied` is what ran before the failure. */
  readonly failed: readonly {
    readonly key: string
    readonly applied: readonly string[]
    readonly error: TenantryError
    readonly members?: number
  }[]
  /** The tenant migration that ran nowhere, nor any behind it, since tenants who share tables cannot have it (TNY407). */
  readonly heldBack?: string | undefined
}

/** What ran where. */
export interface MigrationStatus {
  readonly shared: { readonly applied: readonly string[]; readonly pending: readonly string[] }
  readonly tenants: readonly {
    readonly key: string
    readonly status: TenantStatus
    /** How many ran. */
    readonly applied: number
    readonly pending: readonly string[]
    /** How many tenants this stands for: those that share tables are one entry, `shared tenants`. */
    readonly members?: number
    /** Where the ledger cannot be read: everything counts as pending then. */
    readonly error?: TenantryError
  }[]
}

/** How many tenants lines stand for: those that share tables are one line, which says how many they are. */
export function countTenants(lines: readonly { readonly members?: number }[]): number {
  return lines.reduce((sum, { members = 1 }) => sum + members, 0)
}

/** The error that a report amounts to, TNY405, naming the tenants that failed; `undefined` where none did. */
export function reportFailure(report: MigrationReport): TenantryError | undefined {
  const { tenants, failed } = report
  if (failed.length === 0) return undefined
  const keys = failed.slice(0, 10).map(({ key }) => key)
  if (failed.length > keys.length) keys.push(`and ${failed.length - keys.length} more`)
  const params = {
    failed: countTenants(failed),
    total: countTenants([...tenants, ...failed]),
    tenants: keys.join(', '),
  }
  return new TenantryError('TNY405', { params, cause: failed[0]?.error })
}
