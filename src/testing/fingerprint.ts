/** What a template is made from, as one short text: equal texts make equal databases. */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { join, relative, resolve } from 'node:path'
import { CATALOG_VERSION } from '../catalog/catalog-migrations.ts'
import { type MigrationFolder, type MigrationFolders, type Seed, folderOf } from '../core/config.ts'
import type { TenantInput } from '../lifecycle/tenant-input.ts'

/** To be raised when templates are made otherwise. */
const FORM = 1

/** What is asked for. */
export interface TemplateInput {
  readonly tenants: readonly TenantInput[]
  readonly migrations: MigrationFolders | undefined
  readonly seed: Seed | string | undefined
  readonly version: string | undefined
}

/** @param server its version number */
export function fingerprintOf(input: TemplateInput, server: string): string {
  const { tenants, migrations, seed, version } = input
  const parts = [
    FORM,
    CATALOG_VERSION,
    packageVersion(),
    server,
    tenants,
    filesOf(migrations?.shared ?? 'migrations/shared'),
    filesOf(migrations?.tenant ?? 'migrations/tenant'),
    // What a function refers to does not show in its text: that is what `version` is for.
    typeof seed === 'function' ? seed.toString() : seed === undefined ? null : readFileSync(seed, 'utf8'),
    version ?? null,
  ]
  return createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)
}

function filesOf(source: MigrationFolder): unknown[] {
  const path = resolve(folderOf(source))
  if (!existsSync(path)) return []
  const files = readdirSync(path, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() || entry.isSymbolicLink())
    .map(({ parentPath, name }) => join(parentPath, name))
    .sort()
    .map((file) => [relative(path, file), readFileSync(file, 'utf8')])
  return typeof source === 'string' ? files : [source.format, files]
}

function packageVersion(): string {
  const path = findPackageJSON(import.meta.url)
  if (path === undefined) return ''
  const { version } = JSON.parse(readFileSync(path, 'utf8')) as { version?: string }
  return version ?? ''
}
