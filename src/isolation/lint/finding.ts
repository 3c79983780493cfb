/** What a rule of the lint says, and how a rule is written. */

/**
 * `error`: a tenant reaches what is not its own, or would by a statement that it may send. `warning`: it learns something,
 * or one more mistake would open it. `advice`: it costs, or is worth a look.
 */
export type LintSeverity = 'error' | 'warning' | 'advice'

/** One thing about an object of the user's that lets tenants get at each other, or costs where they share. */
export interface LintFinding {
  /** The rule's name, for instance `tenant-table-without-policy`. */
  readonly rule: string
  /** The case in the catalogue of threats that it belongs to, where there is one. */
  readonly threat: string | undefined
  /** Qualified, as one would write it. Of tenants' own schemas one stands for all that have the same. */
  readonly object: string
  /** How many schemas of tenants have the same object with the same fault; `undefined` for anything else. */
  readonly schemas: number | undefined
  readonly severity: LintSeverity
  readonly reason: string
  readonly wayOut: string
}

/** A rule: a query for suspects, and words for what it finds. */
export interface LintRule {
  readonly name: string
  readonly threat?: string
  /**
   * Behind the common expressions of `scope.ts`; gives `space` (a schema, or '' where objects have none), `kind`, `name`,
   * `severity` and `detail`, all as text.
   */
  readonly query: string
  /** Whether the suspect is a finding, where SQL alone cannot tell. */
  readonly judge?: (detail: string) => boolean
  readonly reason: (detail: string) => string
  readonly wayOut: (object: string, detail: string) => string
}
