/** Tells by the shape of a folder which tool wrote the migrations in it. */
import type { Dirent } from 'node:fs'
import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { MIGRATION_FORMATS, type MigrationFormat } from '../../../core/config.ts'
import { TenantryError } from '../../../core/errors.ts'
import { isCode } from './code-files.ts'

/**
 * The format of a folder; node-pg-migrate's where it holds nothing of another tool.
 * @throws TNY408 where it could be of two, or holds code of which only a part is known.
 */
export async function findFormat(folder: string, entries: readonly Dirent[]): Promise<MigrationFormat> {
  const seen = entries.filter(({ name }) => !name.startsWith('.'))
  const found = new Map<MigrationFormat, string>()
  const folders = seen.filter((entry) => entry.isDirectory()).map(({ name }) => name)
  if (seen.some(({ name }) => name === 'migration_lock.toml')) found.set('prisma', 'migration_lock.toml')
  else {
    const own = folders.find((name) => existsSync(join(folder, name, 'migration.sql')))
    if (own !== undefined) found.set('prisma', `${own}/migration.sql`)
  }
  if (folders.includes('meta') && existsSync(join(folder, 'meta/_journal.json'))) {
    found.set('drizzle', 'meta/_journal.json')
  }
  const sql = seen.find((entry) => !entry.isDirectory() && entry.name.toLowerCase().endsWith('.sql'))
  if (sql !== undefined && !found.has('drizzle')) found.set('node-pg-migrate', sql.name)
  // node-pg-migrate keeps both side by side.
  if (!found.has('prisma') && !found.has('drizzle')) {
    for (const { name } of seen.filter((entry) => !entry.isDirectory() && isCode(entry.name))) {
      found.set(toolOf(await readFile(join(folder, name), 'utf8')), name)
    }
  }
  const [[format] = ['node-pg-migrate' as const], second] = [...found]
  if (second === undefined) return format
  const reason = `it holds ${[...found].map(([tool, name]) => `${name} of ${tool}`).join(' and ')}`
  throw unknownFormat(folder, reason)
}

/** TNY408 */
export function unknownFormat(folder: string, reason: string): TenantryError {
  const formats = MIGRATION_FORMATS.map((format) => `'${format}'`).join(', ')
  return new TenantryError('TNY408', { params: { folder: basename(folder), reason, formats } })
}

function toolOf(code: string): MigrationFormat {
  if (/@mikro-orm\/migrations|\bthis\.addSql\b/.test(code)) return 'mikro-orm'
  if (/\bqueryRunner\b|\bMigrationInterface\b/.test(code)) return 'typeorm'
  // node-pg-migrate's code has the same exports; by its documents the parameter is called pgm.
  const isKnex = /\bexports\.up\s*=|\bexport\s+(async\s+)?(function|const|let)\s+up\b|\bknex\b/.test(code)
  return isKnex && !/\bpgm\b|\bnode-pg-migrate\b/.test(code) ? 'knex' : 'node-pg-migrate'
}
