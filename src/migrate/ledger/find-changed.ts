/** Which repeatable files are to run, from what ran last and what the files are now. */
import type { Queryable } from '../../core/database.ts'
import type { Repeatable } from '../files/migration.ts'
import type { Chain } from './chain.ts'
import { readSteps } from './heads.ts'

/**
 * The first file that is not as it ran, and all behind it: they may build on what it replaces.
 * @param session one connection to the target's database.
 * @param head what the target points to; `undefined` where none ran.
 */
export async function findChanged(
  session: Queryable,
  chain: Chain<Repeatable>,
  head: string | undefined,
): Promise<readonly Repeatable[]> {
  const { migrations, digests } = chain
  if (head === chain.head) return []
  if (head === undefined) return migrations
  const ran = new Set((await readSteps(session, head)).map(({ digest }) => digest))
  return migrations.filter((_, place) => !ran.has(digests[place] ?? ''))
}
