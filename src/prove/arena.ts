/** Two tenants of one kind, what is the one’s secret, and where it lies for the other to find. */
import { randomBytes } from 'node:crypto'
import type { Tenant } from '../core/tenant.ts'
import { fillPayload, type Payload } from './payloads.ts'
import type { Kind } from './report.ts'

/** The table with canaries that every attack is aimed at. */
export interface Target {
  /** Quoted nowhere: names that are made here, of lower-case letters, digits and underscores. */
  readonly schema: string
  readonly table: string
  /** Whether the tenants’ own path leads to it. */
  readonly onPath: boolean
}

/** Where one kind of tenant is attacked. */
export interface Arena {
  readonly kind: Kind
  /** Of the run: eight hexadecimal digits. */
  readonly run: string
  readonly attacker: Tenant
  readonly victim: Tenant
  readonly attackerSecret: string
  readonly victimSecret: string
  /** The victim’s. */
  readonly target: Target
}

/** Text that nobody can guess, and that occurs nowhere else. */
export function newSecret(): string {
  return `canary${randomBytes(16).toString('hex')}`
}

/** The victim’s table, as the attacker must write it. */
export function targetOf({ target }: Arena): string {
  return `${target.schema}.${target.table}`
}

/** The attacker’s own table. */
export function ownTable({ attacker, kind, target }: Arena): string {
  return `${kind.model === 'shared' ? target.schema : attacker.home.schema}.${target.table}`
}

/**
 * A payload aimed at the victim. The canaries of the shared model lie in a schema of their own, which no path leads to:
 * there the attacker’s own table must be named in full, but for temporary ones of its name.
 */
export function statementOf(payload: Pick<Payload, 'sql'>, { kind, victim, target }: Arena): string {
  const named =
    target.onPath || /temp|public\./i.test(payload.sql)
      ? payload.sql
      : payload.sql.replaceAll(/(\{other\}["\s./*]*)?\{table\}/g, (whole, qualified) =>
          qualified === undefined ? '{other}.{table}' : whole,
        )
  const { home, id } = victim
  // The role of guarded tenants in shared tables is the attacker’s as well: there is more to win in the owner’s.
  const isOwn = kind.model === 'shared' && kind.tier === 'guarded'
  return fillPayload(
    { sql: named },
    {
      other: target.schema,
      otherRole: isOwn ? home.ownerRole : home.role,
      otherId: id,
      table: target.table,
    },
  )
}

/** Whether a payload names a table that only the victim has, so that it must be refused: of tenants with a schema each. */
export function namesVictim({ sql }: Pick<Payload, 'sql'>, { kind }: Arena): boolean {
  return kind.model === 'schema' && /(?<!['\w])"?\{other\}"?[\s/*]*\.[\s/*]*"?\{table\}(?!_)/.test(sql)
}
