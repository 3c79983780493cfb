/** What a run keeps of the fleet that it works through: of 100 tenants, and of 10,000. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { createAdminDatabase } from '../src/gateway/admin-database.ts'
import { tenantHomes } from '../src/catalog/tenant-store.ts'
import { readFleet } from '../src/migrate/fleet/fleet-members.ts'
import type { Bench } from './bench.ts'
import type { BenchWorld } from './support/bench-world.ts'
import { makeFleet } from './support/fleet-in-catalog.ts'
import { makeHistory } from './support/fleet-migrations.ts'
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

/** What lives, while the list of all tenants does: MB. */
async function peakOf(world: BenchWorld, tenants: number): Promise<number> {
  const collect = garbageCollector()
  const history = await makeHistory()
  const fleet = await makeFleet(world, tenants, history.migrations.slice(0, -1))
  const db = createAdminDatabase(fleet.adminUrl, 2)
  try {
    const { members } = await db.session((session) => readFleet(session, tenantHomes(db)))
    collect()
    const { heapUsed, external } = process.memoryUsage()
    if (members.length !== tenants) throw new Error(`${members.length} of ${tenants} tenants were listed`)
    return (heapUsed + external) / 1e6
  } finally {
    await db.close()
    await fleet.close()
    history.remove()
  }
}

function garbageCollector(): () => void {
  setFlagsFromString('--expose-gc')
  return runInNewContext('gc') as () => void
}
