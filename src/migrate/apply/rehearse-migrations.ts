/** Tries what is missing in one schema and takes it back: all of it in one transaction, which ends in a rollback. */
import type { Queryable } from '../../core/database.ts'
import { quoteIdent } from '../../sql/quote.ts'
import type { Migration, Repeatable, Script } from '../files/migration.ts'
import type { Chain } from '../ledger/chain.ts'
import { findChanged } from '../ledger/find-changed.ts'
import { findMissing } from '../ledger/find-missing.ts'
import {
  becomeOwner,
  lockTarget,
  readLedger,
  type Ledger,
  SHARED_SET,
  type Target,
} from '../ledger/ledger.ts'
import { CLEAN_SESSION } from './step.ts'
import { failure, ledgerFailure } from './migration-failure.ts'

export interface RehearseOptions {
  readonly lockTimeoutMs: number
  readonly statementTimeoutMs?: number | undefined
  readonly ledger?: Ledger | undefined
  /** The migration that is not tried, nor any behind it. */
  readonly heldBack?: string | undefined
  /** Tried behind all the others. */
  readonly repeatables?: Chain<Repeatable> | undefined
  /** Shared migrations that have yet to run: they are tried first, as tenants' own may need them. */
  readonly sharedBefore?: readonly Migration[] | undefined
  readonly onApplied: (name: string) => void
}

/**
 * What cannot run in a transaction, or is a long data migration, is left out, and with it all behind it.
 * @param session one connection, outside a transaction.
 * @throws TNY402, TNY403
 */
export async function rehearseMigrations(
  session: Queryable,
  target: Target,
  migrations: readonly Migration[],
  options: RehearseOptions,
): Promise<void> {
  const ledger = options.ledger ?? (await readLedger(session, target))
  if (ledger.problem !== undefined) throw ledgerFailure(ledger.problem, target)
  const missing = findMissing(migrations, ledger.applied, target.label)
  const end = missing.findIndex(
    ({ name, options: own }) => name === options.heldBack || !own.transaction || own.batch,
  )
  const repeated =
    end < 0 && options.repeatables !== undefined
      ? await findChanged(session, options.repeatables, ledger.repeatable)
      : []
  const tried: readonly (Script & Pick<Migration, 'perTenant'>)[] = [
    ...(end < 0 ? missing : missing.slice(0, end)),
    ...repeated,
  ]
  if (tried.length === 0) return
  let current: Pick<Script, 'file'> | undefined = tried[0]
  try {
    await session.query(`begin; ${lockTarget(target)}`)
    for (const migration of options.sharedBefore ?? []) {
      current = migration
      await tryOne(session, SHARED_SET, migration, options)
    }
    for (const migration of tried) {
      current = migration
      await tryOne(session, target, migration, options)
      options.onApplied(migration.name)
    }
  } catch (error) {
    throw failure(error, target, current?.file ?? '')
  } finally {
    await session.query(`rollback; ${CLEAN_SESSION}`).catch(() => undefined)
  }
}

async function tryOne(
  session: Queryable,
  target: Target,
  { up, perTenant, options: own }: Pick<Migration, 'up' | 'perTenant' | 'options'>,
  run: RehearseOptions,
): Promise<void> {
  await session.query(
    `set local role none; set local lock_timeout = ${own.lockTimeoutMs ?? run.lockTimeoutMs};
     set local statement_timeout = ${own.statementTimeoutMs ?? run.statementTimeoutMs ?? 0}; ${becomeOwner(target)}
     set local search_path = ${quoteIdent(target.schema)}`,
  )
  await session.query(perTenant === undefined ? up : (await perTenant(session)).sql)
}
