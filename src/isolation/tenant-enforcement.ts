/** What keeps one tenant in where the SQL guard let something through, as the server tells it now. */
import type { AdminDatabase } from '../core/database.ts'
import type { Home } from '../core/tenant.ts'
import { type Enforcement, enforcementOf, readOpenRights } from './open-rights.ts'

/**
 * Rights are those of the database that the tenant's statements run in (FINDINGS 14). A sealed tenant's login has
 * nobody to change to, whatever is open to everybody there.
 */
export async function findEnforcement(db: AdminDatabase, { tier, database }: Home): Promise<Enforcement> {
  if (tier === 'sealed') return 'database'
  return enforcementOf(await readOpenRights(database === undefined ? db : db.inDatabase(database)))
}
