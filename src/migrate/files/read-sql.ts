/** Turns a SQL file, or two that belong together, into a checked migration. */
import { checkSql } from './check-sql.ts'
import { checksumOf } from './checksum.ts'
import { sqlDirectives, toOptions, type Directives } from './directives.ts'
import { invalidMigration as invalid } from './formats/migration-source.ts'
import {
  lineAt,
  type DownPart,
  type Migration,
  type MigrationOptions,
  type Repeatable,
  type Script,
  type SqlScript,
} from './migration.ts'
import { splitSections } from './migration-file.ts'

/** A migration whose number depends on those before it. */
export type Unnumbered = Omit<Migration, 'version'>

/** A file's text; `file` is its name for messages. */
export interface SqlText {
  readonly file: string
  readonly text: string
}

/**
 * A file with the markers of node-pg-migrate, or without. Call `loadParser()` of sql/statement.ts first.
 * @throws TNY401
 */
export function readMarkedFile(name: string, { file, text }: SqlText): Unnumbered {
  const { up, upStart, down, downStart, preamble } = splitSections(text)
  // What stands above the first marker is for both directions.
  const above = readPart(file, text, preamble, 0, {})
  if (above.script.statements.length > 0) {
    throw invalid(
      file,
      'statements before the first marker would never run; move them below "-- Up Migration"',
    )
  }
  const forUp = readPart(file, text, up, upStart ?? 0, above.directives.options)
  const undo =
    down === undefined ? undefined : readPart(file, text, down, downStart, above.directives.options)
  if (upStart === undefined && undo !== undefined && undo.script.statements.length > 0) {
    throw invalid(file, 'without "-- Up Migration" its down part would run upwards too; add that line above')
  }
  return toMigration(name, file, forUp, undo && { file, part: undo }, above.directives)
}

/** `1_x.up.sql` and, where it is there, `1_x.down.sql`: all of each runs. @throws TNY401 */
export function readPair(name: string, up: SqlText, down: SqlText | undefined): Unnumbered {
  const marked = splitSections(up.text).down !== undefined
  if (marked) throw invalid(up.file, 'its down part belongs into the file that ends in .down.sql')
  const undo = down && { file: down.file, part: readPart(down.file, down.text, down.text, 0, {}) }
  // node-pg-migrate takes an empty file for none.
  return toMigration(name, up.file, readPart(up.file, up.text, up.text, 0, {}), down?.text ? undo : undefined)
}

/** A file of `repeatable/`: all of it runs, again and again. @throws TNY401 */
export function readRepeatable(name: string, { file, text }: SqlText): Repeatable {
  const part = readPart(file, text, text, 0, {})
  const { options } = part
  const { after } = part.directives
  if (options.batch || after[0] !== undefined) {
    const what = options.batch ? 'batch' : 'after'
    throw invalid(file, `a repeatable file cannot ask for "tenantry: ${what}"`)
  }
  if (splitSections(text).down !== undefined) throw invalid(file, 'a repeatable file has no down part')
  return toScript(name, file, part)
}

interface Part {
  readonly script: SqlScript
  readonly options: MigrationOptions
  readonly directives: Directives
}

function readPart(
  file: string,
  text: string,
  sql: string,
  start: number,
  above: Partial<MigrationOptions>,
): Part {
  const line = lineAt(text, start)
  const directives = sqlDirectives(file, sql, line)
  const options = toOptions(above, directives.options)
  const verdict = checkSql(sql, options)
  if ('statements' in verdict) {
    return { script: { sql, line, statements: verdict.statements }, options, directives }
  }
  throw invalid(file, `${verdict.reason} (line ${lineAt(text, start + verdict.at)})`)
}

function toMigration(
  name: string,
  file: string,
  part: Part,
  down: { readonly file: string; readonly part: Part } | undefined,
  above?: Directives,
): Unnumbered {
  const script = toScript(name, file, part)
  return {
    ...script,
    ignores: [...(above?.ignores ?? []), ...script.ignores],
    down: down && toDown(down.file, down.part),
    after: [...(above?.after ?? []), ...part.directives.after],
  }
}

function toScript(name: string, file: string, { script, options, directives }: Part): Script {
  const { sql, ...places } = script
  if (places.statements.length === 0) throw invalid(file, 'it holds no statement to run')
  requireSensible(file, options)
  const { ignores } = directives
  return { name, file, up: sql, ...places, checksum: checksumOf(sql, options), options, ignores }
}

function toDown(file: string, { script, options, directives }: Part): DownPart {
  requireSensible(file, options)
  const [reference] = directives.after
  if (reference !== undefined) {
    throw invalid(file, `"tenantry: after" belongs above what runs upwards (line ${reference.line})`)
  }
  return { ...script, options }
}

/** @throws TNY401 for options that contradict each other. */
export function requireSensible(file: string, { batch, transaction }: MigrationOptions): void {
  if (batch && !transaction) {
    throw invalid(
      file,
      '"tenantry: batch" has a transaction for each batch, so "no-transaction" does not fit',
    )
  }
}
