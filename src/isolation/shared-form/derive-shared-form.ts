/** Brings the tables that tenants share to their shared form, derived from the catalogs of the pattern. */
import type { Queryable } from '../../core/database.ts'
import type { SharedHome } from '../../core/homes.ts'
import { type FormProblem, findProblems } from './find-problems.ts'
import { inForm } from './in-form.ts'
import { planNames } from './plan-names.ts'
import { type Parties, planProtection } from './plan-protection.ts'
import { planStructure } from './plan-structure.ts'
import { readFacts } from './read-facts.ts'
import type { SchemaFacts } from './schema-facts.ts'
import { planCounters } from './shared-counters.ts'

export type { FormProblem } from './find-problems.ts'

/** What a derivation did. */
export interface Derivation {
  /** The statements that ran, in order; none where everything had its form. */
  readonly statements: readonly string[]
  /** What cannot be derived. Where there is any, nothing was done. */
  readonly problems: readonly FormProblem[]
}

/**
 * Gives each table of the shared schema its column `tenant_id`, its keys and indexes led by it, forced row security with
 * two policies, and its rights. Converges: a second run finds nothing to do.
 * The tables must be those of the pattern already; `compareForms` tells whether they are.
 * @param tx a transaction of the admin login. Role, path and context are afterwards what they were.
 * @throws what PostgreSQL says where rows or other objects stand against it.
 */
export async function deriveSharedForm(tx: Queryable, home: SharedHome): Promise<Derivation> {
  return inForm(tx, home, async () => {
    const pattern = await readFacts(tx, home.pattern)
    let shared = await readFacts(tx, home.schema)
    const problems = findProblems(pattern, shared, home.ownerRole)
    if (problems.length > 0) return { statements: [], problems }
    const structure = planStructure(pattern, shared)
    if (structure.length > 0) {
      await tx.query(structure.join(';\n'))
      shared = await readFacts(tx, home.schema)
    }
    const rest = [
      ...planNames(pattern, shared),
      ...planProtection(shared, await readParties(tx, home)),
      ...(await planCounters(tx, pattern, shared)),
    ]
    if (rest.length > 0) await tx.query(rest.join(';\n'))
    return { statements: [...structure, ...rest], problems }
  })
}

/** What a derivation would still do. */
export async function findUnderived(
  tx: Queryable,
  home: SharedHome,
  pattern: SchemaFacts,
): Promise<string[]> {
  const shared = await readFacts(tx, home.schema)
  return [
    ...planStructure(pattern, shared),
    ...planNames(pattern, shared),
    ...planProtection(shared, await readParties(tx, home)),
    ...(await planCounters(tx, pattern, shared)),
  ]
}

/** The admin is whoever owns the catalog, not who happens to run this: another login would take its rights away. */
async function readParties(tx: Queryable, { role, ownerRole }: SharedHome): Promise<Parties> {
  const { rows } = await tx.query<Omit<Parties, 'ownerRole'>>(
    `select quote_ident($1) as role, quote_ident($2) as owner, quote_ident(pg_get_userbyid(nspowner)) as admin
     from pg_namespace where nspname = 'tenantry'`,
    [role, ownerRole],
  )
  if (rows[0] === undefined) throw new Error('the catalog is not installed')
  return { ...rows[0], ownerRole }
}
