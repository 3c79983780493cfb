/** A new tenant's schema: from the baseline where there is one, and where nothing was made yet. */
import type { Queryable } from '../../core/database.ts'
import type { Home } from '../../core/tenant.ts'
import { quoteIdent } from '../../sql/quote.ts'
import type { Migration } from '../files/migration.ts'
import { chainOf } from '../ledger/chain.ts'
import type { Target } from '../ledger/ledger.ts'
import { applyBaseline } from './apply-baseline.ts'
import type { Baselines } from './baselines.ts'

/** Of the tenant that is made. */
export interface NewHome {
  readonly baselines: Baselines
  readonly home: Home
  readonly migrations: readonly Migration[]
  readonly lockTimeoutMs: number
}

/**
 * True where the schema was empty and is whole now, by one message. False where nothing happened, and the migrations are
 * to be run: something in them cannot be compiled, the schema holds something, or an attempt failed, whose cause the
 * migrations themselves tell with file and line.
 * @param session one connection, outside a transaction.
 */
export async function makeFromBaseline(
  session: Queryable,
  target: Target,
  { baselines, home, migrations, lockTimeoutMs }: NewHome,
): Promise<boolean> {
  if (migrations.length === 0 || !(await isEmpty(session, target.schema))) return false
  try {
    const baseline = await baselines.find(session, migrations, home)
    if ('refused' in baseline) return false
    const verify = home.database !== undefined
    await applyBaseline(session, target, baseline, chainOf(migrations), { lockTimeoutMs, verify })
    return true
  } catch (error) {
    // Whatever it was, it was rolled back.
    await session.query('rollback').catch(() => undefined)
    void error
    return false
  }
}

/** Asked before, since a baseline may have to be compiled first; the message asks again. */
async function isEmpty(session: Queryable, schema: string): Promise<boolean> {
  const { rows } = await session.query<{ empty: string }>(
    `select (not exists (select from pg_depend where refclassid = 'pg_namespace'::regclass and deptype = 'n'
       and refobjid = to_regnamespace($1)))::text as empty`,
    [quoteIdent(schema)],
  )
  return rows[0]?.empty === 'true'
}
