/** Runs repeatable files again for the tenants that share tables: in the pattern, and repeated in the shared tables. */
import type { Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import type { SharedHome } from '../../core/homes.ts'
import { CATALOG_CHANNEL } from '../../catalog/catalog-migrations.ts'
import { lockShared } from '../../isolation/shared-form/shared-schemas.ts'
import { failure } from '../apply/migration-failure.ts'
import { CLEAN_SESSION, foundOtherwise } from '../apply/step.ts'
import type { Repeatable } from '../files/migration.ts'
import type { Chain } from '../ledger/chain.ts'
import { findChanged } from '../ledger/find-changed.ts'
import { moveRepeatable, readHeads, recordHistory } from '../ledger/heads.ts'
import { sharedTarget } from '../ledger/ledger.ts'
import type { ApplySharedOptions } from './apply-shared.ts'
import { replayOnShared } from './replay-on-shared.ts'
import { planReplay } from './shared-replay.ts'

/**
 * As `applyRepeatables`, in one transaction.
 * @param options.planOnly only finds out whether one of them would be refused.
 * @throws TNY407 where a file cannot run there; TNY402 where it failed. Nothing of any is left.
 */
export async function repeatOnShared(
  session: Queryable,
  home: SharedHome,
  chain: Chain<Repeatable>,
  options: ApplySharedOptions & { readonly planOnly?: boolean },
): Promise<void> {
  const { lockTimeoutMs, listSharing, onApplied, onRefused, planOnly = false } = options
  const target = sharedTarget(home)
  if (chain.head === undefined) return
  const before = (await readHeads(session, [target.schema])).get(target.schema)?.repeatable
  const changed = await findChanged(session, chain, before)
  if (before === chain.head) return
  let [current] = changed
  try {
    const plans = changed.map((file) => {
      current = file
      return planReplay(file)
    })
    if (planOnly) return
    await recordHistory(session, chain)
    await session.query('begin')
    await lockShared(session)
    await session.query(moveRepeatable(target.schema, before, chain.head))
    for (const [place, file] of changed.entries()) {
      current = file
      await session.query(`set local lock_timeout = ${file.options.lockTimeoutMs ?? lockTimeoutMs}`)
      await replayOnShared(session, home, file, plans[place] ?? [], () => listSharing(session))
    }
    await session.query(`notify ${CATALOG_CHANNEL}; commit; ${CLEAN_SESSION}`)
  } catch (error) {
    await session.query('rollback').catch(() => undefined)
    // Another runner was faster: most often with the same files.
    if (foundOtherwise(error) === 'moved') return repeatOnShared(session, home, chain, options)
    if (current !== undefined && error instanceof TenantryError && error.code === 'TNY407') {
      onRefused?.(current.name)
    }
    throw failure(error, target, current?.file ?? '')
  }
  for (const { name } of changed) onApplied?.(name)
}
