/** What an operator should know of a server, and what does not keep it from serving. */
import { holesOf, releaseOf, safeRelease } from './known-holes.ts'
import type { ServerFacts } from './probe.ts'

/** One warning of the start-up check and of `tenantry doctor`. */
export interface ServerWarning {
  readonly about: 'security fixes' | 'tenant roles'
  /** What was found. */
  readonly message: string
  /** What to do about it. */
  readonly advice: string
}

/**
 * The tenant roles that one login can enter before changes of roles are felt. After each of them every backend searches
 * the login's memberships once, before 16 in a time that grows with the square of their number (decision 15).
 */
function mostTenantRoles(version: number): number {
  return version >= 160_000 ? 5_000 : 2_000
}

/** Judges the facts of the runtime login's connection; empty where all is well. */
export function serverWarnings(facts: ServerFacts): ServerWarning[] {
  return [...aboutHoles(facts.version), ...aboutRoles(facts)]
}

function aboutHoles(version: number): ServerWarning[] {
  const holes = holesOf(version)
  const [gravest] = holes
  if (gravest === undefined) return []
  const others = holes.slice(1).map(({ id }) => id)
  const rest = others.length === 0 ? '' : `; and ${others.join(', ')}`
  return [
    {
      about: 'security fixes',
      message: `PostgreSQL ${releaseOf(version)} has known holes: ${gravest.id} (${gravest.what})${rest}`,
      advice: `Update to ${safeRelease(version)} or newer: a minor release replaces programs, not data.`,
    },
  ]
}

function aboutRoles({ version, login }: ServerFacts): ServerWarning[] {
  const most = mostTenantRoles(version)
  if (login.memberships <= most) return []
  return [
    {
      about: 'tenant roles',
      message: `${login.name} can enter ${login.memberships} roles; beyond ${most}, each change of roles slows every connection`,
      advice: 'Create small tenants with the model `shared`, which have no roles of their own.',
    },
  ]
}
