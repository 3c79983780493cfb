/** A history of migrations for fleets that have no tables, in a folder as a project has it. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Migration } from '../../src/migrate/files/migration.ts'
import { createMigrationReader } from '../../src/migrate/files/read-migrations.ts'

export interface MigrationHistory {
  /** Of the tenant set; there is no shared one. */
  readonly folders: { readonly shared: string; readonly tenant: string }
  readonly migrations: readonly Migration[]
  remove(): void
}

/** As many files as a product of some age has. */
export async function makeHistory(count = 200): Promise<MigrationHistory> {
  const root = mkdtempSync(join(tmpdir(), 'tenantry-bench-'))
  const folders = { shared: join(root, 'shared'), tenant: join(root, 'tenant') }
  for (const folder of Object.values(folders)) mkdirSync(folder)
  for (let number = 1; number <= count; number += 1) {
    writeFileSync(join(folders.tenant, `${number}_step.sql`), `select ${number};\n`)
  }
  return {
    folders,
    migrations: await createMigrationReader().read(folders.tenant, true),
    remove: () => rmSync(root, { recursive: true, force: true }),
  }
}
