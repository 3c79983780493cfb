/** What it takes to find out that nobody of 10,000 tenants is behind. */
import { createAdminDatabase } from '../src/gateway/admin-database.ts'
import { chainOf } from '../src/migrate/ledger/chain.ts'
import { readBehind } from '../src/migrate/ledger/read-behind.ts'
import type { Bench } from './bench.ts'
import { someMigrations } from './support/fleet-migrations.ts'
import { makeFleet } from './support/fleet-in-catalog.ts'
import { median, rounded } from './support/statistics.ts'

const TENANTS = 10_000

/** `npm run -s bench -- migrate-noop`. */
export const migrateNoop: Bench = async (world, { quick }) => {
  const migrations = someMigrations()
  const fleet = await makeFleet(world, TENANTS, migrations)
  const db = createAdminDatabase(fleet.adminUrl, 1)
  const times: number[] = []
  let queries = 0
  try {
    await db.session(async (session) => {
      const counting: typeof session = {
        query: (text, values) => {
          queries += 1
          return session.query(text, values)
        },
      }
      const rounds = quick ? 11 : 51
      for (let round = 0; round < rounds; round += 1) {
        const startedAt = performance.now()
        const { versions, pages } = await readBehind(counting, chainOf(migrations))
        for await (const page of pages) throw new Error(`${page.length} tenants are behind`)
        times.push(performance.now() - startedAt)
        if (versions[0]?.tenants !== TENANTS) throw new Error('not all tenants were counted')
      }
      queries /= rounds
    })
  } finally {
    await db.close()
    await fleet.close()
  }
  const ms = rounded(median(times), 1)
  return {
    table: [
      ['tenants at head', 'ms', 'queries'],
      [TENANTS, ms, queries],
    ],
    figures: { fleet: TENANTS, ms, queries },
    ratio: {},
  }
}
