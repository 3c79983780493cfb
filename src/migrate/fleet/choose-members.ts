/** Whom a run comes to: of the whole fleet those that serve, those that were asked for, and not those in quarantine. */
import type { TenantStatus } from '../../core/tenant.ts'
import type { Migration } from '../files/migration.ts'
import type { Chain } from '../ledger/chain.ts'
import { SHARED_TENANTS } from '../ledger/ledger.ts'
import type { FleetMember } from './fleet-members.ts'
import type { QuarantinedTenant } from './migration-report.ts'
import { isStillBad, type Quarantined } from './quarantine.ts'
import { cannotStart } from './run-options.ts'

/** Tenants that `up` migrates: those that serve, or will again as they are. */
export const MIGRATED: readonly TenantStatus[] = ['active', 'suspended']

/** Those of `only`, or all. @throws TNY420 for a name that is nobody's. */
export function chooseMembers(
  members: readonly FleetMember[],
  only: readonly string[] | undefined,
): readonly FleetMember[] {
  const able = members.filter(({ status }) => MIGRATED.includes(status))
  if (only === undefined) return able
  const wanted = new Set(only)
  const chosen = able.filter(({ id, key }) => wanted.has(key) || (id !== '' && wanted.has(id)))
  const found = new Set(chosen.flatMap(({ id, key }) => [id, key]))
  const missing = only.filter((name) => !found.has(name))
  if (missing.length === 0) return chosen
  throw cannotStart(
    `there is no tenant ${missing.map((name) => `"${name}"`).join(', ')} to migrate by itself`,
    `Tenants that share tables are migrated together: name them as "${SHARED_TENANTS}".`,
  )
}

/**
 * Whoever names a canary that is not there would have no canary.
 * @throws TNY420
 */
export function requireNamed(members: readonly FleetMember[], named: readonly string[]): void {
  const known = new Set(members.flatMap(({ id, key }) => [id, key]))
  const missing = named.filter((name) => !known.has(name))
  if (missing.length === 0) return
  throw cannotStart(
    `a wave names ${missing.map((name) => `"${name}"`).join(', ')}, and there is no such tenant to migrate by itself`,
    `Correct the name. Tenants that share tables are one: "${SHARED_TENANTS}".`,
  )
}

/** Divides members into those to migrate and those that stay in quarantine. */
export function leaveOut(
  members: readonly FleetMember[],
  entries: ReadonlyMap<string, Quarantined>,
  migrations: readonly Migration[],
): { readonly able: readonly FleetMember[]; readonly out: readonly QuarantinedTenant[] } {
  const out: QuarantinedTenant[] = []
  const able = members.filter((member) => {
    const entry = entries.get(member.id)
    if (entry === undefined || !isStillBad(entry, migrations)) return true
    // It went on in another way: by another tool, or by hand.
    if (member.ledger?.applied.includes(entry.migration) === true) return true
    const { migration, error, since } = entry
    out.push({ key: member.key, migration, error, since })
    return false
  })
  return { able, out }
}

/**
 * Whether nothing is left to do at a member, as far as its ledger was read; what does not fit is for the step to find.
 * @param repeatable what it is to point to, where repeatable files are meant too.
 */
export function isDone(
  { ledger }: FleetMember,
  { migrations, ran }: Chain,
  goal: number,
  repeatable?: string,
): boolean {
  if (ledger === undefined || ledger.problem !== undefined || ledger.state === 'unsettled') return false
  const { applied, digest } = ledger
  if (repeatable !== undefined && ledger.repeatable !== repeatable) return false
  // Off the chain something was edited after it ran.
  if (digest !== undefined && ran(digest) === undefined) return false
  return applied.length >= goal && applied.every((name, place) => migrations[place]?.name === name)
}
