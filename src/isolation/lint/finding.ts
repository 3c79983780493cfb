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
  /** Where it is in a tenant's own database: the first one, and how many have the same; else it is in the catalog's. */
  readonly databases: { readonly first: string; readonly count: number } | undefined
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
  /**
   * What of it is beyond the database: `roles` are the server's, and looked at once; what an extension `reaches` is as bad in
   * a database that one tenant has alone. Everything else is one step further there, since no other may connect.
   */
  readonly beyond?: 'roles' | 'reaches'
  /** Whether the suspect is a finding, where SQL alone cannot tell. */
  readonly judge?: (detail: string) => boolean
  readonly reason: (detail: string) => string
  readonly wayOut: (object: string, detail: string) => string
}

/** The object, for people, with how many tenants more have the same: `orders (in the database tenant_acme and 3 more)`. */
export function placeOf({ object, schemas = 1, databases }: LintFinding): string {
  if (databases === undefined) return schemas < 2 ? object : `${object} (and in ${schemas - 1} more)`
  const others = databases.count < 2 ? '' : ` and ${databases.count - 1} more`
  return `${object} (in the database ${databases.first}${others})`
}
