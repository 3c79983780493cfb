/** Undoes migrations of the tenants that share tables: each is one transaction over pattern and shared tables. */
import { CATALOG_CHANNEL } from '../../catalog/catalog-migrations.ts'
import type { Queryable } from '../../core/database.ts'
import type { SharedHome, TenantHomes } from '../../core/homes.ts'
import { lockShared } from '../../isolation/shared-form/shared-schemas.ts'
import { quoteIdent, quoteLiteral } from '../../sql/quote.ts'
import { CLEAN_SESSION, failure } from '../apply/apply-migrations.ts'
import { findRevertible, type Revertible, type RevertOptions } from '../apply/revert-migrations.ts'
import type { Migration } from '../files/migration.ts'
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
  const ledger = `${quoteIdent(home.pattern)}.pgmigrations`
  const dryRun = options.dryRun === true
  for (const [place, { migration, plan }] of steps.entries()) {
    try {
      if (!dryRun || place === 0) await session.query('begin')
      await lockShared(session)
      await session.query(`set local lock_timeout = ${options.lockTimeoutMs}`)
      await replayOnShared(session, home, migration, plan, () => options.listSharing(session))
      await session.query(`set local role ${quoteIdent(home.ownerRole)}`)
      const removed = await session.query(
        `delete from ${ledger} where name = $1 and id = (select id from ${ledger} order by run_on desc, id desc limit 1)`,
        [migration.name],
      )
      if (removed.rowCount !== 1) throw new Error(`${quoteLiteral(migration.name)} is not the last that ran`)
      await session.query('set local role none')
      if (!dryRun) await session.query(`notify ${CATALOG_CHANNEL}; commit; ${CLEAN_SESSION}`)
    } catch (error) {
      await session.query('rollback').catch(() => undefined)
      throw failure(error, target, migration.file)
    }
    options.onReverted?.(migration.name)
  }
  if (dryRun && steps.length > 0) await session.query(`rollback; ${CLEAN_SESSION}`)
}

function asMigration({ migration, down }: Revertible): Migration {
  const { sql, line, lines, statements, options } = down
  return { ...migration, up: sql, line, lines, statements, options }
}
