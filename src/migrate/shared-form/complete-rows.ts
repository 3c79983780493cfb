/** Completes a statement on rows with what shared tables ask for: columns by name, and `tenant_id` in ON CONFLICT. */
import type { Queryable } from '../../core/database.ts'
import { completeOnConflict } from '../../sql/on-conflict.ts'
import { quoteIdent } from '../../sql/quote.ts'
import type { ReplayStep } from './shared-replay.ts'
import { migrationParser } from './sql-nodes.ts'

/** @param tx whose path is the pattern: its tables say in which order the statement gives its values. */
export async function completeRows(tx: Queryable, { text, positional }: ReplayStep): Promise<string> {
  let completed = text
  for (const { table, at, columns } of positional) {
    const { rows } = await tx.query<{ names: string }>(
      `select coalesce(json_agg(attname order by attnum), '[]')::text as names from (select attname, attnum from pg_attribute
         where attrelid = $1::regclass and attnum > 0 and not attisdropped order by attnum limit ${columns}) a`,
      [quoteIdent(table)],
    )
    const names = JSON.parse(rows[0]?.names ?? '[]') as string[]
    completed = `${completed.slice(0, at)} (${names.map(quoteIdent).join(', ')})${completed.slice(at)}`
  }
  return completeOnConflict(completed, migrationParser)
}
