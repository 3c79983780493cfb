/** Finds the file that was edited after it ran somewhere: what ran is remembered with its checksum. */
import type { Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import type { Chain } from './chain.ts'
import { readHeads, readSteps } from './heads.ts'
import type { Ledger, Target } from './ledger.ts'

/**
 * Costs a query, and another one where the target is not on the chain. What another tool ran meanwhile is trusted by name.
 * @throws TNY415 for the first file whose text is not what ran for the target.
 */
export async function requireUnedited(
  session: Queryable,
  target: Target,
  chain: Chain,
  { applied, unedited = false }: Ledger,
): Promise<void> {
  if (unedited || applied.length === 0) return
  const head = (await readHeads(session, [target.schema])).get(target.schema)
  if (chain.ran(head?.digest) !== undefined || head?.digest === undefined) return
  const steps = await readSteps(session, head.digest)
  const edited = chain.migrations
    .slice(0, applied.length)
    .find(({ name, checksum }, index) => steps[index]?.name === name && steps[index].checksum !== checksum)
  if (edited === undefined) return
  throw new TenantryError('TNY415', { params: { file: edited.file, target: target.label } })
}
