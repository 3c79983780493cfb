/** Compares the pattern with the shared tables: the net under the derivation and under what migrations repeat. */
import type { Queryable } from '../../core/database.ts'
import type { SharedHome } from '../../core/homes.ts'
import { quoteIdent, quoteLiteral } from '../../sql/quote.ts'
import { sqlState } from '../../sql/sql-state.ts'
import { findUnderived } from './derive-shared-form.ts'
import { desiredConstraints, TENANT_COLUMN } from './desired-keys.ts'
import type { FormProblem } from './find-problems.ts'
import { inForm } from './in-form.ts'
import { readFacts } from './read-facts.ts'
import { type Trait, readTraits } from './read-traits.ts'

/**
 * Everything in which pattern and shared tables differ and which the shared form does not explain; empty: tenants of
 * both would get the same answers.
 * @param tx a transaction of the admin login, after `deriveSharedForm`. It is left as it was.
 */
export async function compareForms(tx: Queryable, home: SharedHome): Promise<FormProblem[]> {
  return inForm(tx, home, async () => {
    const pattern = await readTraits(tx, home.pattern)
    const shared = await readTraits(tx, home.schema)
    const facts = await readFacts(tx, home.pattern)
    // Checks that stand for MATCH FULL, by name: partitions have them too.
    const derived = new Set(
      desiredConstraints(facts).flatMap(({ type, name }) => (type === 'c' ? [name] : [])),
    )
    const own = new Set(pattern.map(({ object }) => object))
    const isDerived = ({ object }: Trait): boolean =>
      object.startsWith('constraint ') &&
      derived.has(object.slice(object.indexOf('.') + 1)) &&
      !own.has(object)
    const differences = differ(
      pattern,
      shared.filter((trait) => !isDerived(trait)),
    )
    // Without its tables the plan would be nonsense.
    const underived =
      differences.length > 0 ? [] : (await findUnderived(tx, home, facts)).map(underivedProblem)
    return [...differences, ...underived, ...(await findBrokenFunctions(tx, home))]
  })
}

function differ(pattern: readonly Trait[], shared: readonly Trait[]): FormProblem[] {
  const there = new Map(pattern.map((trait) => [`${trait.object}\n${trait.aspect}`, trait]))
  const here = new Map(shared.map((trait) => [`${trait.object}\n${trait.aspect}`, trait]))
  const found = [...there].flatMap(([name, { object, aspect, value }]) => {
    const other = here.get(name)
    if (other?.value === value) return []
    const reason =
      other === undefined ? 'it is missing there' : `its ${aspect} is ${other.value} there, not ${value}`
    return [{ object, reason, wayOut: REWRITE }]
  })
  const extra = [...here]
    .filter(([name]) => !there.has(name))
    .map(([, { object }]) => ({
      object,
      reason: 'it is there only',
      wayOut: 'Remove what was made there by hand',
    }))
  return [...found, ...extra]
}

const REWRITE = 'Write the statement that makes it in a simpler way'

function underivedProblem(statement: string): FormProblem {
  const [, object = 'the shared schema'] =
    /(?:table|on|index|view|sequence|routine) ("[^"]+"|\w+)/.exec(statement) ?? []
  return { object: `table ${object}`, reason: `it lacks its shared form: ${statement}`, wayOut: REWRITE }
}

/**
 * Functions in SQL that returned a table's columns and now return one too many are told by nobody else before they are
 * called: their text was checked when it was written.
 */
async function findBrokenFunctions(tx: Queryable, home: SharedHome): Promise<FormProblem[]> {
  await tx.query(`set local search_path = ${quoteIdent(home.schema)}, pg_temp`)
  const { rows } = await tx.query<{ oid: string; signature: string }>(
    `select p.oid::text as oid, p.oid::regprocedure::text as signature from pg_proc p join pg_language l on l.oid = p.prolang
     where l.lanname = 'sql' and p.prosqlbody is null and p.pronamespace = to_regnamespace(${quoteLiteral(quoteIdent(home.schema))})
     order by 2`,
  )
  const found: FormProblem[] = []
  for (const { oid, signature } of rows) {
    await tx.query('savepoint function_check')
    try {
      await tx.query(`select fmgr_sql_validator(${oid})`)
      await tx.query('release savepoint function_check')
    } catch (error) {
      // Classes 42 and 22: of the text. Everything else, a lost connection say, is no finding.
      if (!/^(42|22|0A)/.test(sqlState(error) ?? '')) throw error
      await tx.query('rollback to savepoint function_check; release savepoint function_check')
      const reason = `it does not fit tables with ${TENANT_COLUMN}: ${error instanceof Error ? error.message : ''}`
      found.push({ object: `function ${signature}`, reason, wayOut: 'Name the columns instead of *' })
    }
  }
  return found
}
