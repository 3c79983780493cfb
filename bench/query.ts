/** Point reads of one row by its key, over all tenants and tables: what isolation costs, or gains, a statement. */
import type { Bench } from './bench.ts'
import { barePgReads } from './contenders/bare-pg.ts'
import type { ReadContender } from './contenders/contender.ts'
import { drizzleMultitenantReads } from './contenders/drizzle-multitenant.ts'
import { knexReads } from './contenders/knex-with-schema.ts'
import { postgresJsReads } from './contenders/postgres-js.ts'
import { roundTripReads } from './contenders/round-trip.ts'
import { setLocalReads } from './contenders/set-local.ts'
import { tenantryKnexReads, tenantryReads } from './contenders/tenantry.ts'
import type { BenchWorld } from './support/bench-world.ts'
import { compareReads, readTable } from './support/compare-reads.ts'

const CONNECTIONS = 16
/** Two statements for each connection, so that none is idle while Node is at work. */
const CONCURRENCY = 32

/** `npm run -s bench -- query`. */
export const query: Bench = async (world, { quick, only }) => {
  const contenders = contendersOf(world).filter(({ name }) => only === undefined || only.includes(name))
  const plan = quick
    ? { rounds: 5, roundMs: 200, warmMs: { zipf: 1_500, uniform: 400 }, concurrency: CONCURRENCY }
    : { rounds: 7, roundMs: 3_000, warmMs: { zipf: 15_000, uniform: 8_000 }, concurrency: CONCURRENCY }
  try {
    const reads = await compareReads(world, contenders, plan)
    return {
      table: readTable(reads, contenders),
      figures: {
        connections: CONNECTIONS,
        concurrency: CONCURRENCY,
        rounds: plan.rounds,
        qps: reads.qps,
        client_micros: reads.clientMicros,
        server_micros: reads.serverMicros,
        failed: reads.failed,
        ratio_uniform: ratiosOf(reads.ratio, 'uniform'),
      },
      ratio: ratiosOf(reads.ratio, 'zipf'),
    }
  } finally {
    await Promise.all(contenders.map((contender) => contender.close()))
  }
}

function contendersOf({ appUrl, superuserUrl }: BenchWorld): ReadContender[] {
  const options = { connection: appUrl, max: CONNECTIONS }
  return [
    tenantryReads(options),
    barePgReads(superuserUrl, CONNECTIONS),
    roundTripReads(superuserUrl, CONNECTIONS),
    setLocalReads(appUrl, CONNECTIONS),
    tenantryKnexReads(options),
    knexReads(superuserUrl, CONNECTIONS),
    postgresJsReads(appUrl, CONNECTIONS),
    drizzleMultitenantReads(superuserUrl),
  ]
}

type Ratio = (distribution: 'zipf' | 'uniform', a: string, b: string) => number | undefined

function ratiosOf(ratio: Ratio, distribution: 'zipf' | 'uniform'): Record<string, number | undefined> {
  return {
    vs_bare_pg: ratio(distribution, 'tenantry', 'bare_pg'),
    vs_naive: ratio(distribution, 'tenantry', 'naive'),
    // What is left to gain: no statement by itself can be faster than a round trip.
    round_trip_vs_bare_pg: ratio(distribution, 'round_trip', 'bare_pg'),
    // Like with like: Knex builds the statement on both sides.
    vs_knex: ratio(distribution, 'tenantry_knex', 'knex'),
    vs_drizzle_multitenant: ratio(distribution, 'tenantry', 'drizzle_multitenant'),
    vs_postgres_js: ratio(distribution, 'tenantry', 'postgres_js'),
  }
}
