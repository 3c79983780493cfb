/** What the SQL guard costs a statement: one that it has seen, and one that it reads for the first time. */
import { createGuard } from '../src/isolation/guard.ts'
import type { Bench } from './bench.ts'
import { takeTurns } from './support/rounds.ts'
import { median, rounded } from './support/statistics.ts'

/** Ten lines, three tables, a CTE and a sub-query: more than most statements of an application. */
const QUERY = `with recent as (
  select o.id, o.customer_id, o.total, o.placed_at from orders o
  where o.placed_at > now() - interval '30 days' and o.status in ('open', 'paid', 'sent')
)
select c.id, c.name, count(r.id) as orders, coalesce(sum(r.total), 0) as spent, max(r.placed_at) as last
from customers c left join recent r on r.customer_id = c.id
where c.country = $1 and not exists (select from blocked b where b.customer_id = c.id)
group by c.id, c.name
having count(r.id) >= $2
order by spent desc, c.name limit $3 offset $4`
/** One line, as ORMs write by the thousand. */
const POINT_READ = 'select id, number, total from orders where id = $1'
const UPSERT =
  'insert into customers (email, name) values ($1, $2) on conflict (email) do update set name = $2'

interface Case {
  readonly name: string
  /** Calls in a round: some 50 ms of them. */
  readonly calls: number
  call(number: number): unknown
}

/** `npm run -s bench -- guard`. Needs no tenant: what it measures is this process alone. */
export const guard: Bench = async (_world, { quick }) => {
  const subject = createGuard()
  await subject.load()
  const texts = Array.from({ length: 1_000 }, (_, number) => `${QUERY} -- ${number}`)
  for (const text of texts) subject.check(text, 'tenant')
  let fresh = 0
  const unseen = (text: string): string => `${text} -- unseen ${(fresh += 1)}`
  const cases: readonly Case[] = [
    { name: 'cached', calls: 200_000, call: (n) => subject.check(texts[n % texts.length] ?? '', 'tenant') },
    { name: 'cached_shared', calls: 200_000, call: (n) => subject.shared(texts[n % texts.length] ?? '') },
    { name: 'parse', calls: 300, call: () => subject.check(unseen(QUERY), 'tenant') },
    { name: 'parse_point_read', calls: 1_000, call: () => subject.check(unseen(POINT_READ), 'tenant') },
    { name: 'parse_upsert_shared', calls: 500, call: () => subject.shared(unseen(UPSERT)) },
  ]
  const measured = await takeTurns(cases, quick ? 11 : 41, ({ calls, call }) => {
    const startedAt = performance.now()
    for (let number = 0; number < calls; number += 1) call(number)
    return Promise.resolve(((performance.now() - startedAt) * 1_000) / calls)
  })
  const figures = cases.map(({ name }) => [name, rounded(median(measured.get(name) ?? []), 3)] as const)
  return {
    table: [['the guard', 'µs a statement'], ...figures],
    figures: { us: Object.fromEntries(figures) },
    ratio: {},
  }
}
