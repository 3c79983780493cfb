/** Checks the SQL that a tool's migration amounts to, and makes its names the tenant's. */
import { TenantryError } from '../../../core/errors.ts'
import { splitStatements } from '../../shared-form/sql-nodes.ts'
import { checksumOf, digestOf, steadyText } from '../checksum.ts'
import { codeDirectives, type Directives, sqlDirectives, toOptions } from '../directives.ts'
import type { Migration, MigrationOptions, SqlScript } from '../migration.ts'
import { requireSensible, type Unnumbered } from '../read-sql.ts'
import { createdNames } from './created-names.ts'
import { joinParts, lineOfPart, requireParts } from './join-parts.ts'
import { type KnownNames, localizeNames } from './localize-names.ts'
import {
  type DirectionSql,
  invalidMigration,
  type MigrationSource,
  type SourceSql,
} from './migration-source.ts'

/** A migration, and what it and all before it create. */
export interface CheckedSource {
  readonly migration: Unnumbered
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
  const directives = directivesOf(file, source.text, up)
  const options = toOptions(up.options, directives.options)
  requireSensible(file, options)
  requireUsual(file, up, options)
  requireParts(file, up, options)
  const created = new Set([...(before?.created ?? []), ...namesIn(up.parts.map(({ text }) => text))])
  const known: KnownNames | undefined =
    shared === undefined
      ? undefined
      : { own: created, shared: new Set(namesIn(shared.map((migration) => migration.up))) }
  const { sql, ...places } = toScript(file, up, known)
  const migration = {
    name,
    file,
    up: sql,
    ...places,
    options,
    checksum: checksumOf(textThatCounts(sql, up, known, source), options),
    ignores: directives.ignores,
    after: directives.after,
    perTenant: up.perTenant,
    fileHash: up.verbatim ? digestOf(source.text) : undefined,
    ...checkDown(source, down, known),
  }
  return { migration, created }
}

function directivesOf(file: string, text: string, { verbatim }: DirectionSql): Directives {
  return verbatim ? sqlDirectives(file, text, 1) : codeDirectives(file, text)
}

/** Of code that reads rows the code counts; of other code what it says, if it says that again. */
function textThatCounts(
  sql: string,
  up: DirectionSql,
  known: KnownNames | undefined,
  { file, text }: MigrationSource,
): string {
  if (up.perTenant !== undefined) return text
  if (up.again === undefined) return sql
  return steadyText(sql, toScript(file, { ...up, parts: up.again }, known).sql, text)
}

/** What reads rows runs in the transaction that it reads them in. */
function requireUsual(file: string, { perTenant }: DirectionSql, options: MigrationOptions): void {
  if (perTenant === undefined || (options.transaction && !options.batch)) return
  throw invalidMigration(file, 'it reads rows, so that it can run in one transaction only')
}

/** Of SQL, what is wrong is told at once; code that goes up well still does. */
function checkDown(
  source: MigrationSource,
  down: SourceSql['down'],
  known: KnownNames | undefined,
): Pick<Migration, 'down' | 'downRefusal'> {
  if (down === undefined) return { down }
  if (down instanceof TenantryError) return { down: undefined, downRefusal: down }
  const { file } = down
  try {
    // Code says once how it runs, in both directions; of a file of its own it is that file's head.
    const { options: said } = directivesOf(file, down.text ?? source.text, down)
    const options = toOptions(down.options, { ...said, batch: down.verbatim && said.batch === true })
    requireUsual(file, down, options)
    requireParts(file, down, options)
    return { down: { ...toScript(file, down, known), options, perTenant: down.perTenant } }
  } catch (error) {
    if (down.verbatim || !(error instanceof TenantryError)) throw error
    return { down: undefined, downRefusal: error }
  }
}

function toScript(file: string, direction: DirectionSql, known: KnownNames | undefined): SqlScript {
  const { parts, verbatim } = direction
  const localized = parts.map((part) => {
    if (known === undefined) return part.text
    const result = localizeNames(part.text, known)
    if ('text' in result) return result.text
    const params = { file, object: result.object, line: lineOfPart(direction, part, result.at) ?? '?' }
    throw new TenantryError('TNY409', { params })
  })
  return { line: 1, ...joinParts(localized, verbatim ? undefined : parts) }
}

function namesIn(texts: readonly string[]): readonly string[] {
  return texts.flatMap((text) => (/^\s*$/.test(text) ? [] : createdNames(splitStatements(text))))
}
