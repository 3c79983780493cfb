/** What a run over the fleet did and what is left, and what ran where. */
import { TenantryError } from '../../core/errors.ts'
import type { TenantStatus } from '../../core/tenant.ts'
import type { WaveResult } from '../../core/waves.ts'

/** A target in which something ran. Tenants that share tables are one, `shared tenants`, and `members` says how many. */
export interface MigratedTenant {
  readonly key: string
  readonly applied: readonly string[]
  readonly members?: number
}

/** A target that is not up to date; `applied` is what ran before the failure. */
export interface FailedTenant extends MigratedTenant {
  readonly error: TenantryError
}

/** A tenant that was left out, since a migration failed for it in a former run. */
export interface QuarantinedTenant {
  readonly key: string
  readonly migration: string
  /** What the error said. */
  readonly error: string
  readonly since: Date
}

/** What a run did. */
export interface MigrationReport {
  readonly shared: readonly string[]
  readonly tenants: readonly MigratedTenant[]
  /** How many tenants had nothing to run: they are up to date, but for what is held back. */
  readonly unchanged: number
  readonly failed: readonly FailedTenant[]
  readonly quarantined: readonly QuarantinedTenant[]
  /** The tenant migration that ran nowhere, nor any behind it, since tenants who share tables cannot have it (TNY407). */
  readonly heldBack?: string
  /** Why it ended early: TNY421 after a gate or a wave that was not well, TNY422 by the signal. */
  readonly stopped?: { readonly left: number; readonly error: TenantryError }
  /** Everything was rolled back. */
  readonly dryRun?: boolean
  readonly waves: readonly (WaveResult & { readonly tookMs: number })[]
  /** Those that took longest, the slowest first. */
  readonly slowest: readonly { readonly key: string; readonly tookMs: number }[]
  readonly tookMs: number
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
    /** The migration that failed for it, where that keeps runs away from it. */
    readonly quarantined?: Omit<QuarantinedTenant, 'key'>
    /** Where the ledger cannot be read: everything counts as pending then. */
    readonly error?: TenantryError
  }[]
}

/** How many tenants lines stand for: those that share tables are one line, which says how many they are. */
export function countTenants(lines: readonly { readonly members?: number | undefined }[]): number {
  return lines.reduce((sum, { members = 1 }) => sum + members, 0)
}

/**
 * The error that a report amounts to: TNY421 or TNY422 where it ended early, TNY405 naming the tenants that failed, TNY423
 * those that were left out; `undefined` where everything is well.
 */
export function reportFailure(report: MigrationReport): TenantryError | undefined {
  const { tenants, unchanged, failed, quarantined, stopped } = report
  if (stopped !== undefined) return stopped.error
  if (failed.length > 0) {
    const count = countTenants(failed)
    const total = countTenants(tenants) + unchanged + count
    const params = { failed: count, total, tenants: namesOf(failed) }
    return new TenantryError('TNY405', { params, cause: failed[0]?.error })
  }
  if (quarantined.length === 0) return undefined
  return new TenantryError('TNY423', { params: { count: quarantined.length, tenants: namesOf(quarantined) } })
}

function namesOf(lines: readonly { readonly key: string }[]): string {
  const keys = lines.slice(0, 10).map(({ key }) => key)
  if (lines.length > keys.length) keys.push(`and ${lines.length - keys.length} more`)
  return keys.join(', ')
}
