/** What backends grow to when every tenant's every table was used, and whether they go on growing. */
import { createTenancy } from 'tenantry'
import type { Bench } from './bench.ts'
import { type ReadRow, readText } from './contenders/contender.ts'
import { readBackendMemory } from './support/backend-memory.ts'
import { type BenchWorld, pickTenant } from './support/bench-world.ts'
import { runClosedLoop, WrongRow } from './support/closed-loop.ts'
import { createRandom, shuffled, uniform, zipf } from './support/random.ts'
import { say } from './support/report.ts'
import { rounded } from './support/statistics.ts'
import { ROWS, TABLES } from './support/tenant-tables.ts'

const CONNECTIONS = 16
const CONCURRENCY = 32
const LOGIN = 'tenantry_app'

/** `npm run -s bench -- memory`. */
export const memory: Bench = async (world, { quick }) => {
  const more = quick ? 40_000 : 100_000
  const tenancy = createTenancy({ connection: world.appUrl, max: CONNECTIONS })
  let closed = 0
  tenancy.on('connection:close', () => (closed += 1))
  const random = createRandom(1)
  const read = async (index: number, table: string): Promise<void> => {
    const tenant = pickTenant(world, index)
    const id = 1 + Math.floor(random() * ROWS)
    const { rows } = await tenancy.poolFor(tenant.id).query<ReadRow>(readText(table), [id])
    if (rows[0]?.customer !== tenant.key) throw new WrongRow('tenantry', tenant.key, rows[0]?.customer)
  }
  const measure = async (what: string, statements: number, task: () => Promise<void>) => {
    const loop = { concurrency: CONCURRENCY, ms: Number.POSITIVE_INFINITY, tasks: statements }
    const { perSecond, failed } = await runClosedLoop(loop, task)
    if (failed > 0) throw new Error(`${failed} statements failed`)
    const { backends, mb } = await readBackendMemory(world.superuserUrl, LOGIN)
    say(`${what}: ${rounded(mb)} MB in ${backends} backends, ${rounded(perSecond)} statements/s`)
    return { what, statements, backends, mb, perSecond }
  }
  try {
    const touched = await measure(
      'every table of every tenant',
      touches(world).length,
      nextTouch(world, read),
    )
    // Half by Zipf and half uniform: busy tenants and rare ones, as in life.
    const [byZipf, evenly] = [zipf(world.tenants.length), uniform(world.tenants.length)]
    const later = await measure(`${more} statements later`, more, () => {
      const choose = random() < 0.5 ? byZipf : evenly
      return read(choose(random), TABLES[Math.floor(random() * TABLES.length)] ?? 'orders')
    })
    const rows = [touched, later].map((row) => [
      row.what,
      row.statements,
      row.backends,
      rounded(row.mb),
      rounded(row.perSecond),
    ])
    return {
      table: [['after', 'statements', 'backends', 'MB in all', 'statements/s'], ...rows],
      figures: {
        connections: CONNECTIONS,
        statements_more: more,
        // At either moment: what the machine must have.
        mb_total: rounded(Math.max(touched.mb, later.mb)),
        mb_touched: rounded(touched.mb),
        growth_pct: rounded((later.mb / touched.mb - 1) * 100, 1),
        connections_closed: closed,
      },
      ratio: {},
    }
  } finally {
    await tenancy.close()
  }
}

/** Every table of every tenant once, in no order. */
function touches({ tenants }: BenchWorld): number[] {
  return shuffled(tenants.length * TABLES.length, createRandom(2))
}

function nextTouch(
  world: BenchWorld,
  read: (tenant: number, table: string) => Promise<void>,
): () => Promise<void> {
  const order = touches(world)
  let next = 0
  return () => {
    const place = order[next++] ?? 0
    return read(Math.floor(place / TABLES.length), TABLES[place % TABLES.length] ?? 'orders')
  }
}
