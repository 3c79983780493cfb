/** ORMs: one instance over Tenantry for all tenants against the usual way of each, by rate, connections and memory. */
import { setTimeout as sleep } from 'node:timers/promises'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import type { Bench } from './bench.ts'
import { mikroOrmPair, typeormPair } from './contenders/data-mappers.ts'
import { drizzlePair, knexPair, kyselyPair, type OrmContender, type OrmPair } from './contenders/orms.ts'
import { preparePrisma } from './contenders/prisma.ts'
import { type BenchWorld, pickTenant } from './support/bench-world.ts'
import { runClosedLoop, type Throughput, WrongRow } from './support/closed-loop.ts'
import { createRandom } from './support/random.ts'
import { say } from './support/report.ts'
import { medians, pick, ratioOf, type Rounds, takeTurns } from './support/rounds.ts'
import { rounded } from './support/statistics.ts'
import { ROWS } from './support/tenant-tables.ts'

/** Prisma's code is generated first, which takes a second. */
const PAIRS: Readonly<Record<string, () => OrmPair | Promise<OrmPair>>> = {
  knex: () => knexPair,
  kysely: () => kyselyPair,
  drizzle: () => drizzlePair,
  typeorm: () => typeormPair,
  mikro_orm: () => mikroOrmPair,
  prisma: preparePrisma,
}
const CONNECTIONS = 16
const CONCURRENCY = 32

interface Plan {
  readonly tenants: number
  readonly rounds: number
  readonly roundMs: number
  readonly warmMs: number
}
/** A connection for each tenant takes its time to be made. */
const QUICK: Plan = { tenants: 100, rounds: 5, roundMs: 300, warmMs: 600 }
const FULL: Plan = { tenants: 500, rounds: 7, roundMs: 3_000, warmMs: 8_000 }

/** `npm run -s bench -- orm`. */
export const orm: Bench = async (world, { quick, only }) => {
  const plan = quick ? QUICK : FULL
  const table: (string | number)[][] = [['contender', 'reads/s', 'client µs', 'connections', 'heap kB']]
  const ratio: Record<string, number | undefined> = {}
  for (const [name, prepare] of Object.entries(PAIRS)) {
    if (only !== undefined && !only.includes(name)) continue
    const { rows, rates } = await comparePair(world, await prepare(), plan)
    table.push(...rows)
    ratio[name] = ratioOf(rates, `${name}_tenantry`, name)
    const clientPerTenant = `${name}_client_per_tenant`
    if (rates.has(clientPerTenant))
      ratio[`${name}_vs_client_per_tenant`] = ratioOf(rates, `${name}_tenantry`, clientPerTenant)
  }
  const column = (at: number) => Object.fromEntries(table.slice(1).map((row) => [row[0], row[at]]))
  return {
    table,
    figures: {
      tenants_read: plan.tenants,
      concurrency: CONCURRENCY,
      rounds: plan.rounds,
      qps: column(1),
      client_micros: column(2),
      connections: column(3),
      heap_kb: column(4),
    },
    ratio,
  }
}

/** The ways of one ORM in turns, and nothing of another beside it: some hold hundreds of connections. */
async function comparePair(
  world: BenchWorld,
  { tenantry, usual, clientPerTenant }: OrmPair,
  plan: Plan,
): Promise<{ rows: (string | number)[][]; rates: Rounds }> {
  const contenders: OrmContender[] = []
  const heapKb: Record<string, number> = {}
  try {
    for (const make of [tenantry, usual, ...(clientPerTenant === undefined ? [] : [clientPerTenant])]) {
      const before = await usedHeap()
      const contender = make(world, CONNECTIONS)
      contenders.push(contender)
      await touchAll(world, contender, plan.tenants)
      heapKb[contender.name] = rounded(((await usedHeap()) - before) / 1024)
    }
    for (const [seed, contender] of contenders.entries())
      await load(world, contender, { ...plan, ms: plan.warmMs, seed: 1_000 + seed })
    const rounds = await takeTurns(contenders, plan.rounds, async (contender, round) => {
      const result = await load(world, contender, { ...plan, ms: plan.roundMs, seed: round })
      say(`round ${round + 1}: ${contender.name} ${rounded(result.perSecond)}/s`)
      return result
    })
    const rates = pick(rounds, ({ perSecond }) => perSecond)
    const qps = medians(rates)
    const clientMicros = medians(pick(rounds, (round) => round.clientMicros))
    const rows = contenders.map((each): (string | number)[] => [
      each.name,
      qps[each.name] ?? 0,
      clientMicros[each.name] ?? 0,
      each.connections(),
      heapKb[each.name] ?? 0,
    ])
    return { rows, rates }
  } finally {
    await Promise.all(contenders.map((contender) => contender.close()))
  }
}

/** Half point reads, half lists of all rows, of tenants chosen evenly. */
async function load(
  world: BenchWorld,
  contender: OrmContender,
  { tenants, ms, seed }: { readonly tenants: number; readonly ms: number; readonly seed: number },
): Promise<Throughput> {
  const random = createRandom(seed)
  const result = await runClosedLoop(
    { concurrency: CONCURRENCY, ms, serverPid: world.serverPid },
    async () => {
      const tenant = pickTenant(world, Math.floor(random() * tenants))
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
async function touchAll(world: BenchWorld, contender: OrmContender, tenants: number): Promise<void> {
  let next = 0
  const work = async (): Promise<void> => {
    while (next < tenants) await contender.read(pickTenant(world, next++), 1)
  }
  await Promise.all(Array.from({ length: CONNECTIONS }, work))
}

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

/** Bytes that are in use, and not only not yet freed. */
async function usedHeap(): Promise<number> {
  collectGarbage()
  // What was closed before lets go of the rest.
  await sleep(100)
  collectGarbage()
  return process.memoryUsage().heapUsed
}
