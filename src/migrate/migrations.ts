/** Migrations of the whole fleet: the shared set first, then tenants that share tables, then every other one. */
import { createHash } from 'node:crypto'
import { resolve } from 'node:path'
import { folderOf, moveFolder, type MigrationFolders } from '../core/config.ts'
import type { AdminDatabase, Queryable } from '../core/database.ts'
import { createBaselines } from './baseline/baselines.ts'
import { makeFromBaseline } from './baseline/make-from-baseline.ts'
import { TenantryError } from '../core/errors.ts'
import type { DriftReport } from './drift/drift-report.ts'
import { findDrift } from './drift/find-drift.ts'
import type { SharedHome, TenantHomes } from '../core/homes.ts'
import type { TenantMigrator } from '../core/migrator.ts'
import type { TenantStatus } from '../core/tenant.ts'
import { applyMigrations, ledgerFailure } from './apply/apply-migrations.ts'
import { applyToShared } from './shared-form/apply-shared.ts'
import {
  type FleetMember,
  NOTHING_RAN,
  readFleet,
  readSharing,
  readThere,
  targetOf,
} from './fleet/fleet-members.ts'
import { announceMigration, readLedgers, SHARED_TENANTS, type Ledger, type Target } from './ledger/ledger.ts'
import type { MigrationProgress, MigrationReport, MigrationStatus } from './fleet/migration-report.ts'
import { folderState } from './files/folder-state.ts'
import type { Migration } from './files/migration.ts'
import { createMigrationReader } from './files/read-migrations.ts'

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
   * fails does not stop the others; a shared migration that fails does, since tenants may need it. A tenant migration
   * that tenants who share tables cannot have (TNY407) runs nowhere: its file is going to change.
   * @throws TNY401, TNY404 and TNY408 to TNY410 before anything ran, TNY402 and TNY403 for the shared set, TNY406 where another runner
   * (or node-pg-migrate itself) is at work.
   */
  up(options?: { readonly onProgress?: (progress: MigrationProgress) => void }): Promise<MigrationReport>
  /** @throws TNY401, TNY404, TNY408 to TNY410 */
  status(): Promise<MigrationStatus>
  /**
   * Compares each tenant's schema with what the migrations that ran there make in an empty one. Changes nothing.
   * @param options.only keys of tenants, for which the SQL that would mend them is told as well.
   * @throws TNY401, TNY404, TNY408 to TNY410; TNY302 for a key that no tenant has, TNY426 where the files cannot be replayed.
   */
  diff(options?: {
    readonly only?: readonly string[]
    readonly onProgress?: (compared: number) => void
  }): Promise<DriftReport>
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
  const baselines = createBaselines(lockTimeoutMs)
  const readShared = (): Promise<readonly Migration[]> =>
    reader.read(
      moveFolder(folders.shared ?? 'migrations/shared', (path) => resolve(path)),
      folders.shared !== undefined,
    )
  const readTenant = (): Promise<readonly Migration[]> =>
    reader.read(
      moveFolder(folders.tenant ?? 'migrations/tenant', (path) => resolve(path)),
      folders.tenant !== undefined,
      readShared,
    )

  let digested: { readonly state: string; readonly digest: string } | undefined

  async function run(
    session: Queryable,
    target: Target,
    migrations: readonly Migration[],
    { ledger, heldBack }: { ledger?: Ledger | undefined; heldBack?: string | undefined } = {},
  ): Promise<Outcome> {
    return collect((onApplied) =>
      applyMigrations(session, target, migrations, { lockTimeoutMs, ledger, heldBack, onApplied }),
    )
  }

  async function runShared(
    session: Queryable,
    home: SharedHome,
    migrations: readonly Migration[],
  ): Promise<Outcome> {
    const listSharing = homes.listSharing.bind(homes)
    let refused: string | undefined
    const onRefused = (name: string): void => void (refused = name)
    const outcome = await collect((onApplied) =>
      applyToShared(session, home, migrations, { lockTimeoutMs, listSharing, onApplied, onRefused }),
    )
    return { ...outcome, refused }
  }

  /** A tenant in a database of its own; others do not stop where that cannot be reached. */
  async function runThere(
    session: Queryable,
    { target, database }: FleetMember,
    migrations: readonly Migration[],
    heldBack: string | undefined,
  ): Promise<Outcome> {
    const applied: string[] = []
    try {
      const there = await db.inDatabase(database ?? '').session(async (other) => {
        await requirePlainStrings(other)
        return run(other, { ...target, tenantId: undefined }, migrations, { heldBack })
      })
      // What is told in one database is not heard in another.
      if (there.applied.length > 0) await session.query(announceMigration(target))
      return there
    } catch (error) {
      return { applied, error: ledgerFailure(error, target) }
    }
  }

  return {
    async up({ onProgress } = {}) {
      const [shared, tenant] = [await readShared(), await readTenant()]
      return asOnlyRunner(db, async (session) => {
        await requirePlainStrings(session)
        const sharedRun = await run(session, SHARED, shared)
        if (sharedRun.error !== undefined) throw sharedRun.error
        const sharedHome = await homes.findShared()
        const all = await readFleet(session, homes)
        const fleet = all.members.filter(({ status }) => MIGRATED.includes(status))
        const total = fleet.length + (sharedHome === undefined ? 1 : 2)
        let done = 0
        const tell = (key: string, applied: readonly string[]): void =>
          onProgress?.({ done: ++done, total, tenant: key, applied })
        tell(SHARED.label, sharedRun.applied)
        const report = { shared: sharedRun.applied, tenants: [], failed: [] } as Growing<MigrationReport>
        const note = (key: string, { applied, error }: Outcome, members?: number): void => {
          const line = members === undefined ? { key, applied } : { key, applied, members }
          if (error === undefined) report.tenants.push(line)
          else report.failed.push({ ...line, error })
          tell(key, applied)
        }
        if (sharedHome !== undefined) {
          const { applied, error, refused } = await runShared(session, sharedHome, tenant)
          // Where nobody shares them yet, what they cannot have concerns nobody: the first who will is told so.
          const failed = refused !== undefined && all.sharing === 0 ? undefined : error
          if (failed !== undefined) report.heldBack = refused
          note(SHARED_TENANTS, { applied, error: failed }, all.sharing)
        }
        const { heldBack } = report
        for (const member of fleet) {
          const { key, target, database, ledger } = member
          note(
            key,
            database === undefined
              ? await run(session, target, tenant, { ledger, heldBack })
              : await runThere(session, member, tenant, heldBack),
          )
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
        const there = fleet.members.filter(({ database }) => database !== undefined)
        const read = await readThere(db, there)
        const states = [...(await readSharing(session, homes, fleet.sharing)), ...fleet.members]
        return {
          shared: { applied, pending: pendingNames(shared, applied) },
          tenants: states.map((member) => {
            const { key, status, target, members } = member
            const { applied: names, problem } = read.get(member) ?? member.ledger ?? NOTHING_RAN
            const state = { key, status, applied: names.length, pending: pendingNames(tenant, names) }
            return {
              ...state,
              ...(members === undefined ? {} : { members }),
              ...(problem === undefined ? {} : { error: ledgerFailure(problem, target) }),
            }
          }),
        }
      })
    },

    async digest() {
      // Before the files are read: a change meanwhile shows at the next call.
      const state = await folderState(resolve(folderOf(folders.tenant ?? 'migrations/tenant')))
      if (digested?.state !== state) {
        const texts = (await readTenant()).map(({ name, checksum }) => [name, checksum])
        digested = { state, digest: createHash('sha256').update(JSON.stringify(texts)).digest('hex') }
      }
      return digested.digest
    },

    async diff({ only, onProgress } = {}) {
      const migrations = await readTenant()
      return findDrift({ db, homes, migrations, lockTimeoutMs, only, onProgress })
    },

    async migrateHome(database, home, label) {
      const tenant = await readTenant()
      return database.session(async (session) => {
        await requirePlainStrings(session)
        const target = targetOf(home, label)
        const made = await makeFromBaseline(session, target, {
          baselines,
          home,
          migrations: tenant,
          lockTimeoutMs,
        })
        if (made) return tenant.map(({ name }) => name)
        const { applied, error } = await run(session, target, tenant)
        if (error !== undefined) throw error
        return applied
      })
    },

    async migrateShared(database, home) {
      const tenant = await readTenant()
      return database.session(async (session) => {
        await requirePlainStrings(session)
        const { applied, error } = await runShared(session, home, tenant)
        if (error !== undefined) throw error
        return applied
      })
    },
  }
}

interface Outcome {
  /** Names that ran, before the failure too. */
  readonly applied: string[]
  readonly error?: TenantryError | undefined
  /** The migration that cannot run there, of any kind. */
  readonly refused?: string | undefined
}

/** What ran, and the failure that ended it. */
async function collect(apply: (onApplied: (name: string) => void) => Promise<void>): Promise<Outcome> {
  const applied: string[] = []
  try {
    await apply((name) => void applied.push(name))
    return { applied }
  } catch (error) {
    // Anything else means that the session is gone, and the lock with it.
    if (!(error instanceof TenantryError && /^TNY40[237]$/.test(error.code))) throw error
    return { applied, error }
  }
}

type Growing<R> = { -readonly [K in keyof R]: R[K] extends readonly (infer Item)[] ? Item[] : R[K] }

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
