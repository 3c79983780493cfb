/** A migration as its tool keeps it, before it is checked: what all readers of formats give. */
import { TenantryError } from '../../../core/errors.ts'
import type { MigrationOptions, ScriptPerTenant } from '../migration.ts'

/** A piece of SQL, and where it stands. */
export interface SqlPart {
  readonly text: string
  /** The line of the file, from 1, on which it begins, or which asked for it; `undefined` where nothing tells it. */
  readonly line: number | undefined
}

/** What runs in one direction. */
export interface DirectionSql {
  readonly parts: readonly SqlPart[]
  /** Whether the lines of a part are lines of the file too; code builds its texts as it likes. */
  readonly verbatim: boolean
  /** How its tool would run it, where that is not as usual. */
  readonly options?: Partial<MigrationOptions> | undefined
  /** Of code: what it said when it was asked once more. */
  readonly again?: readonly SqlPart[] | undefined
  /** Of code that reads rows; there are no parts then. */
  readonly perTenant?: ScriptPerTenant | undefined
}

/** A migration's SQL under the name that its tool gives it. */
export interface SourceSql extends DirectionSql {
  readonly name: string
  /** What undoes it; an error says why what is there cannot be turned into SQL. */
  readonly down: DownSql | TenantryError | undefined
}

/** What undoes a migration. */
export interface DownSql extends DirectionSql {
  /** For messages. */
  readonly file: string
  /** What stands in that file, if it is one of its own. */
  readonly text?: string | undefined
}

/** One migration in a folder. */
export interface MigrationSource {
  /** In its folder, for messages: `migrations/20240101000000_init/migration.sql`. */
  readonly file: string
  /** What stands in the file. */
  readonly text: string
  /** What else a migration depends on, that may change without the file. */
  readonly changesWith?: string | undefined
  /** The SQL of it; of code, found by running it. */
  compile(): SourceSql | Promise<SourceSql>
}

/** TNY401, for a file that cannot be a migration. */
export function invalidMigration(file: string, reason: string, cause?: unknown): TenantryError {
  return new TenantryError('TNY401', { params: { file, reason }, cause })
}
