/** The migrations in a folder of node-pg-migrate: which files each of them is. */
import type { Dirent } from 'node:fs'
import { basename } from 'node:path'
import { compareFiles, fileNameProblem, isIgnored, migrationName } from '../migration-file.ts'
import { isCode } from './code-files.ts'
import { invalidMigration } from './migration-source.ts'

/** One migration; files are named without their folder. */
export type MigrationUnit = { readonly name: string; readonly file: string } & (
  | { readonly kind: 'sql' | 'code' }
  /** `file` is the `.up.sql` of a pair. */
  | { readonly kind: 'pair'; readonly down: string | undefined }
)

/**
 * In the order in which node-pg-migrate runs them.
 * @throws TNY401 for a file that is none, or whose place the names leave open.
 */
export function listUnits(folder: string, entries: readonly Dirent[]): readonly MigrationUnit[] {
  const refuse = (file: string, reason: string): never => {
    throw invalidMigration(`${basename(folder)}/${file}`, reason)
  }
  const files = entries
    .filter((entry) => (entry.isFile() || entry.isSymbolicLink()) && !isIgnored(entry.name))
    .map((entry) => entry.name)
  for (const file of files) {
    const reason = fileNameProblem(file)
    if (reason !== undefined) refuse(file, reason)
  }
  const units = files.flatMap((file): MigrationUnit[] => {
    const name = migrationName(file)
    if (isCode(file)) return [{ kind: 'code', name, file }]
    if (name.endsWith('.down')) {
      const up = file.replace(/\.down\.sql$/i, '.up.sql')
      return files.includes(up) ? [] : refuse(file, `there is no ${up} that it could undo`)
    }
    if (!name.endsWith('.up')) return [{ kind: 'sql', name, file }]
    const down = file.replace(/\.up\.sql$/i, '.down.sql')
    return [{ kind: 'pair', name: name.slice(0, -3), file, down: files.includes(down) ? down : undefined }]
  })
  const sorted = units.toSorted((a, b) => compareFiles(sortName(a), sortName(b)))
  sorted.forEach((unit, index) => {
    const previous = sorted[index - 1]
    if (previous === undefined) return
    // Where the comparison says nothing, node-pg-migrate runs files as the disk happens to list them.
    if (compareFiles(sortName(previous), sortName(unit)) === 0 || previous.name === unit.name) {
      refuse(unit.file, `its name cannot be told from that of ${previous.file}`)
    }
  })
  return sorted
}

/** A pair is sorted as the one file that it stands for. */
function sortName(unit: MigrationUnit): string {
  return unit.kind === 'pair' ? `${unit.name}.sql` : unit.file
}
