/** What a proof tells: the document of `tenantry prove --json`, and how its totals come about. */
import type { TenantModel, TenantTier } from '../core/tenant.ts'
import type { Enforcement } from '../isolation/open-rights.ts'
import type { LintFinding } from '../isolation/lint/finding.ts'

/** A kind of tenant: each is proven with two of its own. */
export interface Kind {
  readonly model: TenantModel
  readonly tier: TenantTier
}

/** What an attack came to, where it was not refused and not without effect. */
export type Harm =
  /** The attacker read what is the other's. */
  | 'leak'
  /** The other's rows, or the structure around them, were another afterwards. */
  | 'changed'
  /** The statements after it, or the next tenant on the connection, ran as somebody else or met what it left behind. */
  | 'state'

/** One attack that got through. */
export interface Breach {
  /** The number in the corpus, `S2-7`, or the name of what was tried. */
  readonly attack: string
  /** By which way: the gateway, an ORM, the tenant's own login. */
  readonly way: string
  readonly statement: string
  readonly harm: Harm
  /** Rows and messages that the attacker saw, cut short; only of the two throw-away tenants. */
  readonly seen: readonly string[]
}

/** One case of the catalogue of threats, tried on one kind of tenant. */
export interface ProofCase {
  readonly case: string
  readonly title: string
  readonly model: TenantModel
  readonly tier: TenantTier
  readonly outcome: 'passed' | 'failed'
  /** How many attacks, by what became of them. */
  readonly attacks: number
  readonly refusedByGuard: number
  readonly refusedByDatabase: number
  readonly withoutEffect: number
  readonly breaches: readonly Breach[]
}

/** What holds a kind of tenant in. */
export interface ProofTier extends Kind {
  /** The tier that it was found to have; `none` where an attack got through on the way that applications take. */
  readonly achieved: TenantTier | 'none'
  readonly enforcement: Enforcement
  /** Why it is the guard's, or which cases the guard alone refuses. */
  readonly onlyGuard: readonly string[]
  /** Rights of everybody that a tenant should not have, where there are any. */
  readonly open: readonly string[]
  /** How many tenants of this kind the installation has. */
  readonly tenants: number
  /** Whether the attacked tenant's canaries were at last what they had been. */
  readonly untouched: boolean
}

/** The whole proof. Its shape is part of the command's interface: fields are added, never changed. */
export interface ProofReport {
  readonly version: 1
  readonly ok: boolean
  readonly server: string
  readonly startedAt: string
  readonly tookMs: number
  readonly cases: readonly ProofCase[]
  /** Of `cases`. */
  readonly passed: number
  readonly failed: number
  readonly attacks: number
  readonly tiers: readonly ProofTier[]
  readonly lint: readonly LintFinding[]
  /** Kinds that this installation cannot make, and why. */
  readonly skipped: readonly (Kind & { readonly reason: string })[]
  readonly warnings: readonly string[]
  /** What could not be removed; the next proof tries again. */
  readonly left: readonly string[]
}

/** What a proof has gathered. */
export type Gathered = Pick<
  ProofReport,
  'server' | 'cases' | 'tiers' | 'lint' | 'skipped' | 'warnings' | 'left'
>

/** Adds it up. An error of the lint fails the proof as an attack does: it is a way that a tenant may take. */
export function toReport(gathered: Gathered, startedAt: Date): ProofReport {
  const { cases, tiers, lint, left } = gathered
  const failed = cases.filter(({ outcome }) => outcome === 'failed').length
  const sound =
    failed === 0 &&
    tiers.every(({ untouched }) => untouched) &&
    lint.every(({ severity }) => severity !== 'error') &&
    left.length === 0
  return {
    version: 1,
    // Where nothing was tried, nothing is proven.
    ok: sound && cases.length > 0,
    startedAt: startedAt.toISOString(),
    tookMs: Date.now() - startedAt.getTime(),
    passed: cases.length - failed,
    failed,
    attacks: cases.reduce((sum, { attacks }) => sum + attacks, 0),
    ...gathered,
  }
}
