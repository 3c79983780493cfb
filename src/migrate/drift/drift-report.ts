/** What the comparison of the fleet with freshly built references tells. */
import type { TenantryError } from '../../core/errors.ts'
import type { Difference, SchemaDiff } from '../../schema/diff/difference.ts'

/** A tenant whose schema is not what its migrations make. */
export interface DriftedTenant {
  /** Its key, or `shared tenants`. */
  readonly key: string
  /** How many migrations ran there: it is compared with what these make. */
  readonly applied: number
  /** In what it differs. Absent behind the first hundred, and where it could not be compared. */
  readonly differences?: readonly Difference[]
  /** Of tenants that were asked for by name: what would mend it, ready for psql. Nobody runs it unasked. */
  readonly repair?: Pick<SchemaDiff, 'statements' | 'unsupported'>
  /** Why it could not be compared, or what is wrong in the shared form. */
  readonly error?: TenantryError
}

/** Tenants that are as their migrations make them are counted alone. */
export interface DriftReport {
  readonly compared: number
  readonly same: number
  /** In the order of keys. */
  readonly drifted: readonly DriftedTenant[]
}
