/** Migrations of the whole fleet: the shared set first, then every tenant, one after another. */
import { resolve } from 'node:path'
import type { MigrationFolders } from '../core/config.ts'
import type { AdminDatabase, Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import type { TenantHome, TenantHomes } from '../core/homes.ts'
import type { TenantMigrator } from '../core/migrator.ts'
import type { Home, TenantStatus } from '../core/tenant.ts'
import { applyMigrations, ledgerFailure } from './apply-migrations.ts'
import { readLedgers, type Ledger, type Target } from './ledger.ts'
import type { MigrationProgress, MigrationReport, MigrationStatus } from './migration-report.ts'
import { createMigrationReader, type Migration } from './read-migrations.ts'

export interface MigrationsOptions {
  /** The admin login, direct: session locks do not survive a transaction pooler. */
  readonly db: AdminDatabase
  /**
   * Absolute or relative to the working directory. A folder that is named must exist; the defaults
   * `migrations/shared` and `migrations/tenant` need not.
   */
  readonly folders?: MigrationFolders | undefined
  readonly homes: TenantHomes
  /** How long a statement waits for a lock; 5,000 by default. */
  readonly lockTimeoutMs?: number | undefined
}

/** Migrations of one database. */
export interface Migrations extends TenantMigrator {
  /**
   * Runs what is missing, everywhere. Stopping it anywhere is safe: the next call goes on from there. A tenant that
   * fails does not stop the others; a shared migration that fails does, since tenants may need it.
   * @throws TNY401 and TNY404 before anything ran, TNY402 and TNY403 for the shared set, TNY406 where another runner
   * (or node-pg-migrate itself) is at work.
   */
  up(options?: { readonly onProgress?: (progress: MigrationProgress) => void }): Promise<MigrationReport>
  /** @throws TNY401, TNY404 */
  status(): Promise<MigrationStatus>
}

/** The lock of node-pg-migrate's own runner (PG_MIGRATE_LOCK_ID in its source): the two exclude each other. */
const RUNNER_LOCK = '7241865325823964'

const SHARED: Target = { schema: 'public', ownerRole: undefined, tenantRole: undefined, label: 'shared' }

/** Tenants that `up` migrates: those that serve, or will again as they are. */
const MIGRATED: readonly TenantStatus[] = ['active', 'suspended']

/**
 * Wires migrations to a database and its tenants.
 * @example
 * const migrations = createMigrations({ db, homes, folders: { tenant: 'migrations/tenant' } })
 * const report = await migrations.up()
 */
export function createMigrations(options: MigrationsOptions): Migrations {
  const { db, homes, folders = {}, lockTimeoutMs = 5000 } = options
  const reader = createMigrationReader()
  const readShared = (): Promise<readonly Migration[]> =>
    reader.read(resolve(folders.shared ?? 'migrations/shared'), folders.shared !== undefined)
  const readTenant = (): Promise<readonly Migration[]> =>
    reader.read(resolve(folders.tenant ?? 'migrations/tenant'), folders.tenant !== undefined)

  async function run(
    session: Queryable,
    target: Target,
    migrations: readonly Migration[],
    ledger?: Ledger,
  ): Promise<{ applied: string[]; error?: TenantryError }> {
    const applied: string[] = []
    try {
      const onApplied = (name: string): void => void applied.push(name)
      await applyMigrations(session, target, migrations, { lockTimeoutMs, ledger, onApplied })
      return { applied }
    } catch (error) {
      // Anything else means that the session is gone, and the lock with it.
      if (!(error instanceof TenantryError && /^TNY40[23]$/.test(error.code))) throw error
      return { applied, error }
    }
  }

  return {
    async up({ onProgress } = {}) {
      const [shared, tenant] = [await readShared(), await readTenant()]
      return asOnlyRunner(db, async (session) => {
        await requirePlainStrings(session)
        const sharedRun = await run(session, SHARED, shared)
        if (sharedRun.error !== undefined) throw sharedRun.error
        const fleet = (await readFleet(session, homes)).filter(({ status }) => MIGRATED.includes(status))
        const total = fleet.length + 1
        onProgress?.({ done: 1, total, tenant: SHARED.label, applied: sharedRun.applied })
        const report = { shared: sharedRun.applied, tenants: [], failed: [] } as Growing<MigrationReport>
        for (const [index, { key, target, ledger }] of fleet.entries()) {
          const { applied, error } = await run(session, target, tenant, ledger)
          if (error === undefined) report.tenants.push({ key, applied })
          else report.failed.push({ key, applied, error })
          onProgress?.({ done: index + 2, total, tenant: key, applied })
        }
        return report.failed.length === 0
          ? report
          : { ...report, failed: await stillThere(report.failed, fleet) }
      })

      /** A tenant that was deleted meanwhile did not fail. */
      async function stillThere(
        failed: Growing<MigrationReport>['failed'],
        fleet: readonly FleetMember[],
      ): Promise<MigrationReport['failed']> {
        const ids = new Set<string>()
        for await (const { id } of homes.list()) ids.add(id)
        const gone = new Set(fleet.filter(({ id }) => !ids.has(id)).map(({ key }) => key))
        return failed.filter(({ key }) => !gone.has(key))
      }
    },

    async status() {
      const [shared, tenant] = [await readShared(), await readTenant()]
      return db.session(async (session) => {
        const [ledger] = await readLedgers(session, [SHARED])
        const applied = ledger?.applied ?? []
        const fleet = await readFleet(session, homes)
        return {
          shared: { applied, pending: pendingNames(shared, applied) },
          tenants: fleet.map(({ key, status, target, ledger: { applied: names, problem } }) => {
            const state = { key, status, applied: names.length, pending: pendingNames(tenant, names) }
            return problem === undefined ? state : { ...state, error: ledgerFailure(problem, target) }
          }),
        }
      })
    },

    async migrateHome(database, home, label) {
      const tenant = await readTenant()
      return database.session(async (session) => {
        await requirePlainStrings(session)
        const { applied, error } = await run(session, targetOf(home, label), tenant)
        if (error !== undefined) throw error
        return applied
      })
    },
  }
}

type Growing<R> = { -readonly [K in keyof R]: R[K] extends readonly (infer Item)[] ? Item[] : R[K] }

interface FleetMember {
  readonly id: string
  readonly key: string
  readonly status: TenantStatus
  readonly target: Target
  readonly ledger: Ledger
}

async function readFleet(session: Queryable, homes: TenantHomes): Promise<FleetMember[]> {
  const listed: TenantHome[] = []
  for await (const home of homes.list()) listed.push(home)
  const targets = listed.map(({ id, key, home }) => targetOf(home, key, id))
  const ledgers = await readLedgers(session, targets)
  const members: FleetMember[] = []
  for (const [index, { id, key, status }] of listed.entries()) {
    const [target, ledger] = [targets[index], ledgers[index]]
    if (target !== undefined && ledger !== undefined) members.push({ id, key, status, target, ledger })
  }
  return members
}

function targetOf(home: Home, label: string, tenantId?: string): Target {
  return { schema: home.schema, ownerRole: home.ownerRole, tenantRole: home.role, tenantId, label }
}

function pendingNames(migrations: readonly Migration[], applied: readonly string[]): string[] {
  return migrations.map(({ name }) => name).filter((name) => !applied.includes(name))
}

/** @throws TNY406 where another runner holds the lock. */
function asOnlyRunner<T>(db: AdminDatabase, fn: (session: Queryable) => Promise<T>): Promise<T> {
  return db.session(async (session) => {
    const { rows } = await session.query<{ obtained: string }>(
      `select pg_try_advisory_lock(${RUNNER_LOCK})::text as obtained`,
    )
    if (rows[0]?.obtained !== 'true') throw new TenantryError('TNY406')
    try {
      return await fn(session)
    } finally {
      // The server would do it when it notices that the session is closed, which may be after the next `up` asks.
      await session.query(`select pg_advisory_unlock(${RUNNER_LOCK})`).catch(() => undefined)
    }
  })
}

/** Migrations are read by a parser that takes backslashes in plain quotes for backslashes. */
async function requirePlainStrings(session: Queryable): Promise<void> {
  const { rows } = await session.query<{ value: string }>(
    "select current_setting('standard_conforming_strings') as value",
  )
  if (rows[0]?.value !== 'off') return
  throw new TenantryError('TNY007', { params: { setting: 'standard_conforming_strings = off' } })
}
