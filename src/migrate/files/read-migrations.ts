/** Turns a folder of migrations into checked ones, before anything runs. */
import type { Dirent } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { folderOf, MIGRATION_FORMATS, type MigrationFolder, type MigrationFormat } from '../../core/config.ts'
import { TenantryError } from '../../core/errors.ts'
import { loadParser } from '../../sql/statement.ts'
import { digestOf } from './checksum.ts'
import { checkSource, type CheckedSource } from './formats/check-source.ts'
import { loadCode } from './formats/code-files.ts'
import { findFormat, unknownFormat } from './formats/find-format.ts'
import { invalidMigration as invalid } from './formats/migration-source.ts'
import { listUnits, type MigrationUnit } from './formats/node-pg-migrate-folder.ts'
import { readSources } from './formats/read-sources.ts'
import { readText } from './formats/read-text.ts'
import { carryShorthands, compileBuilderFile, type Shorthands } from './formats/record-node-pg-migrate.ts'
import type { Migration, Repeatable } from './migration.ts'
import { isIgnored, REPEATABLE } from './migration-file.ts'
import { withVersions } from './migration-version.ts'
import { readMarkedFile, readPair, readRepeatable, type SqlText, type Unnumbered } from './read-sql.ts'

/** Reads the same folder again and again, and checks each text once. */
export interface MigrationReader {
  /**
   * The migrations of a folder, in the order in which they run.
   * @param required whether a missing folder is an error (TNY404), or a folder without migrations.
   * @param shared for tenant migrations: the shared ones, whose objects a hard-coded `public` may mean. Not asked of
   * node-pg-migrate's files, which mean what they say.
   * @throws TNY401 for the first file that cannot run, with its line where it has one; TNY408 to TNY410 for those of
   * other tools, and for code.
   */
  read(
    source: MigrationFolder,
    required: boolean,
    shared?: () => Promise<readonly Migration[]>,
  ): Promise<readonly Migration[]>
  /** The tool that wrote a folder. @throws TNY404, TNY408 */
  formatOf(source: MigrationFolder): Promise<MigrationFormat>
  /**
   * The files of the folder's `repeatable/`, in the order in which they run; none where there is no such folder.
   * @throws TNY401
   */
  readRepeatables(source: MigrationFolder): Promise<readonly Repeatable[]>
}

/** A reader with a memory of its own, as large as the files it read. */
export function createMigrationReader(): MigrationReader {
  const known = new Map<string, Unnumbered>()
  const knownCode = new Map<string, KnownCode>()
  const knownSources = new Map<string, CheckedSource>()
  const knownRepeatables = new Map<string, Repeatable>()
  return {
    async read(source, required, shared) {
      const folder = folderOf(source)
      const entries = await listEntries(folder, required)
      const format = typeof source === 'string' ? await findFormat(folder, entries) : source.format
      if (!MIGRATION_FORMATS.includes(format)) {
        throw unknownFormat(folder, `there is no format ${JSON.stringify(format)}`)
      }
      if (format === 'node-pg-migrate') {
        const decamelize = typeof source === 'object' && source.decamelize === true
        return readUnits(folder, listUnits(folder, entries), decamelize)
      }
      const sources = entries.length === 0 ? [] : await readSources(folder, entries, format)
      if (sources.length === 0) return []
      await loadParser()
      const sharedSet = await shared?.()
      let before: CheckedSource | undefined
      // What a file means depends on the names that those before it made.
      let key = JSON.stringify([format, sharedSet?.map((migration) => migration.checksum)])
      const migrations: Unnumbered[] = []
      for (const one of sources) {
        key = digestOf(`${key}\n${one.file}\n${one.text}\0${one.changesWith ?? ''}`)
        before = knownSources.get(key) ?? (await checkSource(one, before, sharedSet))
        knownSources.set(key, before)
        const { migration } = before
        if (migrations.some(({ name }) => name === migration.name)) {
          throw invalid(one.file, `another migration is called ${migration.name} too`)
        }
        migrations.push(migration)
      }
      return withVersions(migrations)
    },

    async formatOf(source) {
      if (typeof source !== 'string') return source.format
      return findFormat(source, await listEntries(source, true))
    },

    async readRepeatables(source) {
      const folder = join(folderOf(source), REPEATABLE)
      const files = (await listEntries(folder, false))
        .map((entry) => entry.name)
        .filter((name) => !isIgnored(name))
        .sort((a, b) => ORDER.compare(a, b) || (a < b ? -1 : 1))
      if (files.length > 0) await loadParser()
      const repeatables: Repeatable[] = []
      for (const name of files) {
        const text = await readSqlText(folder, name, `${basename(folderOf(source))}/${REPEATABLE}`)
        if (!name.endsWith('.sql')) throw invalid(text.file, 'only .sql files can be repeatable')
        const key = keyOf(text)
        const one =
          knownRepeatables.get(key) ?? readRepeatable(`${REPEATABLE}/${name.slice(0, -'.sql'.length)}`, text)
        knownRepeatables.set(key, one)
        repeatables.push(one)
      }
      return repeatables
    },
  }

  async function readUnits(
    folder: string,
    units: readonly MigrationUnit[],
    decamelize: boolean,
  ): Promise<readonly Migration[]> {
    if (units.length > 0) await loadParser()
    let shorthands: Shorthands = {}
    const migrations: Unnumbered[] = []
    for (const unit of units) {
      const text = await readSqlText(folder, unit.file)
      if (unit.kind === 'code') {
        const key = keyOf(text, JSON.stringify([shorthands, decamelize]))
        const code =
          knownCode.get(key) ?? (await readCode(join(folder, unit.file), text, shorthands, decamelize))
        knownCode.set(key, code)
        shorthands = code.shorthands
        migrations.push(code.migration)
        continue
      }
      const downName = unit.kind === 'pair' ? unit.down : undefined
      const down = downName === undefined ? undefined : await readSqlText(folder, downName)
      const key = keyOf(text, down === undefined ? '' : keyOf(down))
      const migration =
        known.get(key) ??
        (unit.kind === 'pair' ? readPair(unit.name, text, down) : readMarkedFile(unit.name, text))
      known.set(key, migration)
      migrations.push(migration)
    }
    return withVersions(migrations)
  }
}

/** Numbers in names count as numbers. */
const ORDER = new Intl.Collator('en', { numeric: true })

interface KnownCode {
  readonly migration: Unnumbered
  /** What it and those before it call types. */
  readonly shorthands: Shorthands
}

async function readCode(
  path: string,
  { file, text }: SqlText,
  before: Shorthands,
  decamelize: boolean,
): Promise<KnownCode> {
  const code = await loadCode(path, file, text)
  const shorthands = carryShorthands(before, code)
  const compile = (): ReturnType<typeof compileBuilderFile> =>
    compileBuilderFile(code, file, { shorthands, decamelize })
  // Its names mean what they say, as those of its SQL files.
  const { migration } = await checkSource({ file, text, compile }, undefined, undefined)
  return { migration, shorthands }
}

async function readSqlText(folder: string, name: string, shown = basename(folder)): Promise<SqlText> {
  const file = `${shown}/${name}`
  return { file, text: await readText(join(folder, name), file) }
}

function keyOf({ file, text }: SqlText, more = ''): string {
  return `${file}\n${digestOf(text)}\n${more}`
}

async function listEntries(folder: string, required: boolean): Promise<Dirent[]> {
  return readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    const code = (error as NodeJS.ErrnoException).code
    if (code !== 'ENOENT' && code !== 'ENOTDIR') throw error
    if (required) throw new TenantryError('TNY404', { params: { folder }, cause: error })
    return []
  })
}
