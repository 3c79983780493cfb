/** Looks at the user's own objects in one database for what lets tenants get at each other, or costs where they share tables. */
import type { Queryable } from '../../core/database.ts'
import { BYPASS_RULES } from './bypasses.ts'
import { extensionRules } from './extensions.ts'
import type { LintFinding, LintRule, LintSeverity } from './finding.ts'
import { GRANT_RULES } from './grants.ts'
import { LEAKY_INDEX_RULE } from './leaky-indexes.ts'
import { POLICY_RULES } from './policies.ts'
import { scopeOf } from './scope.ts'
import { TENANT_TABLE_RULES } from './tenant-tables.ts'

export interface LintOptions {
  /** Names of columns that hold the tenant's id, the usual one first; `['tenant_id']` by default. */
  readonly tenantColumns?: readonly string[]
  /** Extensions that were looked at, beside those that are known to be harmless. */
  readonly allowedExtensions?: readonly string[]
}

interface Suspect {
  readonly space: string
  readonly kind: 'tenant' | 'home' | 'shared'
  readonly name: string
  readonly severity: LintSeverity
  readonly detail: string
}

/** A database that one tenant has alone. */
export interface OwnDatabase {
  readonly name: string
  /** Of the tenant's tables. */
  readonly schema: string
}

const ORDER: readonly LintSeverity[] = ['error', 'warning', 'advice']

/** Errors first, then by name. */
export function inOrder(findings: readonly LintFinding[]): LintFinding[] {
  return findings.toSorted(
    (a, b) => ORDER.indexOf(a.severity) - ORDER.indexOf(b.severity) || a.object.localeCompare(b.object, 'en'),
  )
}

/**
 * Every rule over one database, as the admin login. Reads catalogs only; errors come first.
 * @param own the tenant's, where it is one of a tenant's own; a database with an installed catalog by default.
 * @example
 * const findings = await lintDatabase(admin, { tenantColumns: ['tenant_id', 'org_id'] })
 */
export async function lintDatabase(
  db: Queryable,
  options: LintOptions = {},
  own?: OwnDatabase,
): Promise<LintFinding[]> {
  const { tenantColumns = ['tenant_id'], allowedExtensions = [] } = options
  const findings: LintFinding[] = []
  for (const rule of lintRules(allowedExtensions)) {
    if (own !== undefined && rule.beyond === 'roles') continue
    const values = [tenantColumns, allowedExtensions]
    const suspects = await readSuspects(db, scopeOf(own?.schema) + rule.query, values)
    findings.push(...toFindings(rule, suspects, own))
  }
  return inOrder(findings)
}

/** All rules, in the order of their groups. */
export function lintRules(allowedExtensions: readonly string[] = []): readonly LintRule[] {
  return [
    ...TENANT_TABLE_RULES,
    ...POLICY_RULES,
    ...BYPASS_RULES,
    ...GRANT_RULES,
    ...extensionRules(allowedExtensions),
    LEAKY_INDEX_RULE,
  ]
}

/** As one text of JSON, whatever parsers the application has for other types. */
async function readSuspects(db: Queryable, query: string, values: readonly unknown[]): Promise<Suspect[]> {
  // Every rule is given both values, and not every rule asks for both: cast here, so that each has a type.
  const { rows } = await db.query<{ suspects: string }>(
    `select coalesce(json_agg(found order by space, name), '[]')::text as suspects from (${query}) found
     where $1::text[] is not null and $2::text[] is not null`,
    values,
  )
  return JSON.parse(rows[0]?.suspects ?? '[]') as Suspect[]
}

function toFindings(
  rule: LintRule,
  suspects: readonly Suspect[],
  own: OwnDatabase | undefined,
): LintFinding[] {
  const alike = new Map<string, { first: Suspect; count: number }>()
  for (const suspect of suspects) {
    if (rule.judge !== undefined && !rule.judge(suspect.detail)) continue
    // The same table of a thousand tenants is one finding.
    const space = suspect.kind === 'tenant' && suspect.space !== '' ? '' : suspect.space
    const known = JSON.stringify([suspect.kind, space, suspect.name, suspect.severity])
    const group = alike.get(known)
    if (group === undefined) alike.set(known, { first: suspect, count: 1 })
    else group.count += 1
  }
  return [...alike.values()].map(({ first, count }) => {
    const object = first.space === '' ? first.name : `${first.space}.${first.name}`
    return {
      rule: rule.name,
      threat: rule.threat,
      object,
      schemas: first.kind === 'tenant' && own === undefined ? count : undefined,
      databases: own && { first: own.name, count: 1 },
      // No other tenant may connect: one more mistake would have to be made.
      severity:
        own !== undefined && rule.beyond === undefined && first.severity === 'error'
          ? 'warning'
          : first.severity,
      reason: rule.reason(first.detail),
      wayOut: rule.wayOut(object, first.detail),
    }
  })
}
