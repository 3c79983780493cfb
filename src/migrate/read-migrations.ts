/** Turns a folder of SQL files into checked migrations, before anything runs. */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { TenantryError } from '../core/errors.ts'
import { loadParser } from '../sql/statement.ts'
import { checkSql, type CheckedSql } from './check-sql.ts'
import { compareFiles, fileNameProblem, isIgnored, migrationName, splitSections } from './migration-file.ts'

/** One migration, checked. */
export interface Migration {
  /** As the ledger records it: the file's name without `.sql`. */
  readonly name: string
  /** The file in its folder, for messages: `tenant/1700000000000_create-orders.sql`. */
  readonly file: string
  /** What runs, marker included. Safe to be followed by other statements after a line break. */
  readonly up: string
  /** The line of the file, from 1, on which `up` begins. */
  readonly line: number
  /** Where each statement of `up` begins, in UTF-16 units. */
  readonly statements: readonly number[]
  /** SHA-256 of `up`, in hexadecimal. */
  readonly checksum: string
}

/** Reads the same folder again and again, and checks each text once. */
export interface MigrationReader {
  /**
   * The migrations of a folder, in the order in which they run.
   * @param required whether a missing folder is an error (TNY404), or a folder without migrations.
   * @throws TNY401 for the first file that cannot run, with its line where it has one.
   */
  read(folder: string, required: boolean): Promise<readonly Migration[]>
}

/** A reader with a memory of its own, as large as the files it read. */
export function createMigrationReader(): MigrationReader {
  const known = new Map<string, Migration>()
  return {
    async read(folder, required) {
      const files = await listFiles(folder, required)
      if (files.length > 0) await loadParser()
      const migrations: Migration[] = []
      for (const name of files) {
        const file = `${basename(folder)}/${name}`
        const text = await readText(join(folder, name), file)
        const key = `${file}\n${checksum(text)}`
        const migration = known.get(key) ?? toMigration(file, text)
        known.set(key, migration)
        migrations.push(migration)
      }
      return migrations
    },
  }
}

/** The line of `text`, from 1, on which the UTF-16 offset lies. */
export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}

async function listFiles(folder: string, required: boolean): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    const code = (error as NodeJS.ErrnoException).code
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error
    if (required) throw new TenantryError('TNY404', { params: { folder }, cause: error })
    return []
  })
  const files = entries
    .filter((entry) => (entry.isFile() || entry.isSymbolicLink()) && !isIgnored(entry.name))
    .map((entry) => entry.name)
  for (const file of files) {
    const reason = fileNameProblem(file)
    if (reason !== undefined) throw invalid(`${basename(folder)}/${file}`, reason)
  }
  files.sort(compareFiles)
  files.forEach((file, index) => {
    const previous = files[index - 1]
    if (previous === undefined) return
    // Where the comparison says nothing, node-pg-migrate runs files as the disk happens to list them.
    if (compareFiles(previous, file) === 0 || migrationName(previous) === migrationName(file)) {
      throw invalid(`${basename(folder)}/${file}`, `its name cannot be told from that of ${previous}`)
    }
  })
  return files
}

async function readText(path: string, file: string): Promise<string> {
  const bytes = await readFile(path)
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch (error) {
    throw invalid(file, 'it is not UTF-8', error)
  }
  if (text.startsWith('\uFEFF')) throw invalid(file, 'it begins with a byte order mark; save it without one')
  return text
}

function toMigration(file: string, text: string): Migration {
  const { up, upStart, down, preamble } = splitSections(text)
  const { statements } = requireSql(file, text, up, upStart ?? 0)
  if (statements.length === 0) throw invalid(file, 'it holds no statement to run')
  if (requireSql(file, text, preamble, 0).statements.length > 0) {
    throw invalid(
      file,
      'statements before the first marker would never run; move them below "-- Up Migration"',
    )
  }
  if (upStart === undefined && down !== undefined && holdsStatements(down)) {
    throw invalid(file, 'without "-- Up Migration" its down part would run upwards too; add that line above')
  }
  const line = lineAt(text, upStart ?? 0)
  return { name: migrationName(file), file, up, line, statements, checksum: checksum(up) }
}

function requireSql(file: string, text: string, part: string, start: number): CheckedSql {
  const verdict = checkSql(part)
  if ('statements' in verdict) return verdict
  throw invalid(file, `${verdict.reason} (line ${lineAt(text, start + verdict.at)})`)
}

function holdsStatements(sql: string): boolean {
  const verdict = checkSql(sql)
  return !('statements' in verdict) || verdict.statements.length > 0
}

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function invalid(file: string, reason: string, cause?: unknown): TenantryError {
  return new TenantryError('TNY401', { params: { file, reason }, cause })
}
