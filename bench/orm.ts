/** ORMs: one instance over Tenantry for all tenants against the usual way of each, by rate, connections and memory. */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Bench } from './bench.ts'
import { mikroOrmPair, typeormPair } from './contenders/data-mappers.ts'
import { drizzlePair, knexPair, kyselyPair, type OrmContender, type OrmPair } from './contenders/orms.ts'
import { type BenchWorld, pickTenant } from './support/bench-world.ts'
import { runClosedLoop, type Throughput, WrongRow } from './support/closed-loop.ts'
import { createRandom } from './support/random.ts'
import { say } from './support/report.ts'
import { medians, pick, ratioOf, takeTurns } from './support/rounds.ts'
import { rounded } from './support/statistics.ts'
import { ROWS } from './support/tenant-tables.ts'

const PAIRS: readonly OrmPair[] = [knexPair, kyselyPair, drizzlePair, typeormPair, mikroOrmPair]
const TENANTS = 500
const CONNECTIONS = 16
const CONCURRENCY = 32

/** `npm run -s bench -- orm`. */
export const orm: Bench = async (world, { quick, only }) => {
  const pairs = PAIRS.filter((pair) => only === undefined || only.includes(pair.orm))
  const plan = quick ? { rounds: 5, roundMs: 400, warmMs: 800 } : { rounds: 7, roundMs: 3_000, warmMs: 8_000 }
  const contenders: OrmContender[] = []
  const heapKb: Record<string, number> = {}
  try {
    for (const make of pairs.flatMap(({ tenantry, usual }) => [tenantry, usual])) {
      const before = usedHeap()
      const contender = make(world, CONNECTIONS)
      contenders.push(contender)
      await touchAll(world, contender)
      heapKb[contender.name] = rounded((usedHeap() - before) / 1024)
    }
    for (const [seed, contender] of contenders.entries())
      await load(world, contender, plan.warmMs, 1_000 + seed)
    const rounds = await takeTurns(contenders, plan.rounds, async (contender, round) => {
      const result = await load(world, contender, plan.roundMs, round)
      say(`round ${round + 1}: ${contender.name} ${rounded(result.perSecond)}/s`)
      return result
    })
    const rates = pick(rounds, ({ perSecond }) => perSecond)
    const qps = medians(rates)
    const clientMicros = medians(pick(rounds, (round) => round.clientMicros))
    const connections = Object.fromEntries(contenders.map((each) => [each.name, each.connections()]))
    return {
      table: [
        ['contender', 'reads/s', 'client µs', 'connections', 'heap kB'],
        ...contenders.map(({ name }): (string | number)[] => [
          name,
          qps[name] ?? 0,
          clientMicros[name] ?? 0,
          connections[name] ?? 0,
          heapKb[name] ?? 0,
        ]),
      ],
      figures: {
        tenants_read: TENANTS,
        concurrency: CONCURRENCY,
        rounds: plan.rounds,
        qps,
        client_micros: clientMicros,
        connections,
        heap_kb: heapKb,
      },
      ratio: Object.fromEntries(
        pairs.map((pair) => [pair.orm, ratioOf(rates, `${pair.orm}_tenantry`, pair.orm)]),
      ),
    }
  } finally {
    await Promise.all(contenders.map((contender) => contender.close()))
  }
}

/** Half point reads, half lists of all rows, of tenants chosen evenly. */
async function load(
  world: BenchWorld,
  contender: OrmContender,
  ms: number,
  seed: number,
): Promise<Throughput> {
  const random = createRandom(seed)
  const result = await runClosedLoop(
    { concurrency: CONCURRENCY, ms, serverPid: world.serverPid },
    async () => {
      const tenant = pickTenant(world, Math.floor(random() * TENANTS))
      const isPoint = random() < 0.5
      const rows = await (isPoint
        ? contender.read(tenant, 1 + Math.floor(random() * ROWS))
        : contender.list(tenant))
      const wrong = rows.find(({ customer }) => customer !== tenant.key)
      if (wrong !== undefined || rows.length !== (isPoint ? 1 : ROWS)) {
        throw new WrongRow(contender.name, tenant.key, wrong?.customer)
      }
    },
  )
  if (result.failed > 0) throw new Error(`${result.failed} statements of ${contender.name} failed`)
  return result
}

/** So that what is kept for each tenant is there. */
async function touchAll(world: BenchWorld, contender: OrmContender): Promise<void> {
  let next = 0
  const work = async (): Promise<void> => {
    while (next < TENANTS) await contender.read(pickTenant(world, next++), 1)
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, work))
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Bytes that are in use, and not only not yet freed. */
function usedHeap(): number {
  collectGarbage()
  return process.memoryUsage().heapUsed
}
