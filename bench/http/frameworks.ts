/** Tenantry's share of a request that runs one query: each framework with and without it, on the same tenants. */
import type { Throughput } from '../support/closed-loop.ts'
import type { BenchWorld } from '../support/bench-world.ts'
import { medians, pick, ratioOf, type Rounds, takeTurns } from '../support/rounds.ts'
import { rounded } from '../support/statistics.ts'
import { type Contender, startServer } from './processes.ts'

const FRAMEWORKS = ['express', 'fastify', 'hono'] as const

/** How it is measured; `load` loads one contender and tells what came of it. */
export interface FrameworkPlan {
  readonly connections: number
  readonly rounds: number
  readonly ms: number
  readonly warmMs: number
  readonly only: readonly string[] | undefined
  load(contender: Contender, ms: number, seed: number): Promise<Throughput>
}

/** By framework; those that were not measured are absent. */
export interface FrameworkShares {
  /** How many percent fewer requests are served with Tenantry. */
  readonly overheadPct: Readonly<Record<string, number>>
  /** Processor time of the server's process for a request, in microseconds. */
  readonly cpuMicros: Readonly<Record<string, number>>
  /** Requests a second. */
  readonly rps: Readonly<Record<string, number>>
}

/** One framework after the other: two servers each, which take turns. */
export async function measureFrameworks(world: BenchWorld, plan: FrameworkPlan): Promise<FrameworkShares> {
  const shares = { overheadPct: {}, cpuMicros: {}, rps: {} }
  for (const framework of FRAMEWORKS) {
    const rounds = await measure(world, plan, framework)
    const rates = pick(rounds, ({ perSecond }) => perSecond)
    const ratio = ratioOf(rates, framework, bareOf(framework))
    if (ratio !== undefined) Object.assign(shares.overheadPct, { [framework]: rounded((1 - ratio) * 100, 1) })
    Object.assign(shares.cpuMicros, medians(pick(rounds, ({ serverMicros }) => serverMicros)))
    Object.assign(shares.rps, medians(rates))
  }
  return shares
}

async function measure(
  world: BenchWorld,
  { connections, rounds, ms, warmMs, only, load }: FrameworkPlan,
  framework: string,
): Promise<Rounds<Throughput>> {
  const contenders: Contender[] = []
  try {
    for (const name of [framework, bareOf(framework)]) {
      if (only !== undefined && !only.includes(name)) continue
      contenders.push(await start(world, { framework, name, connections }))
    }
    for (const [index, contender] of contenders.entries()) await load(contender, warmMs, 2_000 + index)
    return await takeTurns(contenders, rounds, (contender, round) => load(contender, ms, round))
  } finally {
    await Promise.all(contenders.map((contender) => contender.stop()))
  }
}

async function start(
  { appUrl, superuserUrl, tenants }: BenchWorld,
  { framework, name, connections }: { framework: string; name: string; connections: number },
): Promise<Contender> {
  const isBare = name !== framework
  const server = await startServer(`bench/http/${framework}-server.ts`, {
    DATABASE_URL: isBare ? superuserUrl : appUrl,
    WITH_TENANTRY: isBare ? '0' : '1',
    POOL_MAX: String(connections),
  })
  const about = isBare ? 'without it, the schema by hand' : 'one route that runs one query'
  const hosts = tenants.map(({ key }) => [`${key}.localhost:${server.port}`, key] as const)
  return { ...server, name, about, hosts }
}

function bareOf(framework: string): string {
  return `${framework}_bare`
}
