/** Sequences of shared tables: never behind the pattern's, whose rows every new tenant gets with their ids. */
import type { Queryable } from '../../core/database.ts'
import { quoteLiteral } from '../../sql/quote.ts'
import type { SchemaFacts } from './schema-facts.ts'

interface Counter {
  readonly name: string
  readonly side: 'pattern' | 'shared'
  /** As text: it may have 64 bits. */
  readonly last: string
  readonly called: boolean
}

/** @param tx as the owner of both. */
export async function planCounters(
  tx: Queryable,
  pattern: SchemaFacts,
  shared: SchemaFacts,
): Promise<string[]> {
  const both = shared.sequences.filter(({ name }) => pattern.sequences.some((other) => other.name === name))
  if (both.length === 0) return []
  const reads = both.flatMap(({ name, ident }) =>
    (['pattern', 'shared'] as const).map((side) => {
      const { ident: schema } = side === 'pattern' ? pattern : shared
      return `select ${quoteLiteral(name)} as name, '${side}' as side, last_value::text as last, is_called as called
        from ${schema}.${ident}`
    }),
  )
  const { rows } = await tx.query<{ counters: string }>(
    `select json_agg(c)::text as counters from (${reads.join(' union all ')}) c`,
  )
  const counters = JSON.parse(rows[0]?.counters ?? '[]') as Counter[]
  return both.flatMap(({ name, ident, ascending }) => {
    const find = (side: Counter['side']): Counter | undefined =>
      counters.find((counter) => counter.name === name && counter.side === side)
    const [there, here] = [find('pattern'), find('shared')]
    if (there === undefined || here === undefined || !there.called) return []
    const ahead = BigInt(there.last) - BigInt(here.last)
    const isBehind = here.called
      ? ascending
        ? ahead > 0n
        : ahead < 0n
      : ascending
        ? ahead >= 0n
        : ahead <= 0n
    return isBehind ? [`select setval(${quoteLiteral(`${shared.ident}.${ident}`)}, ${there.last})`] : []
  })
}
