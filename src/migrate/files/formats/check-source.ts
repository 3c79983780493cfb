/** Checks the SQL that a tool's migration amounts to, and makes its names the tenant's. */
import { TenantryError } from '../../../core/errors.ts'
import { checkSql } from '../check-sql.ts'
import { lineAt, type Migration } from '../migration.ts'
import { splitStatements } from '../../shared-form/sql-nodes.ts'
import { createdNames } from './created-names.ts'
import { localizeNames } from './localize-names.ts'
import { invalidMigration, type MigrationSource, type SqlPart } from './migration-source.ts'

/** A migration, and what it and all before it create. */
export interface CheckedSource {
  readonly migration: Omit<Migration, 'checksum'>
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
  const { name, parts, verbatim } = await source.compile()
  if (name.length > 255) {
    throw invalidMigration(file, 'its name is longer than the 255 characters that the ledger holds')
  }
  const lineOf = (part: SqlPart, at: number): number | undefined =>
    verbatim ? lineAt(part.text, at) : part.line
  for (const part of parts) {
    const verdict = checkSql(part.text)
    if ('statements' in verdict) continue
    throw invalidMigration(file, `${verdict.reason}${inLine(lineOf(part, verdict.at))}`)
  }
  const texts = parts.map(({ text }) => text)
  const created = new Set([...(before?.created ?? []), ...namesIn(texts)])
  const known = { own: created, shared: new Set(namesIn(shared?.map(({ up }) => up) ?? [])) }
  const localized = parts.map((part) => {
    if (shared === undefined) return part.text
    const result = localizeNames(part.text, known)
    if ('text' in result) return result.text
    const params = { file, object: result.object, line: lineOf(part, result.at) ?? '?' }
    throw new TenantryError('TNY409', { params })
  })
  return { migration: { name, file, line: 1, ...join(localized, verbatim ? undefined : parts) }, created }
}

function namesIn(texts: readonly string[]): readonly string[] {
  return texts.flatMap((text) => (/^\s*$/.test(text) ? [] : createdNames(splitStatements(text))))
}

/** One text of all, and where it came from. */
function join(
  texts: readonly string[],
  code: readonly SqlPart[] | undefined,
): Pick<Migration, 'up' | 'lines' | 'statements'> {
  let up = ''
  const statements: number[] = []
  const lines: (number | undefined)[] = []
  for (const [index, text] of texts.entries()) {
    const verdict = checkSql(text)
    for (const at of 'statements' in verdict ? verdict.statements : []) {
      statements.push(up.length + at)
      lines.push(code?.[index]?.line)
    }
    // A line break ends a last comment.
    up += index === texts.length - 1 ? text : `${text}\n;\n`
  }
  return code === undefined ? { up, statements } : { up, statements, lines }
}

function inLine(line: number | undefined): string {
  return line === undefined ? '' : ` (line ${line})`
}
