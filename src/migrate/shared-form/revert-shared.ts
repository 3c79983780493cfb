/** Undoes migrations of the tenants that share tables: each is one transaction over pattern and shared tables. */
import { CATALOG_CHANNEL } from '../../catalog/catalog-migrations.ts'
import type { Queryable } from '../../core/database.ts'
import type { SharedHome, TenantHomes } from '../../core/homes.ts'
import { lockShared } from '../../isolation/shared-form/shared-schemas.ts'
import { quoteIdent, quoteLiteral } from '../../sql/quote.ts'
import { retryLocks, usualRetry } from '../apply/lock-retry.ts'
import { failure } from '../apply/migration-failure.ts'
import { findRevertible, type Revertible, type RevertOptions } from '../apply/revert-migrations.ts'
import { CLEAN_SESSION, limitStep } from '../apply/step.ts'
import type { Migration } from '../files/migration.ts'
import { chainOf } from '../ledger/chain.ts'
import { moveHead, recordHistory } from '../ledger/heads.ts'
import { sharedTarget } from '../ledger/ledger.ts'
import { replayOnShared } from './replay-on-shared.ts'
import { planReplay } from './shared-replay.ts'

export interface RevertSharedOptions extends Omit<RevertOptions, 'ledger'> {
  /** What the pattern's ledger says. */
  readonly applied: readonly string[]
  readonly listSharing: TenantHomes['listSharing']
}

/**
 * A down part is repeated in the shared tables as an up part is.
 * @param session one connection, outside a transaction.
 * @throws TNY402, TNY403, TNY407, TNY424
 */
export async function revertOnShared(
  session: Queryable,
  home: SharedHome,
  migrations: readonly Migration[],
  options: RevertSharedOptions,
): Promise<void> {
  const target = sharedTarget(home)
  const steps = findRevertible(migrations, options.applied, target.label, options.keep).map((step) => {
    const migration = asMigration(step)
    // All are planned before one runs: what is refused is refused while nothing has happened.
    return { migration, plan: planReplay(migration) }
  })
  if (steps.length === 0) return
  const chain = chainOf(migrations)
  const undo = async ({ migration, plan }: (typeof steps)[number], place: number): Promise<void> => {
    await lockShared(session)
    if (options.dryRun !== true) {
      const left = options.applied.length - place - 1
      await session.query(moveHead(target.schema, chain.digests[left - 1], migrations[left - 1]?.version))
    }
    // In a dry run what the one before had of its own must not hold for the next.
    const { statementTimeoutMs = 0 } = options
    await session.query(limitStep(migration.options, { ...options, statementTimeoutMs }).join('; '))
    await replayOnShared(session, home, migration, plan, () => options.listSharing(session))
    await removeRecord(session, home, migration)
  }
  if (options.dryRun === true) return rehearse()
  await recordHistory(session, chain)
  for (const [place, step] of steps.entries()) {
    await retryLocks(usualRetry(options.lockTimeoutMs), async () => {
      try {
        await session.query('begin')
        await undo(step, place)
        await session.query(`notify ${CATALOG_CHANNEL}; commit; ${CLEAN_SESSION}`)
      } catch (error) {
        await session.query('rollback').catch(() => undefined)
        throw failure(error, target, step.migration.file)
      }
    })
    options.onReverted?.(step.migration.name)
  }

  async function rehearse(): Promise<void> {
    let current = steps[0]
    try {
      await session.query('begin')
      for (const [place, step] of steps.entries()) {
        current = step
        await undo(step, place)
        options.onReverted?.(step.migration.name)
      }
    } catch (error) {
      throw failure(error, target, current?.migration.file ?? '')
    } finally {
      await session.query(`rollback; ${CLEAN_SESSION}`).catch(() => undefined)
    }
  }
}

async function removeRecord(
  session: Queryable,
  { pattern, ownerRole }: SharedHome,
  { name }: Migration,
): Promise<void> {
  const ledger = `${quoteIdent(pattern)}.pgmigrations`
  await session.query(`set local role ${quoteIdent(ownerRole)}`)
  const removed = await session.query(
    `delete from ${ledger} where name = $1 and id = (select id from ${ledger} order by run_on desc, id desc limit 1)`,
    [name],
  )
  if (removed.rowCount !== 1) throw new Error(`${quoteLiteral(name)} is not the last that ran`)
  await session.query('set local role none')
}

/** Whether the up part was code is no matter: a down part that is has been refused. */
function asMigration({ migration, down }: Revertible): Migration {
  const { sql, line, lines, statements, options } = down
  return { ...migration, up: sql, line, lines, statements, options, perTenant: undefined }
}
