/** Whether tenants that share tables refuse a migration that others would get before them. */
import type { Queryable } from '../../core/database.ts'
import type { SharedHome } from '../../core/homes.ts'
import { upTogether, type UpwardRun } from './upward-steps.ts'
import type { FleetMember } from './fleet-members.ts'
import type { Outcome } from '../outcome.ts'
import type { Roster } from './pass-through.ts'

/**
 * Tries it and takes it back, where those tenants do not come first themselves. What else goes wrong shows when it is their turn.
 * @param member all tenants that share tables; `undefined` where there are none.
 */
export async function tryTogetherFirst(
  run: UpwardRun,
  session: Queryable,
  home: SharedHome,
  member: FleetMember,
  roster: Roster,
): Promise<Outcome | undefined> {
  const first = roster.find((members) => members.length > 0)
  if (first === undefined || first.includes(member) || run.options.dryRun === true) return undefined
  const outcome = await upTogether(
    { ...run, options: { ...run.options, dryRun: true } },
    session,
    home,
    member,
  )
  return outcome.refused === undefined ? undefined : outcome
}
