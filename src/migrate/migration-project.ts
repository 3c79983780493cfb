/** What every part of migrations stands on: the admin's database, the tenants' homes, and the files of both sets. */
import { resolve } from 'node:path'
import {
  folderOf,
  type MigrationConfig,
  type MigrationFolder,
  type MigrationFolders,
  type MigrationFormat,
  moveFolder,
} from '../core/config.ts'
import type { AdminDatabase, Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import type { TenantHomes } from '../core/homes.ts'
import type { MigrationLintSettings } from '../core/migration-lint.ts'
import type { Wave } from '../core/waves.ts'
import type { Migration, Repeatable } from './files/migration.ts'
import { type Chain, chainOf } from './ledger/chain.ts'
import { type Baselines, createBaselines } from './baseline/baselines.ts'
import { digestOf } from './files/checksum.ts'
import { folderState } from './files/folder-state.ts'
import { createMigrationReader } from './files/read-migrations.ts'

export interface MigrationsOptions {
  /** The admin login, direct: session locks do not survive a transaction pooler. */
  readonly db: AdminDatabase
  /**
   * Absolute or relative to the working directory. A folder that is named must exist; the defaults
   * `migrations/shared` and `migrations/tenant` need not. `waves`: of every `up` that says none.
   */
  readonly folders?: MigrationConfig | undefined
  readonly homes: TenantHomes
  /** How long a statement waits for a lock; 5,000 by default. */
  readonly lockTimeoutMs?: number | undefined
}

/** A project's migrations, as the parts of the face share them. */
export interface MigrationProject {
  readonly db: AdminDatabase
  readonly homes: TenantHomes
  readonly lockTimeoutMs: number
  readonly waves: readonly Wave[]
  readonly lint: MigrationLintSettings
  /** What new tenants are made from. */
  readonly baselines: Baselines
  /** @throws TNY401, TNY404, TNY408, TNY410 */
  readShared(): Promise<readonly Migration[]>
  /** @throws TNY401, TNY404, TNY408 to TNY410 */
  readTenant(): Promise<readonly Migration[]>
  /** The repeatable files of a set, in their order. @throws TNY401 */
  readRepeatables(set: 'shared' | 'tenant'): Promise<Chain<Repeatable>>
  /** Another text wherever a tenant migration or repeatable file is new, gone or different. Cheap where the folder is as it was. */
  digestTenant(): Promise<string>
  /** The tool that wrote a set. @throws TNY404, TNY408 */
  formatOf(set: 'shared' | 'tenant'): Promise<MigrationFormat>
}

/** Reads nothing yet. */
export function openProject(options: MigrationsOptions): MigrationProject {
  const { db, homes, folders = {}, lockTimeoutMs = 5000 } = options
  const { waves = [], lint = {} } = folders
  const baselines = createBaselines(lockTimeoutMs)
  return { db, homes, lockTimeoutMs, waves, lint, baselines, ...openFiles(folders) }
}

/** The files alone, for what needs no database. */
export function openFiles(
  folders: MigrationFolders,
): Pick<MigrationProject, 'readShared' | 'readTenant' | 'readRepeatables' | 'digestTenant' | 'formatOf'> {
  const reader = createMigrationReader()
  const source = (set: 'shared' | 'tenant'): MigrationFolder =>
    moveFolder(folders[set] ?? `migrations/${set}`, (path) => resolve(path))
  const readShared = (): Promise<readonly Migration[]> =>
    reader.read(source('shared'), folders.shared !== undefined)
  const readTenant = (): Promise<readonly Migration[]> =>
    reader.read(source('tenant'), folders.tenant !== undefined, readShared)
  const readRepeatables = async (set: 'shared' | 'tenant'): Promise<Chain<Repeatable>> =>
    chainOf(await reader.readRepeatables(source(set)))
  let digested: { readonly state: string; readonly digest: string } | undefined
  return {
    readShared,
    readTenant,
    readRepeatables,
    async digestTenant() {
      // Before the files are read: a change meanwhile shows at the next call.
      const state = await folderState(folderOf(source('tenant')))
      if (digested?.state !== state) {
        const { head = '' } = chainOf(await readTenant())
        const { head: repeatable } = await readRepeatables('tenant')
        digested = { state, digest: repeatable === undefined ? head : digestOf(`${head} ${repeatable}`) }
      }
      return digested.digest
    },
    formatOf: (set) => reader.formatOf(source(set)),
  }
}

/** Migrations are read by a parser that takes backslashes in plain quotes for backslashes. @throws TNY007 */
export async function requirePlainStrings(session: Queryable): Promise<void> {
  const { rows } = await session.query<{ value: string }>(
    "select current_setting('standard_conforming_strings') as value",
  )
  if (rows[0]?.value !== 'off') return
  throw new TenantryError('TNY007', { params: { setting: 'standard_conforming_strings = off' } })
}
