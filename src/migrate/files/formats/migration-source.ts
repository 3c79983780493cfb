/** A migration as its tool keeps it, before it is checked: what all readers of formats give. */
import { TenantryError } from '../../../core/errors.ts'

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
}

/** A migration's SQL under the name that its tool gives it. */
export interface SourceSql extends DirectionSql {
  readonly name: string
  /** What undoes it; an error says why what is there cannot be turned into SQL. */
  readonly down: (DirectionSql & { readonly file: string }) | TenantryError | undefined
}

/** One migration in a folder. */
export interface MigrationSource {
  /** In its folder, for messages: `migrations/20240101000000_init/migration.sql`. */
  readonly file: string
  /** What stands in the file. */
  readonly text: string
  /** The SQL of it; of code, found by running it. */
  compile(): SourceSql | Promise<SourceSql>
}

/** TNY401, for a file that cannot be a migration. */
export function invalidMigration(file: string, reason: string, cause?: unknown): TenantryError {
  return new TenantryError('TNY401', { params: { file, reason }, cause })
}
