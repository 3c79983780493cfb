/** What a migration is once it is read and checked, and on which line of its file something stands. */
import type { Queryable } from '../../core/database.ts'
import type { TenantryError } from '../../core/errors.ts'

/** Checked statements, and where they came from. */
export interface SqlScript {
  /** What runs, markers and comments included. Safe to be followed by other statements after a line break. */
  readonly sql: string
  /** The line of the file, from 1, on which `sql` begins. */
  readonly line: number
  /** Of code: the line that asked for each statement, where it is known. The lines of `sql` are not the file's then. */
  readonly lines?: readonly (number | undefined)[] | undefined
  /** Where each statement of `sql` begins, in UTF-16 units; none where there is nothing to do. */
  readonly statements: readonly number[]
}

/** How a script runs, as its file asks for it. */
export interface MigrationOptions {
  /**
   * False: its statements run one after the other, each by itself and none in a transaction; it may then hold what
   * PostgreSQL refuses inside of one. Where it breaks, what ran before stays.
   */
  readonly transaction: boolean
  /** How long a statement waits for a lock, in place of the run's own limit. */
  readonly lockTimeoutMs?: number | undefined
  /** How long a statement may take; without it, as long as the run allows. 0: without a limit. */
  readonly statementTimeoutMs?: number | undefined
  /** Its one statement is repeated, a transaction each, until it changes no row; then the migration is recorded. */
  readonly batch: boolean
}

/**
 * Gives the SQL for one tenant, from what it reads there.
 * @param db the open transaction in which the step runs, already with the schema's owner as its role and the schema
 * as its path. What the code itself changes through it stays, if the transaction commits.
 * @returns what is to run next, in the same transaction; checked like any other script.
 * @throws TNY401 for SQL that may not run. Whatever the code throws is thrown as it is.
 */
export type ScriptPerTenant = (db: Queryable) => Promise<SqlScript>

/** What undoes a migration. */
export interface DownPart extends SqlScript {
  readonly options: MigrationOptions
  /** Of code that reads rows; `sql` is empty then. Run as that of `Migration`. */
  readonly perTenant?: ScriptPerTenant | undefined
}

/** A migration of the other set that must have run everywhere before this one runs anywhere. */
export interface SetReference {
  readonly set: 'shared' | 'tenant'
  /** As the ledger records it. */
  readonly name: string
  /** Where the file says so. */
  readonly line: number
}

/** A rule of the lint that a file sets aside, and why. */
export interface IgnoredRule {
  readonly rule: string
  readonly reason: string
  readonly line: number
}

/** What every file amounts to that runs upwards: a migration, or a repeatable file. */
export interface Script {
  /** As the ledger records it: what the tool that wrote it calls it; the file's name without `.sql` in node-pg-migrate. */
  readonly name: string
  /** The file in its folder, for messages: `tenant/1700000000000_create-orders.sql`. */
  readonly file: string
  /** What runs: the `sql` of a `SqlScript`. Empty where `perTenant` gives it. */
  readonly up: string
  readonly line: number
  readonly lines?: readonly (number | undefined)[] | undefined
  readonly statements: readonly number[]
  /**
   * SHA-256 in hexadecimal, over what runs upwards and how. Neither the down part counts, nor whether lines end as on
   * Windows, nor `-- tenantry: ignore`; nor, in code, values that are others each time it is read.
   */
  readonly checksum: string
  /** Whoever runs the script keeps to these, or refuses it. */
  readonly options: MigrationOptions
  readonly ignores: readonly IgnoredRule[]
}

/**
 * One migration, checked. Where `perTenant` is there, `up` is empty and `statements` too: call it in each tenant's own
 * transaction and run what it returns; who cannot do that (SQL without a database, one statement for many tenants)
 * refuses the migration. `options.transaction` is always true then, and `batch` false.
 */
export interface Migration extends Script {
  /**
   * The number in the name: 1700000000000 of 1700000000000_create-orders; 20240101000000 of Migration20240101000000;
   * 3 of 0003_x. 17 digits are a UTC date, given in ms. A safe integer that never falls from one migration of a folder to
   * the next: a name without a number has that of the one before it, 0 at first.
   */
  readonly version: number
  readonly perTenant?: ScriptPerTenant | undefined
  /** What undoes it; an empty one undoes nothing and is right so. `undefined`: it cannot be undone. */
  readonly down: DownPart | undefined
  /** Why `down` is `undefined` although the file has one: throw it where somebody asks to go down. */
  readonly downRefusal?: TenantryError | undefined
  /**
   * What must have run in the other set before. `planSets` of set-order.ts checks it and makes the order of a run from
   * it. Empty where the usual order is meant: the shared set first.
   */
  readonly after: readonly SetReference[]
  /** Of a file that is SQL: SHA-256 of all its text, in hexadecimal, by which Prisma and Drizzle Kit know it. */
  readonly fileHash?: string | undefined
}

/**
 * A file of `repeatable/`, checked: it runs after the numbered ones, in the order of names, wherever its checksum, or that of
 * one before it, is not the one that ran there last. It is not recorded in `pgmigrations`, since node-pg-migrate would miss its file. Its name begins
 * with `repeatable/`.
 */
export type Repeatable = Script

/** One transaction, and the limits of the run. */
export const USUAL_OPTIONS: MigrationOptions = { transaction: true, batch: false }

/** The line of `text`, from 1, on which the UTF-16 offset lies. */
export function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split('\n').length
}

/** The line of the migration's file, from 1, for an offset of its `up`; `undefined` where code does not tell it. */
export function lineInFile(
  { up, ...rest }: Pick<Script, 'up' | 'line' | 'lines' | 'statements'>,
  at: number,
): number | undefined {
  return lineInScript({ sql: up, ...rest }, at)
}

/** The line of the file, from 1, for an offset of a script's `sql`; `undefined` where code does not tell it. */
export function lineInScript({ sql, line, lines, statements }: SqlScript, at: number): number | undefined {
  if (lines === undefined) return line + lineAt(sql, at) - 1
  return lines[statements.findLastIndex((start) => start <= at)]
}
