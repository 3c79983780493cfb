/** What the catalog remembers of a run's outcomes: who fails for good, and who is well again. */
import type { AdminDatabase } from '../../core/database.ts'
import type { Migration } from '../files/migration.ts'
import type { Ledger } from '../ledger/ledger.ts'
import type { Outcome } from '../outcome.ts'
import type { FleetMember } from './fleet-members.ts'
import { isLasting, quarantine, type Quarantined, release } from './quarantine.ts'

/**
 * Puts a tenant into quarantine, or takes it back.
 * @param entries who was in quarantine when the run began.
 */
export async function rememberOutcome(
  db: AdminDatabase,
  entries: ReadonlyMap<string, Quarantined>,
  migrations: readonly Migration[],
  member: FleetMember,
  { applied, error, stopped, ledger = member.ledger }: Outcome,
): Promise<void> {
  // Tenants that share tables are one target: there is nobody whom leaving it out would help.
  if (member.members !== undefined) return
  if (error === undefined) {
    if (entries.has(member.id) && stopped !== true) await release(db, [member.id])
    return
  }
  const failed = failedMigration(migrations, ledger, applied)
  if (failed !== undefined && isLasting(error)) await quarantine(db, member.id, failed, error)
}

/** The one behind the last that ran. */
function failedMigration(
  migrations: readonly Migration[],
  ledger: Ledger | undefined,
  applied: readonly string[],
): Migration | undefined {
  const last = applied.at(-1)
  if (last !== undefined) return migrations[migrations.findIndex(({ name }) => name === last) + 1]
  // Of a ledger that cannot be read it is not known.
  return ledger === undefined || ledger.problem !== undefined ? undefined : migrations[ledger.applied.length]
}
