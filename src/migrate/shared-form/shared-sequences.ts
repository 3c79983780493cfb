/** Sequences that tenants share only go forward: one that was set back would give a tenant its own ids again. */
import type { Queryable } from '../../core/database.ts'
import type { SharedHome } from '../../core/homes.ts'
import { quoteIdent } from '../../sql/quote.ts'

/** Runs `fn`, and then sets every sequence that it set back to where it was. */
export async function keepSequences(tx: Queryable, home: SharedHome, fn: () => Promise<void>): Promise<void> {
  const before = await readSequences(tx, home)
  await fn()
  const after = new Map((await readSequences(tx, home)).map((sequence) => [sequence.name, sequence]))
  await tx.query(`set local role ${quoteIdent(home.ownerRole)}`)
  for (const { name, last, ascending } of before) {
    const now = after.get(name)
    // One that is gone, or has other bounds now, is not the same.
    if (now === undefined || now.ascending !== ascending || last === null) continue
    const isBehind =
      now.last === null || (ascending ? BigInt(now.last) < BigInt(last) : BigInt(now.last) > BigInt(last))
    const isWithin = BigInt(last) >= BigInt(now.min) && BigInt(last) <= BigInt(now.max)
    if (isBehind && isWithin) await tx.query('select setval($1::regclass, $2::bigint)', [name, last])
  }
  await tx.query('set local role none')
}

interface Sequence {
  readonly name: string
  /** Numbers as text: they may have 64 bits. `null` where none was given out yet. */
  readonly last: string | null
  readonly min: string
  readonly max: string
  readonly ascending: boolean
}

async function readSequences(tx: Queryable, home: SharedHome): Promise<readonly Sequence[]> {
  await tx.query(`set local role ${quoteIdent(home.ownerRole)}`)
  const { rows } = await tx.query<{ sequences: string }>(
    `select coalesce(json_agg(json_build_object('name', format('%I.%I', schemaname, sequencename), 'last', last_value::text,
       'min', min_value::text, 'max', max_value::text, 'ascending', increment_by > 0)), '[]')::text as sequences
     from pg_sequences where schemaname = $1`,
    [home.schema],
  )
  await tx.query('set local role none')
  return JSON.parse(rows[0]?.sequences ?? '[]') as Sequence[]
}
