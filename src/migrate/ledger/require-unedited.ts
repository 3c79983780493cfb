/** Finds the file that was edited after it ran somewhere: what ran is remembered with its checksum. */
import type { Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import type { Chain } from './chain.ts'
import { readSteps } from './heads.ts'
import type { Ledger, Target } from './ledger.ts'

/**
 * Costs a query only where the target is not on the chain. What another tool ran meanwhile is trusted by name.
 * @throws TNY415 for the first file whose text is not what ran for the target.
 */
export async function requireUnedited(
  session: Queryable,
  target: Target,
  chain: Chain,
  { applied, digest }: Ledger,
): Promise<void> {
  if (applied.length === 0 || digest === undefined || chain.ran(digest) !== undefined) return
  const steps = await readSteps(session, digest)
  const edited = chain.migrations
    .slice(0, applied.length)
    .find(({ name, checksum }, index) => steps[index]?.name === name && steps[index].checksum !== checksum)
  if (edited === undefined) return
  throw new TenantryError('TNY415', { params: { file: edited.file, target: target.label } })
}
