/** Keeps what migrations were compiled to: in memory, and in the catalog for the next process. */
import { createHash } from 'node:crypto'
import type { Queryable } from '../../core/database.ts'
import type { Home } from '../../core/tenant.ts'
import type { Migration } from '../files/migration.ts'
import { chainOf } from '../ledger/chain.ts'
import { type Baseline, buildBaseline } from './build-baseline.ts'

/** To be raised when the same migrations are compiled to other statements. */
const FORM = 2
/** Chains that a process has seen lately: its files change while it runs. */
const MOST = 8

/** What new tenants are made from. */
export interface Baselines {
  /**
   * The baseline of these migrations; compiled by the first who asks, which takes about as long as to run them four times.
   * @param session one connection to where it is to be used, outside a transaction.
   * @throws what PostgreSQL says, where they cannot be replayed: that is not remembered.
   */
  find(session: Queryable, migrations: readonly Migration[], home: Home): Promise<Baseline>
}

/** Those of one catalog. */
export function createBaselines(lockTimeoutMs: number): Baselines {
  const known = new Map<string, Promise<Baseline>>()

  return {
    find(session, migrations, home) {
      const { database, role, ownerRole } = home
      const build = (): Promise<Baseline> =>
        buildBaseline(session, migrations, { role, ownerRole }, lockTimeoutMs)
      // Databases of tenants are alike, but may not be like the catalog's; and none of them holds the catalog.
      const where = database === undefined ? 'catalog' : 'other'
      const digest = createHash('sha256')
        .update(`${FORM}\0${where}\0${chainOf(migrations).head ?? ''}`)
        .digest('hex')
      let found = known.get(digest)
      if (found === undefined) {
        found = database === undefined ? stored(session, digest, build) : build()
        known.set(digest, found)
        const [oldest] = known.keys()
        if (known.size > MOST && oldest !== undefined) known.delete(oldest)
        found.catch(() => known.delete(digest))
      }
      return found
    },
  }
}

/** From the catalog, where another process put it, or from now on this one. */
async function stored(session: Queryable, digest: string, build: () => Promise<Baseline>): Promise<Baseline> {
  const { rows } = await session.query<{ compiled: string | null }>(
    `select (select b.compiled from tenantry.migration_baselines b
       where b.digest = $1 and b.server = current_setting('server_version_num')) as compiled`,
    [digest],
  )
  const there = rows[0]?.compiled
  if (there !== null && there !== undefined) return JSON.parse(there) as Baseline
  const built = await build()
  await session.query(
    `insert into tenantry.migration_baselines (digest, server, compiled)
     values ($1, current_setting('server_version_num'), $2) on conflict do nothing`,
    [digest, JSON.stringify(built)],
  )
  return built
}
