/** What `up` takes to find out that nobody of 10,000 tenants is behind, its files read anew each time. */
import { tenantHomes } from '../src/catalog/tenant-store.ts'
import type { AdminDatabase, Queryable } from '../src/core/database.ts'
import { createAdminDatabase } from '../src/gateway/admin-database.ts'
import { createMigrations } from '../src/migrate/migrations.ts'
import type { Bench } from './bench.ts'
import { makeFleet } from './support/fleet-in-catalog.ts'
import { makeHistory } from './support/fleet-migrations.ts'
import { median, rounded } from './support/statistics.ts'

const TENANTS = 10_000

/** `npm run -s bench -- migrate-noop`. `queries` are those that look at tenants; `statements` all, the runner's lock among them. */
export const migrateNoop: Bench = async (world, { quick }) => {
  const history = await makeHistory()
  const fleet = await makeFleet(world, TENANTS, history.migrations)
  const sent: string[] = []
  const db = noting(createAdminDatabase(fleet.adminUrl, 2), sent)
  const times: number[] = []
  const rounds = quick ? 11 : 51
  try {
    for (let round = 0; round < rounds; round += 1) {
      const migrations = createMigrations({ db, homes: tenantHomes(db), folders: history.folders })
      const startedAt = performance.now()
      const { unchanged } = await migrations.up()
      times.push(performance.now() - startedAt)
      if (unchanged !== TENANTS) throw new Error(`${unchanged} tenants were at head`)
    }
  } finally {
    await db.close()
    await fleet.close()
    history.remove()
  }
  const ms = rounded(median(times), 1)
  const queries = sent.filter((text) => text.includes('tenantry.tenants')).length / rounds
  const statements = rounded(sent.length / rounds, 1)
  return {
    table: [
      ['tenants at head', 'ms', 'queries', 'statements'],
      [TENANTS, ms, queries, statements],
    ],
    figures: { fleet: TENANTS, ms, queries, statements },
    ratio: {},
  }
}

/** The same database, whose statements are written down. */
function noting(db: AdminDatabase, sent: string[]): AdminDatabase {
  const note = (one: Queryable): Queryable => ({
    query: (text, values) => {
      sent.push(text)
      return one.query(text, values)
    },
  })
  return {
    ...note(db),
    transaction: (fn) => db.transaction((tx) => fn(note(tx))),
    session: (fn, settings) => db.session((session) => fn(note(session)), settings),
    inDatabase: (name) => noting(db.inDatabase(name), sent),
    apart: (max) => noting(db.apart(max), sent),
    close: () => db.close(),
  }
}
