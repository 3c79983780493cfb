/** One tenant floods the pool with slow statements: what twenty quiet ones notice of it. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createTenancy } from 'tenantry'
import type { Bench } from './bench.ts'
import { readText } from './contenders/contender.ts'
import { openBarePool } from './support/bare-pool.ts'
import { type BenchTenant, type BenchWorld, pickTenant } from './support/bench-world.ts'
import { say } from './support/report.ts'
import { medians, pick, type Rounds, takeTurns } from './support/rounds.ts'
import { medianRatio, percentile, rounded } from './support/statistics.ts'
import { steadyLoad } from './support/steady-load.ts'

const CONNECTIONS = 16
const QUIET_TENANTS = 20
/** Statements of the flooding tenant under way at any moment. */
const FLOOD = 200
const SLOW_SECONDS = 0.05
/** Statements a second of each quiet tenant. */
const QUIET_RATE = 40
/** From the flood's first statement until its queue stands. */
const RISE_MS = 200

/** A pool that serves all tenants. */
interface Contender {
  readonly name: string
  readonly about: string
  quiet(tenant: BenchTenant): Promise<unknown>
  slow(tenant: BenchTenant): Promise<unknown>
  close(): Promise<void>
}

/** 99th percentiles of one round in milliseconds. */
interface Round {
  readonly alone: number
  readonly flooded: number
}

/** `npm run -s bench -- fairness`. */
export const fairness: Bench = async (world, { quick, only }) => {
  const contenders = contendersOf(world).filter(({ name }) => only === undefined || only.includes(name))
  const plan = quick ? { rounds: 5, ms: 700 } : { rounds: 9, ms: 4_000 }
  try {
    for (const contender of contenders) await measureQuiet(world, contender, 500)
    const results = await takeTurns(contenders, plan.rounds, async (contender) => {
      const alone = await measureQuiet(world, contender, plan.ms)
      const flooded = await underFlood(world, contender, () => measureQuiet(world, contender, plan.ms))
      say(`${contender.name}: p99 ${rounded(alone, 1)} ms alone, ${rounded(flooded, 1)} ms in the flood`)
      return { alone, flooded }
    })
    const [alone, flooded] = [pick(results, (round) => round.alone), pick(results, (round) => round.flooded)]
    const [aloneMs, floodedMs] = [medians(alone, 2), medians(flooded, 2)]
    return {
      table: [
        ['contender', 'what', 'quiet p99 ms alone', 'in the flood'],
        ...contenders.map(({ name, about }) => [name, about, aloneMs[name] ?? 0, floodedMs[name] ?? 0]),
      ],
      figures: {
        connections: CONNECTIONS,
        quiet_tenants: QUIET_TENANTS,
        flood: FLOOD,
        slow_ms: SLOW_SECONDS * 1_000,
        rounds: plan.rounds,
        p99_alone_ms: aloneMs,
        p99_flooded_ms: floodedMs,
      },
      ratio: { quiet_p99: times(results, 'tenantry'), pg_pool_quiet_p99: times(results, 'pg_pool') },
    }
  } finally {
    await Promise.all(contenders.map((contender) => contender.close()))
  }
}

function times(results: Rounds<Round>, name: string): number | undefined {
  const of = (figure: (round: Round) => number): readonly number[] | undefined =>
    pick(results, figure).get(name)
  return medianRatio(
    of(({ flooded }) => flooded),
    of(({ alone }) => alone),
  )
}

async function measureQuiet(world: BenchWorld, contender: Contender, ms: number): Promise<number> {
  const load = { sources: QUIET_TENANTS, perSecond: QUIET_RATE, ms }
  // The flooding tenant is number 0.
  const times = await steadyLoad(load, (source) => contender.quiet(pickTenant(world, source + 1)))
  return percentile(times, 0.99)
}

/** Keeps the flood up while `measure` runs, and lets it run dry afterwards. */
async function underFlood<T>(world: BenchWorld, contender: Contender, measure: () => Promise<T>): Promise<T> {
  let on = true
  const work = async (): Promise<void> => {
    // Refused statements (a full queue, a deadline) are the flood's own business.
    while (on) await contender.slow(pickTenant(world, 0)).catch(() => sleep(SLOW_SECONDS * 1_000))
  }
  const flood = Array.from({ length: FLOOD }, work)
  try {
    await sleep(RISE_MS)
    return await measure()
  } finally {
    on = false
    await Promise.all(flood)
  }
}

function contendersOf({ appUrl, superuserUrl }: BenchWorld): Contender[] {
  const tenancy = createTenancy({ connection: appUrl, max: CONNECTIONS })
  const pool = openBarePool(superuserUrl, CONNECTIONS)
  const slowText = `select pg_sleep(${SLOW_SECONDS})`
  return [
    {
      name: 'tenantry',
      about: 'poolFor(tenant), no limits set',
      quiet: ({ id }) => tenancy.poolFor(id).query(readText('orders'), [1]),
      slow: ({ id }) => tenancy.poolFor(id).query(slowText),
      close: () => tenancy.close(),
    },
    {
      name: 'pg_pool',
      about: 'pg.Pool, first come, first served',
      quiet: ({ schema }) => pool.query(readText(`${schema}.orders`), [1]),
      slow: () => pool.query(slowText),
      close: () => pool.end(),
    },
  ]
}
