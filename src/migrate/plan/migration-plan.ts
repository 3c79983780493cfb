/** What `plan` tells: who is where, what is to run for whom, what it locks, and what the lint says of it. */
import type { TenantryError } from '../../core/errors.ts'
import type { TenantModel } from '../../core/tenant.ts'
import type { MigrationFinding } from '../lint/lint-migrations.ts'
import type { Blocked, TableLock } from '../lint/locks/lock-mode.ts'

/** How many tenants of each model. */
export type TenantCounts = Readonly<Partial<Record<TenantModel, number>>>

/** Tenants at the same place in the list of migrations. */
export interface VersionGroup {
  /** The last tenant migration that ran; `undefined` where none did. */
  readonly migration: string | undefined
  readonly tenants: number
  readonly models: TenantCounts
  /** How many migrations are to run for them. */
  readonly behind: number
  /** The first few of them. */
  readonly keys: readonly string[]
}

/** One lock of a statement on a table that is in use. */
export interface PlannedLock extends TableLock {
  /** Whose requests wait while it is held. */
  readonly blocks: Blocked
  /** What the catalogs say of the largest such table, where the statement's time depends on it. */
  readonly largest?: TableSize | undefined
}

/** The largest table of a name, in the schemas of tenants that are behind; estimates of the last VACUUM or ANALYZE. */
export interface TableSize {
  /** The tenant's key, `shared`, or `shared tenants`. */
  readonly tenant: string
  readonly rows: number
  readonly bytes: number
}

/** One statement that is to run. */
export interface PlannedStatement {
  readonly sql: string
  readonly line: number | undefined
  readonly column: number | undefined
  /** Whether it stands in a DO block, which is the statement before it. */
  readonly inside: boolean
  readonly locks: readonly PlannedLock[]
}

/** A migration that is to run somewhere. */
export interface PlannedMigration {
  readonly set: 'shared' | 'tenant'
  readonly name: string
  readonly file: string
  /** False: each statement by itself, outside of a transaction. */
  readonly transaction: boolean
  /** Repeated until it changes no row. */
  readonly batch: boolean
  /** Whether code gives the SQL of each tenant when it runs: it cannot be shown. */
  readonly perTenant: boolean
  /** For how many tenants; 0 for the shared set, which runs once. */
  readonly tenants: number
  readonly models: TenantCounts
  readonly statements: readonly PlannedStatement[]
  readonly findings: readonly MigrationFinding[]
}

/** What `up` would do. */
export interface MigrationPlan {
  readonly versions: readonly VersionGroup[]
  /** In the order in which they run. */
  readonly migrations: readonly PlannedMigration[]
  /** Repeatable files of tenants that run again behind them, in order. */
  readonly repeatable: readonly { readonly name: string; readonly tenants: number }[]
  /** Tenants that are behind, by wave. */
  readonly waves: readonly { readonly name: string; readonly tenants: number }[]
  /** Tenants of which it cannot be told what is to run. */
  readonly problems: readonly { readonly key: string; readonly error: TenantryError }[]
  /** What keeps `up` from running by the settings of the lint; all findings stand with their migrations. */
  readonly refused: readonly MigrationFinding[]
}
