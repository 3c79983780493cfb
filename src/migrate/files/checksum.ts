/** What tells whether a file is still the one that ran. */
import { createHash } from 'node:crypto'
import { normalizeSync } from 'libpg-query'
import { withoutIgnores } from './directives.ts'
import type { MigrationOptions } from './migration.ts'

/** The checksum of a script: see `Script.checksum`. Editors and checkouts change how lines end; that is no edit. */
export function checksumOf(text: string, options: MigrationOptions): string {
  const { transaction, batch, lockTimeoutMs, statementTimeoutMs } = options
  const unusual = !transaction || batch || lockTimeoutMs !== undefined || statementTimeoutMs !== undefined
  const how = JSON.stringify([transaction, batch, lockTimeoutMs ?? null, statementTimeoutMs ?? null])
  return digestOf(withoutIgnores(text).replaceAll('\r\n', '\n') + (unusual ? `\0${how}` : ''))
}

/**
 * What counts of SQL that code made: all of it, or where a second run of the same code said something else, what remains
 * without constants. Call `loadParser()` of sql/statement.ts first.
 * @param code the file's text, which counts where not even that is the same.
 */
export function steadyText(first: string, second: string, code: string): string {
  if (first === second) return first
  const [one, two] = [normalizeSync(first), normalizeSync(second)]
  return one === two ? one : code
}

/** SHA-256 in hexadecimal. */
export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
