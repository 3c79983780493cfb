/** Contenders that read rows, compared over Zipf-distributed and over uniform tenants. */
import type { ReadContender } from '../contenders/contender.ts'
import { type BenchWorld, pickTenant } from './bench-world.ts'
import { runClosedLoop, type Throughput, WrongRow } from './closed-loop.ts'
import { type Choose, createRandom, uniform, zipf } from './random.ts'
import { say } from './report.ts'
import { medians, pick, ratioOf, type Rounds, takeTurns } from './rounds.ts'
import { rounded } from './statistics.ts'
import { ROWS, TABLES } from './tenant-tables.ts'

/** How tenants are chosen. */
export type Distribution = 'zipf' | 'uniform'

/** How long to measure. */
export interface ReadPlan {
  readonly rounds: number
  readonly roundMs: number
  /** Before the first round, for each contender and distribution. */
  readonly warmMs: Readonly<Record<Distribution, number>>
  readonly concurrency: number
}

/** Statements a second, and how contenders compare. */
export interface ReadFindings {
  readonly qps: Readonly<Record<Distribution, Readonly<Record<string, number>>>>
  /** Microseconds of the client's processor for one statement, over Zipf-distributed tenants. */
  readonly clientMicros: Readonly<Record<string, number>>
  /** The same of the server's. */
  readonly serverMicros: Readonly<Record<string, number>>
  /** Statements that failed in all rounds, by contender; those without failures are left out. */
  readonly failed: Readonly<Record<string, number>>
  ratio(distribution: Distribution, a: string, b: string): number | undefined
}

/** Warms every contender up, then measures all in turns. @throws WrongRow */
export async function compareReads(
  world: Pick<BenchWorld, 'tenants' | 'serverPid'>,
  contenders: readonly ReadContender[],
  plan: ReadPlan,
): Promise<ReadFindings> {
  const { serverPid } = world
  const count = world.tenants.length
  const choices: Record<Distribution, Choose> = { zipf: zipf(count), uniform: uniform(count) }
  const failed: Record<string, number> = {}

  async function load(
    contender: ReadContender,
    choose: Choose,
    ms: number,
    seed: number,
  ): Promise<Throughput> {
    const random = createRandom(seed)
    const result = await runClosedLoop({ concurrency: plan.concurrency, ms, serverPid }, async () => {
      const tenant = pickTenant(world, choose(random))
      const table = TABLES[Math.floor(random() * TABLES.length)] as string
      const customer = await contender.read(tenant, table, 1 + Math.floor(random() * ROWS))
      if (customer !== tenant.key) throw new WrongRow(contender.name, tenant.key, customer)
    })
    if (result.failed > 0) failed[contender.name] = (failed[contender.name] ?? 0) + result.failed
    return result
  }

  async function measure(distribution: Distribution): Promise<Rounds<Throughput>> {
    const choose = choices[distribution]
    for (const [index, contender] of contenders.entries()) {
      const { perSecond } = await load(contender, choose, plan.warmMs[distribution], 1_000 + index)
      say(`${distribution}, warm-up: ${contender.name} ${rounded(perSecond)}/s`)
    }
    return takeTurns(contenders, plan.rounds, async (contender, round) => {
      const result = await load(contender, choose, plan.roundMs, round)
      say(`${distribution}, round ${round + 1}: ${contender.name} ${rounded(result.perSecond)}/s`)
      return result
    })
  }

  const [overZipf, overUniform] = [await measure('zipf'), await measure('uniform')]
  const rate = ({ perSecond }: Throughput): number => perSecond
  const rounds = { zipf: pick(overZipf, rate), uniform: pick(overUniform, rate) }
  return {
    qps: { zipf: medians(rounds.zipf), uniform: medians(rounds.uniform) },
    clientMicros: medians(pick(overZipf, (round) => round.clientMicros)),
    serverMicros: medians(pick(overZipf, (round) => round.serverMicros)),
    failed,
    ratio: (distribution, a, b) => ratioOf(rounds[distribution], a, b),
  }
}

/** Heading and one row for each contender. */
export function readTable(
  { qps, clientMicros, serverMicros, failed }: ReadFindings,
  contenders: readonly ReadContender[],
): (string | number)[][] {
  const rows = contenders.map(({ name, about }) => [
    name,
    about,
    qps.zipf[name] ?? 0,
    qps.uniform[name] ?? 0,
    clientMicros[name] ?? 0,
    serverMicros[name] ?? 0,
    failed[name] ?? 0,
  ])
  return [['contender', 'what', 'zipf q/s', 'uniform q/s', 'client µs', 'server µs', 'failed'], ...rows]
}
