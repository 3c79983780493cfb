/** Checks the SQL that a tool's migration amounts to, and makes its names the tenant's. */
import { TenantryError } from '../../../core/errors.ts'
import { checkSql } from '../check-sql.ts'
import { lineAt, USUAL_OPTIONS, type Migration, type SqlScript } from '../migration.ts'
import { splitStatements } from '../../shared-form/sql-nodes.ts'
import { createdNames } from './created-names.ts'
import { type KnownNames, localizeNames } from './localize-names.ts'
import {
  type DirectionSql,
  invalidMigration,
  type MigrationSource,
  type SourceSql,
  type SqlPart,
} from './migration-source.ts'

/** A migration, and what it and all before it create. */
export interface CheckedSource {
  readonly migration: Omit<Migration, 'checksum' | 'version'>
  readonly created: ReadonlySet<string>
}

/**
 * Call `loadParser()` of sql/statement.ts first.
 * @param before the migration before it.
 * @param shared the shared migrations; `undefined` where this is one of them, for which `public` is right.
 * @throws TNY401 for SQL that cannot run, TNY409 for a name in `public` that is nobody's, TNY410 for code.
 */
export async function checkSource(
  source: MigrationSource,
  before: CheckedSource | undefined,
  shared: readonly Migration[] | undefined,
): Promise<CheckedSource> {
  const { file } = source
  const { name, down, ...up } = await source.compile()
  if (name.length > 255) {
    throw invalidMigration(file, 'its name is longer than the 255 characters that the ledger holds')
  }
  requireSql(file, up)
  const created = new Set([...(before?.created ?? []), ...namesIn(up.parts.map(({ text }) => text))])
  const known: KnownNames | undefined =
    shared === undefined
      ? undefined
      : { own: created, shared: new Set(namesIn(shared.map((migration) => migration.up))) }
  const { sql, ...places } = toScript(file, up, known)
  const checked = { name, file, up: sql, ...places, options: USUAL_OPTIONS, ignores: [], after: [] }
  return { migration: { ...checked, ...checkDown(down, known) }, created }
}

/** Of SQL, what is wrong is told at once; code that goes up well still does. */
function checkDown(
  down: SourceSql['down'],
  known: KnownNames | undefined,
): Pick<Migration, 'down' | 'downRefusal'> {
  if (down === undefined) return { down }
  if (down instanceof TenantryError) return { down: undefined, downRefusal: down }
  try {
    requireSql(down.file, down)
    return { down: { ...toScript(down.file, down, known), options: USUAL_OPTIONS } }
  } catch (error) {
    if (down.verbatim || !(error instanceof TenantryError)) throw error
    return { down: undefined, downRefusal: error }
  }
}

function requireSql(file: string, direction: DirectionSql): void {
  for (const part of direction.parts) {
    const verdict = checkSql(part.text)
    if ('statements' in verdict) continue
    throw invalidMigration(file, `${verdict.reason}${inLine(lineOf(direction, part, verdict.at))}`)
  }
}

function toScript(file: string, direction: DirectionSql, known: KnownNames | undefined): SqlScript {
  const { parts, verbatim } = direction
  const localized = parts.map((part) => {
    if (known === undefined) return part.text
    const result = localizeNames(part.text, known)
    if ('text' in result) return result.text
    const params = { file, object: result.object, line: lineOf(direction, part, result.at) ?? '?' }
    throw new TenantryError('TNY409', { params })
  })
  return { line: 1, ...join(localized, verbatim ? undefined : parts) }
}

function lineOf({ verbatim }: DirectionSql, part: SqlPart, at: number): number | undefined {
  return verbatim ? lineAt(part.text, at) : part.line
}

function namesIn(texts: readonly string[]): readonly string[] {
  return texts.flatMap((text) => (/^\s*$/.test(text) ? [] : createdNames(splitStatements(text))))
}

/** One text of all, and where it came from. */
function join(texts: readonly string[], code: readonly SqlPart[] | undefined): Omit<SqlScript, 'line'> {
  let sql = ''
  const statements: number[] = []
  const lines: (number | undefined)[] = []
  for (const [index, text] of texts.entries()) {
    const verdict = checkSql(text)
    for (const at of 'statements' in verdict ? verdict.statements : []) {
      statements.push(sql.length + at)
      lines.push(code?.[index]?.line)
    }
    // A line break ends a last comment.
    sql += index === texts.length - 1 ? text : `${text}\n;\n`
  }
  return code === undefined ? { sql, statements } : { sql, statements, lines }
}

function inLine(line: number | undefined): string {
  return line === undefined ? '' : ` (line ${line})`
}
