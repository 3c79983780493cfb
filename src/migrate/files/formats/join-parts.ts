/** Makes one text of the pieces of SQL that a migration consists of, checked. */
import { checkSql } from '../check-sql.ts'
import { lineAt, type MigrationOptions, type SqlScript } from '../migration.ts'
import { type DirectionSql, invalidMigration, type SqlPart } from './migration-source.ts'

/** @throws TNY401 for the first piece that may not run. */
export function requireParts(
  file: string,
  direction: DirectionSql,
  options: Partial<MigrationOptions> = {},
): void {
  for (const part of direction.parts) {
    const verdict = checkSql(part.text, options)
    if ('statements' in verdict) continue
    const line = lineOfPart(direction, part, verdict.at)
    throw invalidMigration(file, line === undefined ? verdict.reason : `${verdict.reason} (line ${line})`)
  }
}

/** The line of the file for an offset of a piece. */
export function lineOfPart({ verbatim }: DirectionSql, part: SqlPart, at: number): number | undefined {
  return verbatim ? lineAt(part.text, at) : part.line
}

/**
 * One text of all, and where it came from.
 * @param code the pieces that the texts were, where their lines are not those of the file.
 */
export function joinParts(
  texts: readonly string[],
  code: readonly SqlPart[] | undefined,
): Omit<SqlScript, 'line'> {
  let sql = ''
  const statements: number[] = []
  const lines: (number | undefined)[] = []
  for (const [index, text] of texts.entries()) {
    // Whether they may run is known; this is about their places.
    const verdict = checkSql(text, { transaction: false })
    for (const at of 'statements' in verdict ? verdict.statements : []) {
      statements.push(sql.length + at)
      lines.push(code?.[index]?.line)
    }
    // A line break ends a last comment.
    sql += index === texts.length - 1 ? text : `${text}\n;\n`
  }
  return code === undefined ? { sql, statements } : { sql, statements, lines }
}
