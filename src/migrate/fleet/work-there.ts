/** Work at a tenant in a database of its own, and what the catalog is told of it. */
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import { ledgerFailure } from '../apply/migration-failure.ts'
import { mirrorHead } from '../ledger/heads.ts'
import { announceMigration, readLedger, type Ledger, type Target } from '../ledger/ledger.ts'
import { type MigrationProject, requirePlainStrings } from '../migration-project.ts'
import type { Outcome } from '../outcome.ts'
import type { FleetMember } from './fleet-members.ts'

/**
 * Others do not stop where the database cannot be reached.
 * @param dryRun the catalog is told nothing.
 * @param work told nothing of who serves the tenant: nobody listens there.
 */
export async function workThere(
  { db }: Pick<MigrationProject, 'db'>,
  elsewhere: AdminDatabase,
  { target, database = '' }: FleetMember,
  dryRun: boolean | undefined,
  work: (session: Queryable, target: Target, ledger: Ledger) => Promise<Outcome>,
): Promise<Outcome> {
  let outcome: Outcome = { applied: [] }
  try {
    await elsewhere.session(async (session) => {
      await requirePlainStrings(session)
      const ledger = await readLedger(session, target)
      outcome = { ...(await work(session, { ...target, tenantId: undefined }, ledger)), ledger }
      if (dryRun === true) return
      // Also where nothing ran: a runner that was killed between a commit there and the mirror has told nobody.
      const moved = await mirrorHead(session, db, { schema: target.schema, database })
      // Who hears of it asks the mirror how far the tenant is.
      if (moved || outcome.applied.length > 0) await db.query(announceMigration(target))
    })
    return outcome
  } catch (error) {
    return { ...outcome, error: ledgerFailure(error, target) }
  }
}
