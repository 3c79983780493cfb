/** Waits until nobody writes any more what was begun while a tenant was still served. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Queryable } from '../../core/database.ts'
import type { SharedHome } from '../../core/homes.ts'
import { quoteIdent } from '../../sql/quote.ts'

/** How long in all, and how often it is looked. */
const PATIENCE_MS = 10_000
const LOOK_MS = 50

/**
 * Resolves when the transactions have ended that write to shared tables now. Whose rows they write cannot be told, and
 * rows that are not committed yet are not seen by a DELETE: the tenant's would come after it, and stay.
 * @param db one connection outside of a transaction, after the commit that shut the tenant: later statements of its own
 * are refused by the policies.
 * @throws Error where one does not end.
 */
export async function waitForWriters(db: Queryable, home: SharedHome): Promise<void> {
  const until = performance.now() + PATIENCE_MS
  let writers = await findWriters(db, home)
  while (writers.size > 0) {
    if (performance.now() > until) {
      const pids = [...new Set(writers.values())].join(', ')
      throw new Error(`its tables are still written to by the server processes ${pids}`)
    }
    await sleep(LOOK_MS)
    const now = await findWriters(db, home)
    // Who began later is not waited for, or tenants that are busy would never let one go.
    writers = new Map([...writers].filter(([transaction]) => now.has(transaction)))
  }
}

/** Process ids by transaction. Everybody may ask for locks. VACUUM and CREATE INDEX hold others, and so do readers. */
async function findWriters(db: Queryable, { schema }: SharedHome): Promise<Map<string, string>> {
  const { rows } = await db.query<{ transaction: string; pid: string }>(
    `select distinct l.virtualtransaction as transaction, l.pid::text as pid
     from pg_locks l join pg_class c on c.oid = l.relation
     where l.database = (select oid from pg_database where datname = current_database())
       and c.relnamespace = to_regnamespace($1) and c.relkind in ('r', 'p')
       and l.mode = 'RowExclusiveLock' and l.pid <> pg_backend_pid()`,
    [quoteIdent(schema)],
  )
  return new Map(rows.map(({ transaction, pid }) => [transaction, pid]))
}
