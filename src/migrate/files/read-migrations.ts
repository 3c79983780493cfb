/** Turns a folder of migrations into checked ones, before anything runs. */
import { createHash } from 'node:crypto'
import type { Dirent } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { folderOf, MIGRATION_FORMATS, type MigrationFolder } from '../../core/config.ts'
import { TenantryError } from '../../core/errors.ts'
import { loadParser } from '../../sql/statement.ts'
import { checkSql } from './check-sql.ts'
import { findFormat, unknownFormat } from './formats/find-format.ts'
import { invalidMigration as invalid } from './formats/migration-source.ts'
import { readSources } from './formats/read-sources.ts'
import { readText } from './formats/read-text.ts'
import { checkSource, type CheckedSource } from './formats/check-source.ts'
import { lineAt, USUAL_OPTIONS, type Migration, type SqlScript } from './migration.ts'
import { withVersions } from './migration-version.ts'
import { compareFiles, fileNameProblem, isIgnored, migrationName, splitSections } from './migration-file.ts'

/** Reads the same folder again and again, and checks each text once. */
export interface MigrationReader {
  /**
   * The migrations of a folder, in the order in which they run.
   * @param required whether a missing folder is an error (TNY404), or a folder without migrations.
   * @param shared for tenant migrations: the shared ones, whose objects a hard-coded `public` may mean. Not asked of
   * node-pg-migrate's files, which mean what they say.
   * @throws TNY401 for the first file that cannot run, with its line where it has one; TNY408 to TNY410 for those of
   * other tools.
   */
  read(
    source: MigrationFolder,
    required: boolean,
    shared?: () => Promise<readonly Migration[]>,
  ): Promise<readonly Migration[]>
}

/** Its number depends on those before it. */
type Unnumbered = Omit<Migration, 'version'>

/** A reader with a memory of its own, as large as the files it read. */
export function createMigrationReader(): MigrationReader {
  const known = new Map<string, Unnumbered>()
  const knownSources = new Map<string, CheckedSource>()
  return {
    async read(source, required, shared) {
      const folder = folderOf(source)
      const entries = await listEntries(folder, required)
      const format = typeof source === 'string' ? await findFormat(folder, entries) : source.format
      if (!MIGRATION_FORMATS.includes(format)) {
        throw unknownFormat(folder, `there is no format ${JSON.stringify(format)}`)
      }
      if (format === 'node-pg-migrate') return readFiles(folder, entries)
      const sources = entries.length === 0 ? [] : await readSources(folder, entries, format)
      if (sources.length === 0) return []
      await loadParser()
      const sharedSet = await shared?.()
      let before: CheckedSource | undefined
      // What a file means depends on the names that those before it made.
      let key = JSON.stringify([format, sharedSet?.map((migration) => migration.checksum)])
      const migrations: Unnumbered[] = []
      for (const one of sources) {
        key = checksum(`${key}\n${one.file}\n${one.text}`)
        before = knownSources.get(key) ?? (await checkSource(one, before, sharedSet))
        knownSources.set(key, before)
        const { migration } = before
        if (migrations.some(({ name }) => name === migration.name)) {
          throw invalid(one.file, `another migration is called ${migration.name} too`)
        }
        migrations.push({ ...migration, checksum: checksum(migration.up) })
      }
      return withVersions(migrations)
    },
  }

  async function readFiles(folder: string, entries: readonly Dirent[]): Promise<readonly Migration[]> {
    const files = listFiles(folder, entries)
    if (files.length > 0) await loadParser()
    const migrations: Unnumbered[] = []
    for (const name of files) {
      const file = `${basename(folder)}/${name}`
      const text = await readText(join(folder, name), file)
      const key = `${file}\n${checksum(text)}`
      const migration = known.get(key) ?? toMigration(file, text)
      known.set(key, migration)
      migrations.push(migration)
    }
    return withVersions(migrations)
  }
}

async function listEntries(folder: string, required: boolean): Promise<Dirent[]> {
  return readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    const code = (error as NodeJS.ErrnoException).code
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error
    if (required) throw new TenantryError('TNY404', { params: { folder }, cause: error })
    return []
  })
}

function listFiles(folder: string, entries: readonly Dirent[]): string[] {
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

function toMigration(file: string, text: string): Unnumbered {
  const { up, upStart, down, downStart, preamble } = splitSections(text)
  // Without its own marker the up part is the whole file: then a down part with statements is refused below.
  const script = toScript(file, text, up, upStart ?? 0)
  if (script.statements.length === 0) throw invalid(file, 'it holds no statement to run')
  if (toScript(file, text, preamble, 0).statements.length > 0) {
    throw invalid(
      file,
      'statements before the first marker would never run; move them below "-- Up Migration"',
    )
  }
  const undo = down === undefined ? undefined : toScript(file, text, down, downStart)
  if (upStart === undefined && undo !== undefined && undo.statements.length > 0) {
    throw invalid(file, 'without "-- Up Migration" its down part would run upwards too; add that line above')
  }
  const { sql, ...places } = script
  const about = { name: migrationName(file), file, checksum: checksum(up) }
  const options = USUAL_OPTIONS
  return {
    ...about,
    up: sql,
    ...places,
    options,
    ignores: [],
    down: undo === undefined ? undefined : { ...undo, options },
    after: [],
  }
}

function toScript(file: string, text: string, part: string, start: number): SqlScript {
  const verdict = checkSql(part)
  if ('statements' in verdict) {
    return { sql: part, line: lineAt(text, start), statements: verdict.statements }
  }
  throw invalid(file, `${verdict.reason} (line ${lineAt(text, start + verdict.at)})`)
}

function checksum(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
