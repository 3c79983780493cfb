/** One reader for each tool's migrations. */
import type { Dirent } from 'node:fs'
import type { MigrationFormat } from '../../../core/config.ts'
import { readCodeFolder } from './code-files.ts'
import type { MigrationSource } from './migration-source.ts'
import { recordMikroOrm, recordTypeOrm } from './record-classes.ts'
import { recordKnex } from './record-knex.ts'
import { readDrizzleFolder, readPrismaFolder } from './sql-files.ts'

/**
 * The migrations of a folder, in the order in which its tool runs them.
 * @throws TNY401 where the folder is not as the tool keeps it.
 */
export function readSources(
  folder: string,
  entries: readonly Dirent[],
  format: Exclude<MigrationFormat, 'node-pg-migrate'>,
): Promise<readonly MigrationSource[]> {
  switch (format) {
    case 'prisma':
      return readPrismaFolder(folder)
    case 'drizzle':
      return readDrizzleFolder(folder)
    case 'knex':
      return readCodeFolder(folder, entries, recordKnex)
    case 'mikro-orm':
      return readCodeFolder(folder, entries, recordMikroOrm)
    case 'typeorm':
      return readCodeFolder(folder, entries, recordTypeOrm)
  }
}
