/** Undoes migrations in one schema, the newest first: each is one message, one transaction, and one row less in the ledger. */
import type { Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import { quoteIdent, quoteLiteral } from '../../sql/quote.ts'
import { sqlState } from '../../sql/sql-state.ts'
import type { DownPart, Migration } from '../files/migration.ts'
import { findMissing } from '../ledger/find-missing.ts'
import {
  announceMigration,
  becomeOwner,
  ledgerTable,
  lockTarget,
  readLedgers,
  type Ledger,
  type Target,
} from '../ledger/ledger.ts'
import { CLEAN_SESSION, failure, ledgerFailure } from './apply-migrations.ts'

export interface RevertOptions {
  /** How many are to stay, where so many ran. */
  readonly keep: (ran: number) => number
  readonly lockTimeoutMs: number
  readonly statementTimeoutMs?: number | undefined
  /** Rolls all of it back. */
  readonly dryRun?: boolean | undefined
  /** What the ledger said lately; read now where absent. */
  readonly ledger?: Ledger | undefined
  /** Called after each commit. */
  readonly onReverted?: ((name: string) => void) | undefined
}

/** Ends the transaction when the ledger is not what it was: the text of a cast that fails. */
const MOVED = 'tenantry: the ledger moved on'

/**
 * @param session one connection, outside a transaction.
 * @throws TNY424 where one of them cannot be undone, before anything happened; TNY402 where a down part failed, TNY403 where
 * the files are not what ran.
 */
export async function revertMigrations(
  session: Queryable,
  target: Target,
  migrations: readonly Migration[],
  options: RevertOptions,
): Promise<void> {
  const ledger = options.ledger ?? (await readLedgers(session, [target]))[0]
  if (ledger?.problem !== undefined) throw ledgerFailure(ledger.problem, target)
  const steps = findRevertible(migrations, ledger?.applied ?? [], target.label, options.keep)
  const dryRun = options.dryRun === true && steps.length > 0
  const begin = `begin; ${lockTarget(target)};`
  if (dryRun) await session.query(begin)
  for (const { migration, down } of steps) {
    const message = revertOne(target, migration, down, options)
    try {
      await session.query(dryRun ? message : `${begin} ${message} commit; ${CLEAN_SESSION}`)
    } catch (error) {
      await session.query('rollback').catch(() => undefined)
      if (sqlState(error) === '22P02' && error instanceof Error && error.message.includes(MOVED)) {
        throw ledgerFailure(new Error('another runner is at work in this schema'), target)
      }
      throw failure(error, target, migration.file)
    }
    options.onReverted?.(migration.name)
  }
  if (dryRun) await session.query(`rollback; ${CLEAN_SESSION}`)
}

/** A migration that ran, and what undoes it. */
export interface Revertible {
  readonly migration: Migration
  readonly down: DownPart
}

/**
 * What is to be undone, the newest first.
 * @throws TNY424 where one cannot be, TNY403 where the files are not what ran.
 */
export function findRevertible(
  migrations: readonly Migration[],
  applied: readonly string[],
  label: string,
  keep: RevertOptions['keep'],
): readonly Revertible[] {
  findMissing(migrations, applied, label)
  const from = Math.max(0, Math.min(keep(applied.length), applied.length))
  return migrations
    .slice(from, applied.length)
    .map((migration) => ({ migration, down: requireDown(migration) }))
    .reverse()
}

/** @throws TNY424 */
export function requireDown({ file, down, downRefusal }: Migration): DownPart {
  if (downRefusal !== undefined) throw downRefusal
  const reason =
    down === undefined
      ? 'it has no down part'
      : !down.options.transaction || down.options.batch || down.perTenant !== undefined
        ? 'its down part does not run in one transaction as plain SQL'
        : undefined
  if (down === undefined || reason !== undefined) {
    throw new TenantryError('TNY424', { params: { file, reason: reason ?? '' } })
  }
  return down
}

function revertOne(
  target: Target,
  { name }: Migration,
  { sql, options }: DownPart,
  run: RevertOptions,
): string {
  const table = ledgerTable(target.schema)
  const statementTimeoutMs = options.statementTimeoutMs ?? run.statementTimeoutMs ?? 0
  const last = `(select id from ${table} order by run_on desc, id desc limit 1)`
  return `set local lock_timeout = ${options.lockTimeoutMs ?? run.lockTimeoutMs};
    set local statement_timeout = ${statementTimeoutMs}; ${becomeOwner(target)}
    set local search_path = ${quoteIdent(target.schema)};
    select (case when (select name from ${table} where id = ${last}) = ${quoteLiteral(name)}
      then '0' else ${quoteLiteral(MOVED)} end)::int;\n${sql}\n;
    delete from ${table} where id = ${last}; ${announceMigration(target)}`
}
