/**
 * The Express example for all tenants, against the same backend on one schema without Tenantry; and what Tenantry takes of a
 * small request, under each framework.
 */
import type { Bench } from './bench.ts'
import { measureFrameworks } from './http/frameworks.ts'
import { type Contender, startLoad, startServer } from './http/processes.ts'
import type { BenchWorld } from './support/bench-world.ts'
import { say } from './support/report.ts'
import { medians, pick, ratioOf, takeTurns } from './support/rounds.ts'
import { rounded } from './support/statistics.ts'

const CONNECTIONS = 16
const CLIENTS = 32

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
    const load = async ({ name, port, pid, hosts }: Contender, ms: number, seed: number) => {
      const result = await client.run({ port, pid, hosts, connections: CLIENTS, ms, seed })
      say(`${name} ${rounded(result.perSecond)} requests/s`)
      return result
    }
    for (const [index, contender] of measured.entries()) await load(contender, plan.warmMs, 1_000 + index)
    const results = await takeTurns(measured, plan.rounds, (contender, round) =>
      load(contender, plan.ms, round),
    )
    // Done for now: what they keep in memory and in the database would be in the way of the others.
    await Promise.all(contenders.splice(0).map((contender) => contender.stop()))
    const small = await measureFrameworks(world, {
      connections: CONNECTIONS,
      rounds: plan.rounds,
      ms: plan.ms / 2,
      warmMs: plan.warmMs / 2,
      only,
      load,
    })
    const rates = pick(results, ({ perSecond }) => perSecond)
    const rps = medians(rates)
    const cpu = medians(pick(results, ({ serverMicros }) => serverMicros))
    return {
      table: [
        ['backend', 'requests/s', 'server µs', 'what'],
        ...measured.map(({ name, about }) => [name, rps[name] ?? 0, cpu[name] ?? 0, about]),
        ...Object.entries(small.rps).map(([name, rate]) => [
          name,
          rate,
          small.cpuMicros[name] ?? 0,
          name in small.overheadPct ? `one query; Tenantry takes ${small.overheadPct[name]} %` : 'one query',
        ]),
      ],
      figures: {
        connections: CONNECTIONS,
        clients: CLIENTS,
        rounds: plan.rounds,
        rps: { ...rps, ...small.rps },
        server_us: { ...cpu, ...small.cpuMicros },
        overhead_pct: small.overheadPct,
      },
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
  const server = await startServer('examples/orders-express/server.ts', {
    DATABASE_URL: appUrl,
    TENANTRY_ADMIN_URL: adminUrl,
    POOL_MAX: String(CONNECTIONS),
  })
  const hosts = tenants.map(({ key }) => [`${key}.localhost:${server.port}`, key] as const)
  return { ...server, name: 'tenantry', about: 'examples/orders-express, all tenants by Zipf', hosts }
}

async function startBare({ superuserUrl }: BenchWorld): Promise<Contender> {
  const server = await startServer('bench/http/bare-server.ts', {
    DATABASE_URL: superuserUrl,
    POOL_MAX: String(CONNECTIONS),
  })
  const hosts = [[`localhost:${server.port}`, 'bare']] as const
  return { ...server, name: 'bare', about: 'the same on one schema, without Tenantry', hosts }
}
