/** The corpus: real attacks of one tenant on another, by the threat that they belong to. */
import type { AttackGroup } from './payloads/attack-group.ts'
import { FOREIGN_NAMES } from './payloads/foreign-names.ts'
import { HIDDEN_SQL } from './payloads/hidden-sql.ts'
import { IDENTITY } from './payloads/identity.ts'
import { LEFT_BEHIND } from './payloads/left-behind.ts'

/** One attack. None of them harms anybody but the two tenants that it is tried on, should it succeed. */
export interface Payload {
  /** `S2-7`: the case, and its number there. */
  readonly id: string
  /** The id of the threat: `S2`. */
  readonly case: string
  /** What it is after: foreign rows, foreign changes, or something left behind for whoever comes next. */
  readonly kind: 'read' | 'write' | 'state'
  /** SQL with `{other}`, `{otherRole}`, `{otherId}` and `{table}`: see `fillPayload`. */
  readonly sql: string
}

/** Whom an attack is aimed at. */
export interface Victim {
  /** The other tenant's schema; in the shared model the one that both have. */
  readonly other: string
  readonly otherRole: string
  readonly otherId: string
  /** A table with the other tenant's rows, by its name alone. */
  readonly table: string
}

/** Every attack, in the order of the catalogue's files. */
export const PAYLOADS: readonly Payload[] = number([
  ...FOREIGN_NAMES,
  ...IDENTITY,
  ...HIDDEN_SQL,
  ...LEFT_BEHIND,
])

/** The statement that is tried. Names that PostgreSQL gives, or that Tenantry made, need no quotes here. */
export function fillPayload({ sql }: Pick<Payload, 'sql'>, victim: Victim): string {
  return sql.replaceAll(/\{(otherRole|otherId|other|table)\}/g, (_, name: keyof Victim) => victim[name])
}

function number(groups: readonly AttackGroup[]): Payload[] {
  const counts = new Map<string, number>()
  return groups.flatMap(({ case: threat, kind, attacks }) =>
    attacks.map((sql) => {
      const count = (counts.get(threat) ?? 0) + 1
      counts.set(threat, count)
      return { id: `${threat}-${count}`, case: threat, kind, sql }
    }),
  )
}
