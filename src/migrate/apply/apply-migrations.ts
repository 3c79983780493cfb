/** Brings one schema up to date: each migration is one message, one transaction, and one row of the ledger. */
import type { Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import { quoteIdent, quoteLiteral } from '../../sql/quote.ts'
import { sqlState } from '../../sql/sql-state.ts'
import { offsetOfCharacter } from '../files/check-sql.ts'
import { findMissing } from '../ledger/find-missing.ts'
import {
  announceMigration,
  becomeOwner,
  ledgerTable,
  lockTarget,
  readLedgers,
  recordMigration,
  settleLedger,
  type Ledger,
  type Target,
} from '../ledger/ledger.ts'
import { lineInFile, type Migration } from '../files/migration.ts'

export interface ApplyOptions {
  /** How long a statement of a migration waits for a lock, and all who queue behind it. */
  readonly lockTimeoutMs: number
  /** How long a statement of a migration may take; no limit by default. */
  readonly statementTimeoutMs?: number | undefined
  /** What the ledger said lately; read now where absent. Being out of date does no harm. */
  readonly ledger?: Ledger | undefined
  /** Called after each commit. */
  readonly onApplied?: ((name: string) => void) | undefined
  /** The migration that does not run yet, nor any behind it; where it ran already, nothing is held back. */
  readonly heldBack?: string | undefined
}

/** What a migration may leave in the session, which goes on to the next tenant; after a failure the rollback does it. */
export const CLEAN_SESSION = 'reset all; discard temp; deallocate all; close all; unlisten *'

/** Ends the transaction when the ledger is not what it was: the text of a cast that fails. */
const MOVED = 'tenantry: the ledger moved on'

/**
 * Runs what is missing in a schema. Others may do the same at the same time: each migration runs exactly once.
 * @param session one connection, outside a transaction.
 * @throws TNY402 where a migration failed; nothing of it is left. TNY403 where the order does not fit.
 */
export async function applyMigrations(
  session: Queryable,
  target: Target,
  migrations: readonly Migration[],
  options: ApplyOptions,
): Promise<void> {
  const missingFrom = ({ applied, problem }: Ledger): readonly Migration[] => {
    if (problem !== undefined) throw ledgerFailure(problem, target)
    return findMissing(migrations, applied, target.label)
  }
  const ledger = options.ledger ?? (await read(session, target))
  let missing = missingFrom(ledger)
  if (missing.length > 0 || ledger.state === 'unsettled') {
    await settleLedger(session, target, ledger).catch((error: unknown) => {
      throw ledgerFailure(error, target)
    })
  }
  while (missing[0] !== undefined && missing[0].name !== options.heldBack) {
    const migration = missing[0]
    const position = migrations.length - missing.length
    if (await applyOne(session, target, migration, position, options)) {
      options.onApplied?.(migration.name)
      missing = missing.slice(1)
      continue
    }
    missing = missingFrom(await read(session, target))
    if (migrations.length - missing.length === position) {
      throw ledgerFailure(new Error('it reads differently inside the transaction'), target)
    }
  }
}

async function read(session: Queryable, target: Target): Promise<Ledger> {
  const [ledger] = await readLedgers(session, [target])
  return ledger ?? { applied: [], state: 'missing' }
}

/** TNY402 for what went wrong before any migration; an error of another kind as it is. */
export function ledgerFailure(error: unknown, target: Target): TenantryError {
  return failure(error, target, 'pgmigrations (the ledger)')
}

/** Sends one migration. False where another runner was faster and nothing happened. */
async function applyOne(
  session: Queryable,
  target: Target,
  migration: Migration,
  position: number,
  { lockTimeoutMs, statementTimeoutMs = 0 }: ApplyOptions,
): Promise<boolean> {
  const table = ledgerTable(target.schema)
  const name = quoteLiteral(migration.name)
  const before = `begin; ${lockTarget(target)};
    set local lock_timeout = ${lockTimeoutMs}; set local statement_timeout = ${statementTimeoutMs}; ${becomeOwner(target)}
    set local search_path = ${quoteIdent(target.schema)};
    select (case when count(*) = ${position} and not coalesce(bool_or(name = ${name}), false)
      then '0' else ${quoteLiteral(MOVED)} end)::int from ${table};\n`
  // The line break ends a last comment of the migration; its quotes are closed, or it had not been read.
  const after = `\n;\n${recordMigration(target, migration.name)}; ${announceMigration(target)} commit; ${CLEAN_SESSION}`
  try {
    await session.query(before + migration.up + after)
    return true
  } catch (error) {
    if (error instanceof TenantryError) throw error
    await session.query('rollback')
    if (sqlState(error) === '22P02' && error instanceof Error && error.message.includes(MOVED)) return false
    throw failure(error, target, migration.file, lineOf(error, before, migration))
  }
}

/** The line of the file that an error means; `undefined` where PostgreSQL says no position, as often with DDL. */
function lineOf(error: unknown, before: string, migration: Migration): number | undefined {
  // Counted from 1, in characters of the whole message.
  const position = Number(Reflect.get(error as object, 'position'))
  const at = Number.isInteger(position)
    ? offsetOfCharacter(before + migration.up, position - 1) - before.length
    : migration.statements.length === 1
      ? migration.statements[0]
      : undefined
  if (at === undefined || at < 0 || at >= migration.up.length) return undefined
  return lineInFile(migration, at)
}

/** TNY402 for what went wrong in a file, with its line where that is known; an error of Tenantry's own as it is. */
export function failure(error: unknown, target: Target, file: string, line?: number): TenantryError {
  if (error instanceof TenantryError) return error
  const said = error instanceof Error ? error.message : String(error)
  const reason = line === undefined ? said : `${said} (line ${line})`
  return new TenantryError('TNY402', { params: { file, target: target.label, reason }, cause: error })
}
