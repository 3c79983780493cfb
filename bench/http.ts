/** The Express example for all tenants, against the same backend on one schema without Tenantry. */
import type { Bench } from './bench.ts'
import type { LoadOrder } from './http/load.ts'
import { startLoad, startServer } from './http/processes.ts'
import type { BenchWorld } from './support/bench-world.ts'
import { say } from './support/report.ts'
import { medians, pick, ratioOf, takeTurns } from './support/rounds.ts'
import { rounded } from './support/statistics.ts'

const CONNECTIONS = 16
const CLIENTS = 32

/** A backend and the hosts that it is asked by. */
interface Contender {
  readonly name: string
  readonly about: string
  readonly port: number
  readonly hosts: LoadOrder['hosts']
  stop(): Promise<void>
}

/** `npm run -s bench -- http`. */
export const http: Bench = async (world, { quick, only }) => {
  const plan = quick ? { rounds: 7, ms: 700, warmMs: 2_000 } : { rounds: 9, ms: 4_000, warmMs: 15_000 }
  const client = startLoad()
  const contenders: Contender[] = []
  try {
    const tenantry = await startTenantry(world)
    contenders.push(tenantry, await startBare(world))
    // What of the difference is Tenantry's code, and what is the number of tenants.
    const one = {
      ...tenantry,
      name: 'tenantry_one',
      about: 'the same backend, one tenant',
      hosts: tenantry.hosts.slice(0, 1),
    }
    const measured = [...contenders, one].filter(({ name }) => only === undefined || only.includes(name))
    const load = async ({ name, port, hosts }: Contender, ms: number, seed: number) => {
      const result = await client.run({ port, hosts, connections: CLIENTS, ms, seed })
      say(`${name} ${rounded(result.perSecond)} requests/s`)
      return result
    }
    for (const [index, contender] of measured.entries()) await load(contender, plan.warmMs, 1_000 + index)
    const results = await takeTurns(measured, plan.rounds, (contender, round) =>
      load(contender, plan.ms, round),
    )
    const rates = pick(results, ({ perSecond }) => perSecond)
    const rps = medians(rates)
    return {
      table: [
        ['backend', 'what', 'requests/s'],
        ...measured.map(({ name, about }) => [name, about, rps[name] ?? 0]),
      ],
      figures: { connections: CONNECTIONS, clients: CLIENTS, rounds: plan.rounds, rps },
      ratio: {
        vs_bare: ratioOf(rates, 'tenantry', 'bare'),
        one_tenant_vs_bare: ratioOf(rates, 'tenantry_one', 'bare'),
      },
    }
  } finally {
    await Promise.all([client.stop(), ...contenders.map((contender) => contender.stop())])
  }
}

async function startTenantry({ appUrl, adminUrl, tenants }: BenchWorld): Promise<Contender> {
  const { port, stop } = await startServer('examples/orders-express/server.ts', {
    DATABASE_URL: appUrl,
    TENANTRY_ADMIN_URL: adminUrl,
    POOL_MAX: String(CONNECTIONS),
  })
  const hosts = tenants.map(({ key }) => [`${key}.localhost:${port}`, key] as const)
  return { name: 'tenantry', about: 'examples/orders-express, all tenants by Zipf', port, hosts, stop }
}

async function startBare({ superuserUrl }: BenchWorld): Promise<Contender> {
  const { port, stop } = await startServer('bench/http/bare-server.ts', {
    DATABASE_URL: superuserUrl,
    POOL_MAX: String(CONNECTIONS),
  })
  const hosts = [[`localhost:${port}`, 'bare']] as const
  return { name: 'bare', about: 'the same on one schema, without Tenantry', port, hosts, stop }
}
