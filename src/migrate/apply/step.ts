/** One migration in one target: one message, one transaction, in which the ledger and the head move too. */
import type { Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import { quoteIdent } from '../../sql/quote.ts'
import { sqlState } from '../../sql/sql-state.ts'
import type { MigrationOptions, ScriptPerTenant, SqlScript } from '../files/migration.ts'
import { lacksTables, LEDGER_MOVED, UNKNOWN_STEP } from '../ledger/heads.ts'
import { announceMigration, type Target } from '../ledger/ledger.ts'
import { failure, lineOf, opening } from './migration-failure.ts'

/** What runs, and what is recorded with it. */
export interface Step {
  readonly file: string
  readonly script: SqlScript
  readonly perTenant?: ScriptPerTenant | undefined
  readonly options: MigrationOptions
  /** As the admin, before everything: the head's move, which also waits for whoever migrates the same target. */
  readonly moveHead: string
  /** As the schema's owner: the ledger's row comes or goes, if the ledger is what it was; else the cast fails. */
  readonly moveLedger: string | undefined
}

/** How long a step may wait and work, where its file does not say. */
export interface StepLimits {
  readonly lockTimeoutMs: number
  readonly statementTimeoutMs?: number | undefined
}

/** `moved`: another runner was faster, and nothing happened. `unknown`: the history lacks the step, and nothing happened. */
export type StepOutcome = 'done' | 'moved' | 'unknown'

/** What a migration may leave in the session, which goes on to the next tenant; after a failure the rollback does it. */
export const CLEAN_SESSION = 'reset all; discard temp; deallocate all; close all; unlisten *'

/**
 * Runs a step.
 * @param session one connection, outside of a transaction.
 * @throws TNY402 where it failed; nothing of it is left.
 */
export async function runStep(
  session: Queryable,
  target: Target,
  step: Step,
  limits: StepLimits,
): Promise<StepOutcome> {
  // At the default level a runner that waited sees what the other has done.
  const before = ['begin isolation level read committed', ...enterTarget(target, step, limits)]
  // Processes hear of it right after the commit. Within it, PostgreSQL would let one of all commits on the server go
  // ahead at a time; of the same message, it is sent also where this process dies meanwhile. Nothing is written that a
  // crash could take away, so that its own commit waits for no disk.
  const after = `\n;\ncommit; ${CLEAN_SESSION}; set local synchronous_commit = off; ${announceMigration(target)}`
  let { script } = step
  let sent: readonly string[] = before
  try {
    if (step.perTenant !== undefined) {
      await session.query(opening(before))
      script = await step.perTenant(session)
      sent = []
    }
    // The line break ends a last comment of the script; its quotes are closed, or it had not been read.
    await session.query(opening(sent) + script.sql + after)
    return 'done'
  } catch (error) {
    if (error instanceof TenantryError && step.perTenant === undefined) throw error
    await session.query('rollback')
    return foundOtherwise(error) ?? reject(failure(error, target, step.file, lineOf(error, sent, script)))
  }
}

/** Statements, in a transaction of the admin's, after which everything is done by the owner, in the schema. */
export function enterTarget(
  target: Target,
  { moveHead, moveLedger, options }: Pick<Step, 'moveHead' | 'moveLedger' | 'options'>,
  limits: StepLimits,
): string[] {
  return [
    moveHead,
    ...limitStep(options, limits),
    ...(target.ownerRole === undefined ? [] : [`set local role ${quoteIdent(target.ownerRole)}`]),
    `set local search_path = ${quoteIdent(target.schema)}`,
    ...(moveLedger === undefined ? [] : [moveLedger]),
  ]
}

/** Statements that hold the rest of the transaction to its limits: the file's own, else the run's. */
export function limitStep(options: MigrationOptions, limits: StepLimits): string[] {
  const lockTimeoutMs = options.lockTimeoutMs ?? limits.lockTimeoutMs
  const statementTimeoutMs = options.statementTimeoutMs ?? limits.statementTimeoutMs
  return [
    `set local lock_timeout = ${lockTimeoutMs}`,
    ...(statementTimeoutMs === undefined ? [] : [`set local statement_timeout = ${statementTimeoutMs}`]),
  ]
}

/** The outcome that a failed cast of ours means. */
export function foundOtherwise(error: unknown): StepOutcome | undefined {
  if (lacksTables(error)) return 'unknown'
  if (sqlState(error) !== '22P02' || !(error instanceof Error)) return undefined
  if (error.message.includes(LEDGER_MOVED)) return 'moved'
  return error.message.includes(UNKNOWN_STEP) ? 'unknown' : undefined
}

function reject(error: TenantryError): never {
  throw error
}
