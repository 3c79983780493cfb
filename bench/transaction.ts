/** BEGIN, three statements, COMMIT: by Tenantry, and by hand with the schema before every table and no isolation. */
import { createTenancy } from 'tenantry'
import type { Bench } from './bench.ts'
import { openBarePool } from './support/bare-pool.ts'
import { type BenchTenant, type BenchWorld, pickTenant } from './support/bench-world.ts'
import { runClosedLoop, WrongRow } from './support/closed-loop.ts'
import { createRandom, type Random, zipf } from './support/random.ts'
import { say } from './support/report.ts'
import { medians, pick, ratioOf, takeTurns } from './support/rounds.ts'
import { rounded } from './support/statistics.ts'
import { ROWS } from './support/tenant-tables.ts'

const CONNECTIONS = 16
const CONCURRENCY = 32

/** One way to run the transaction; the answer says whose row was read. */
interface Contender {
  readonly name: string
  readonly about: string
  run(tenant: BenchTenant, id: number): Promise<string | undefined>
  close(): Promise<void>
}

/** `npm run -s bench -- transaction`. */
export const transaction: Bench = async (world, { quick, only }) => {
  const contenders = contendersOf(world).filter(({ name }) => only === undefined || only.includes(name))
  const plan = quick ? { rounds: 7, ms: 600, warmMs: 1_000 } : { rounds: 9, ms: 4_000, warmMs: 15_000 }
  const choose = zipf(world.tenants.length)
  const load = async (contender: Contender, ms: number, seed: number) => {
    const random = createRandom(seed)
    const result = await runClosedLoop({ concurrency: CONCURRENCY, ms, serverPid: world.serverPid }, () =>
      once(contender, pickTenant(world, choose(random)), random),
    )
    say(`${contender.name} ${rounded(result.perSecond)} transactions/s`)
    return result
  }
  try {
    for (const [index, contender] of contenders.entries()) await load(contender, plan.warmMs, 1_000 + index)
    const results = await takeTurns(contenders, plan.rounds, (contender, round) =>
      load(contender, plan.ms, round),
    )
    const rates = pick(results, ({ perSecond }) => perSecond)
    const tps = medians(rates)
    const clientMicros = medians(pick(results, (round) => round.clientMicros))
    const serverMicros = medians(pick(results, (round) => round.serverMicros))
    return {
      table: [
        ['contender', 'what', 'transactions/s', 'client µs', 'server µs'],
        ...contenders.map(({ name, about }) => [
          name,
          about,
          tps[name] ?? 0,
          clientMicros[name] ?? 0,
          serverMicros[name] ?? 0,
        ]),
      ],
      figures: {
        connections: CONNECTIONS,
        concurrency: CONCURRENCY,
        rounds: plan.rounds,
        tps,
        client_micros: clientMicros,
        server_micros: serverMicros,
      },
      ratio: {
        vs_hand: ratioOf(rates, 'tenantry', 'hand'),
        client_vs_hand: ratioOf(rates, 'tenantry_client', 'hand'),
      },
    }
  } finally {
    await Promise.all(contenders.map((contender) => contender.close()))
  }
}

async function once(contender: Contender, tenant: BenchTenant, random: Random): Promise<void> {
  const customer = await contender.run(tenant, 1 + Math.floor(random() * ROWS))
  if (customer !== tenant.key) throw new WrongRow(contender.name, tenant.key, customer)
}

interface Client {
  query(text: string, values?: unknown[]): Promise<{ rows: { customer: string }[] }>
}

async function threeStatements(client: Client, prefix: string, id: number): Promise<string | undefined> {
  const { rows } = await client.query(`select id, customer, amount from ${prefix}orders where id = $1`, [id])
  await client.query(`update ${prefix}invoices set amount = $2 where id = $1`, [id, id])
  await client.query(`select id, customer, amount from ${prefix}invoices where id = $1`, [id])
  return rows[0]?.customer
}

function contendersOf({ appUrl, superuserUrl }: BenchWorld): Contender[] {
  const tenancy = createTenancy({ connection: appUrl, max: CONNECTIONS })
  const pool = openBarePool(superuserUrl, CONNECTIONS)
  return [
    {
      name: 'tenantry',
      about: 'run(tenant), tenancy.transaction(fn)',
      run: ({ id: tenantId }, id) =>
        tenancy.run(tenantId, () => tenancy.transaction((client) => threeStatements(client, '', id))),
      close: () => tenancy.close(),
    },
    {
      name: 'tenantry_client',
      about: 'poolFor(tenant).connect(), begin … commit',
      async run({ id: tenantId }, id) {
        const client = await tenancy.poolFor(tenantId).connect()
        try {
          await client.query('begin')
          const customer = await threeStatements(client, '', id)
          await client.query('commit')
          return customer
        } finally {
          client.release()
        }
      },
      close: () => Promise.resolve(),
    },
    {
      name: 'hand',
      about: 'pg.Pool, schema.table by hand, no isolation',
      async run({ schema }, id) {
        const client = await pool.connect()
        try {
          await client.query('begin')
          const customer = await threeStatements(client, `${schema}.`, id)
          await client.query('commit')
          return customer
        } finally {
          client.release()
        }
      },
      close: () => pool.end(),
    },
  ]
}
