/** What this process keeps of a fleet while it works through all of it: with 100 tenants, and with 10,000. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createAdminDatabase } from '../src/gateway/admin-database.ts'
import { chainOf } from '../src/migrate/ledger/chain.ts'
import { readBehind } from '../src/migrate/ledger/read-behind.ts'
import type { Bench } from './bench.ts'
import type { BenchWorld } from './support/bench-world.ts'
import { someMigrations } from './support/fleet-migrations.ts'
import { makeFleet } from './support/fleet-in-catalog.ts'
import { rounded } from './support/statistics.ts'

const SIZES = [100, 10_000] as const

/** `npm run -s bench -- migrate-memory`. All tenants are one migration behind. */
export const migrateMemory: Bench = async (world) => {
  // The first run loads what every one needs.
  await peakOf(world, SIZES[0])
  const small = await peakOf(world, SIZES[0])
  const large = await peakOf(world, SIZES[1])
  return {
    table: [
      ['tenants', 'MB at most'],
      [SIZES[0], rounded(small, 1)],
      [SIZES[1], rounded(large, 1)],
    ],
    figures: { mb_extra: rounded(large - small, 1) },
    ratio: {},
  }
}

/** What lives, at the page where that is most. */
async function peakOf(world: BenchWorld, tenants: number): Promise<number> {
  const collect = garbageCollector()
  const migrations = someMigrations()
  const fleet = await makeFleet(world, tenants, migrations.slice(0, -1))
  const db = createAdminDatabase(fleet.adminUrl, 1)
  let [peak, seen] = [0, 0]
  try {
    await db.session(async (session) => {
      const { pages } = await readBehind(session, chainOf(migrations))
      for await (const page of pages) {
        seen += page.length
        collect()
        const { heapUsed, external } = process.memoryUsage()
        peak = Math.max(peak, (heapUsed + external) / 1e6)
      }
    })
  } finally {
    await db.close()
    await fleet.close()
  }
  if (seen !== tenants) throw new Error(`${seen} of ${tenants} tenants were told`)
  return peak
}

function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}
