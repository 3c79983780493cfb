/** Point reads of tenants that are in use all the time, by a login of their own and by one for all: what sealing costs. */
import { createTenancy } from 'tenantry'
import type { Bench } from './bench.ts'
import type { ReadRow } from './contenders/contender.ts'
import { runClosedLoop, WrongRow } from './support/closed-loop.ts'
import { makeTenantsOfKinds, type ModelTenant } from './support/model-tenants.ts'
import { createRandom } from './support/random.ts'
import { say } from './support/report.ts'
import { medians, ratioOf, takeTurns } from './support/rounds.ts'
import { rounded } from './support/statistics.ts'
import { ROWS } from './support/tenant-tables.ts'

/** Hot ones: as many as have two connections each. More of them take turns, which costs a connection a turn. */
const TENANTS = 8
const CONNECTIONS = 16
const CONCURRENCY = 32

const KINDS = {
  guarded: { model: 'schema', tier: 'guarded' },
  sealed: { model: 'schema', tier: 'sealed' },
} as const
type Kind = keyof typeof KINDS

/** `npm run -s bench -- sealed`. */
export const sealed: Bench = async (world, { quick }) => {
  say(`making ${TENANTS} tenants of each tier`)
  const tenants = await makeTenantsOfKinds(world, { guarded: TENANTS, sealed: TENANTS }, KINDS)
  const { appUrl, masterKey } = tenants
  const contenders = (Object.keys(KINDS) as Kind[]).map((name) => ({
    name,
    tenancy: createTenancy({ connection: appUrl, max: CONNECTIONS, masterKey }),
  }))
  // Where connections change hands all the time the figures tell of that, and not of a statement's cost.
  const opened: Record<string, number> = { guarded: 0, sealed: 0 }
  for (const { name, tenancy } of contenders) {
    tenancy.on('connection:open', () => (opened[name] = (opened[name] ?? 0) + 1))
  }
  const plan = quick
    ? { rounds: 9, roundMs: 700, warmMs: 2_000 }
    : { rounds: 9, roundMs: 3_000, warmMs: 8_000 }
  async function load(
    { name, tenancy }: (typeof contenders)[number],
    ms: number,
    seed: number,
  ): Promise<number> {
    const random = createRandom(seed)
    const all = tenants.of[name]
    const { perSecond, failed } = await runClosedLoop({ concurrency: CONCURRENCY, ms }, async () => {
      const tenant = all[Math.floor(random() * all.length)] as ModelTenant
      const { rows } = await tenancy
        .poolFor(tenant.id)
        .query<ReadRow>('select id, customer, amount from orders where id = $1', [
          1 + Math.floor(random() * ROWS),
        ])
      if (rows[0]?.customer !== tenant.key) throw new WrongRow(name, tenant.key, rows[0]?.customer)
    })
    if (failed > 0) throw new Error(`${failed} statements of ${name} tenants failed`)
    return perSecond
  }
  try {
    for (const [index, contender] of contenders.entries()) await load(contender, plan.warmMs, 1_000 + index)
    const rounds = await takeTurns(contenders, plan.rounds, async (contender, round) => {
      const perSecond = await load(contender, plan.roundMs, round)
      say(`round ${round + 1}: ${contender.name} ${rounded(perSecond)}/s`)
      return perSecond
    })
    const qps = medians(rounds)
    return {
      table: [['tier', 'reads/s'], ...contenders.map(({ name }): [string, number] => [name, qps[name] ?? 0])],
      figures: {
        tenants_of_each: TENANTS,
        connections: CONNECTIONS,
        concurrency: CONCURRENCY,
        rounds: plan.rounds,
        qps,
        connections_opened: opened,
      },
      ratio: { vs_guarded: ratioOf(rounds, 'sealed', 'guarded') },
    }
  } finally {
    await Promise.all(contenders.map(({ tenancy }) => tenancy.close()))
    await tenants.close()
  }
}
