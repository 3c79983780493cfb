/** Tenants for which a migration failed: remembered in the catalog, so that not every run fails at them again. */
import type { Queryable } from '../../core/database.ts'
import type { TenantryError } from '../../core/errors.ts'
import { sqlState } from '../../sql/sql-state.ts'
import type { Migration } from '../files/migration.ts'

/** One tenant in quarantine. */
export interface Quarantined {
  readonly id: string
  /** The migration that failed. */
  readonly migration: string
  /** Of its text then. */
  readonly checksum: string
  /** What the error said. */
  readonly error: string
  readonly since: Date
}

/** Everybody in quarantine, by the tenant's id. */
export async function readQuarantine(db: Queryable): Promise<Map<string, Quarantined>> {
  const { rows } = await db.query<{ entries: string }>(
    `select coalesce(json_agg(json_build_object('id', tenant_id, 'migration', migration, 'checksum', checksum,
       'error', error, 'since', (extract(epoch from created_at) * 1000)::bigint) order by created_at), '[]')::text as entries
     from tenantry.quarantine`,
  )
  const entries = JSON.parse(rows[0]?.entries ?? '[]') as (Omit<Quarantined, 'since'> & { since: number })[]
  return new Map(entries.map((entry) => [entry.id, { ...entry, since: new Date(entry.since) }]))
}

/** Leaves the tenant out from now on. */
export async function quarantine(
  db: Queryable,
  id: string,
  { name, checksum }: Migration,
  error: TenantryError,
): Promise<void> {
  await db.query(
    `insert into tenantry.quarantine (tenant_id, migration, checksum, error) values ($1, $2, $3, $4)
     on conflict (tenant_id) do update
     set migration = excluded.migration, checksum = excluded.checksum, error = excluded.error, created_at = now()`,
    // PostgreSQL cannot hold NUL in text.
    [id, name, checksum, error.message.replaceAll('\0', '').slice(0, 2000)],
  )
}

/** Takes tenants back. */
export async function release(db: Queryable, ids: readonly string[]): Promise<void> {
  if (ids.length > 0)
    await db.query('delete from tenantry.quarantine where tenant_id = any ($1::text[])', [ids])
}

/** Whether the migration that failed still stands as it did: otherwise the tenant deserves another try. */
export function isStillBad({ migration, checksum }: Quarantined, migrations: readonly Migration[]): boolean {
  return migrations.some((one) => one.name === migration && one.checksum === checksum)
}

/**
 * What passes by itself: connections, resources, locks, deadlocks, timeouts, an operator's hand (classes of the PostgreSQL
 * manual, appendix A). A tenant that failed for one of these is tried again by the next run.
 */
const PASSING = /^(08|40|53|57|58)|^(55P03|55006|25P0[34])$/

/** Whether a failure is the migration's or the tenant's own, so that the next try would fail as well. */
export function isLasting(error: TenantryError): boolean {
  const state = sqlState(error.cause)
  return error.code === 'TNY402' && state !== undefined && !PASSING.test(state)
}
