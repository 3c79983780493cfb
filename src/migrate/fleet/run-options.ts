/** What a run over the fleet may be told, and whether that can be done. */
import { TenantryError } from '../../core/errors.ts'
import type { Wave } from '../../core/waves.ts'
import type { Migration } from '../files/migration.ts'
import type { Listeners } from './tally.ts'

/** For `up` and `down` alike. */
export interface RunOptions extends Listeners {
  /** Keys or ids of the only tenants; `shared tenants` for all that share tables. The shared set runs all the same. */
  readonly only?: readonly string[]
  /** Everything is tried in transactions that are rolled back. */
  readonly dryRun?: boolean
  /** How many tenants of one server at a time; 4 by default. Each takes a connection. */
  readonly workers?: number
  /** How long a statement waits for a lock; 5,000 by default. */
  readonly lockTimeoutMs?: number
  /** How long a statement may take; no limit by default. */
  readonly statementTimeoutMs?: number
  /** Ends the run behind the steps that are under way: TNY422 in the report. */
  readonly signal?: AbortSignal
  /** False: TNY406 at once where another runner is at work, which is waited for by default. */
  readonly wait?: boolean
}

export interface UpOptions extends RunOptions {
  /** The last migration to run: its name, its file, or its number. Of the shared set: no tenant is migrated. */
  readonly to?: string
  /** Tries those in quarantine too. */
  readonly retry?: boolean
  /** In place of those of the configuration; none: `[]`. */
  readonly waves?: readonly Wave[]
  /** False: what the lint refuses runs all the same. */
  readonly lint?: boolean
}

export const DEFAULT_WORKERS = 4

/** TNY420, for what cannot be asked for. */
export function cannotStart(reason: string, advice: string): TenantryError {
  return new TenantryError('TNY420', { params: { reason, advice } })
}

/** @throws TNY420 for a number that is none. */
export function checkRunOptions({ workers, lockTimeoutMs, statementTimeoutMs }: RunOptions): void {
  const numbers = { workers, lockTimeoutMs, statementTimeoutMs }
  for (const [name, value] of Object.entries(numbers)) {
    const least = name === 'workers' ? 1 : 0
    // The longest that PostgreSQL's settings hold.
    if (value === undefined || (Number.isInteger(value) && value >= least && value < 2 ** 31)) continue
    throw cannotStart(`\`${name}\` is ${String(value)}`, `Give a whole number from ${least}.`)
  }
}

/** How far a run goes in both sets: how many migrations of each. */
export interface Goal {
  readonly shared: number
  readonly tenant: number
}

/** @throws TNY420 where `to` names none, or one in each set. */
export function findGoal(
  to: string | undefined,
  shared: readonly Migration[],
  tenant: readonly Migration[],
): Goal {
  if (to === undefined) return { shared: shared.length, tenant: tenant.length }
  const inTenant = findMigration(to, tenant)
  const inShared = findMigration(to, shared)
  if (inTenant >= 0 && inShared >= 0) {
    throw cannotStart(`"${to}" is a migration of both sets`, 'Write the whole name.')
  }
  if (inTenant >= 0) return { shared: shared.length, tenant: inTenant + 1 }
  if (inShared >= 0) return { shared: inShared + 1, tenant: 0 }
  throw cannotStart(`there is no migration "${to}"`, 'Write its name as `tenantry migrate status` does.')
}

/** The place of a migration by its name, its file or its number; -1 where none has it. */
export function findMigration(wanted: string, migrations: readonly Migration[]): number {
  const exact = migrations.findIndex(
    ({ name, file }) => name === wanted || file === wanted || file.endsWith(`/${wanted}`),
  )
  if (exact >= 0 || !/^\d+$/.test(wanted)) return exact
  return migrations.findIndex(({ name }) => /^\d+/.exec(name)?.[0] === wanted)
}
