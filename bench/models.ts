/** The same reads in each model, against SQL that is written by hand for it: what the choice of a model costs. */
import type pg from 'pg'
import { createTenancy } from 'tenantry'
import type { Bench } from './bench.ts'
import type { ReadRow } from './contenders/contender.ts'
import { openBarePool } from './support/bare-pool.ts'
import { runClosedLoop, type Throughput, WrongRow } from './support/closed-loop.ts'
import {
  makeModelTenants,
  type ModelKind,
  MODELS,
  type ModelTenant,
  type ModelTenants,
} from './support/model-tenants.ts'
import { createRandom } from './support/random.ts'
import { say } from './support/report.ts'
import { medians, pick, ratioOf, type Rounds, takeTurns } from './support/rounds.ts'
import { rounded } from './support/statistics.ts'
import { ROWS } from './support/tenant-tables.ts'

/**
 * Databases are few where they are chosen at all: with as many as connections, statements would wait for a place more
 * than for an answer.
 */
const TENANTS = { shared: 200, schema: 200, database: 8, database_guarded: 8 }
const QUICK_TENANTS = { shared: 30, schema: 30, database: 8, database_guarded: 8 }
const CONNECTIONS = 16
const CONCURRENCY = 32
const LIST = 10

/** `npm run -s bench -- models`. */
export const models: Bench = async (world, { quick, only }) => {
  const counts = quick ? QUICK_TENANTS : TENANTS
  say('making tenants of each model')
  const tenants = await makeModelTenants(world, counts)
  const contenders = MODELS.flatMap((model) => [
    tenantryReader(tenants, model),
    handReader(tenants, model),
  ]).filter(({ name }) => only === undefined || only.includes(name))
  const plan = quick ? { rounds: 7, roundMs: 300, warmMs: 800 } : { rounds: 9, roundMs: 3_000, warmMs: 8_000 }
  async function load(contender: Reader, ms: number, seed: number): Promise<Throughput> {
    const random = createRandom(seed)
    const all = tenants.of[contender.model]
    const result = await runClosedLoop(
      { concurrency: CONCURRENCY, ms, serverPid: world.serverPid },
      async () => {
        const tenant = all[Math.floor(random() * all.length)] as ModelTenant
        const isPoint = random() < 0.5
        const rows = await (isPoint
          ? contender.read(tenant, 1 + Math.floor(random() * ROWS))
          : contender.list(tenant))
        const wrong = rows.find(({ customer }) => customer !== tenant.key)
        if (wrong !== undefined || rows.length !== (isPoint ? 1 : LIST)) {
          throw new WrongRow(contender.name, tenant.key, wrong?.customer)
        }
      },
    )
    const { failed } = result
    if (failed > 0) throw new Error(`${failed} statements of ${contender.name} failed`)
    return result
  }
  try {
    for (const [index, contender] of contenders.entries()) await load(contender, plan.warmMs, 1_000 + index)
    const rounds = await takeTurns(contenders, plan.rounds, async (contender, round) => {
      const result = await load(contender, plan.roundMs, round)
      say(`round ${round + 1}: ${contender.name} ${rounded(result.perSecond)}/s`)
      return result
    })
    const rates = pick(rounds, ({ perSecond }) => perSecond)
    const qps = medians(rates)
    const clientMicros = medians(pick(rounds, (round) => round.clientMicros))
    const serverMicros = medians(pick(rounds, (round) => round.serverMicros))
    return {
      table: [
        ['contender', 'reads/s', 'client µs', 'server µs'],
        ...contenders.map(({ name }): (string | number)[] => [
          name,
          qps[name] ?? 0,
          clientMicros[name] ?? 0,
          serverMicros[name] ?? 0,
        ]),
      ],
      figures: {
        tenants_of_each: counts,
        connections: CONNECTIONS,
        concurrency: CONCURRENCY,
        rounds: plan.rounds,
        qps,
        client_micros: clientMicros,
        server_micros: serverMicros,
      },
      ratio: ratiosOf(rates),
    }
  } finally {
    await Promise.all(contenders.map((contender) => contender.close()))
    await tenants.close()
  }
}

function ratiosOf(rounds: Rounds): Record<string, number | undefined> {
  return Object.fromEntries(MODELS.map((model) => [model, ratioOf(rounds, model, `${model}_by_hand`)]))
}

interface Reader {
  readonly name: string
  readonly model: ModelKind
  /** One row by its id. */
  read(tenant: ModelTenant, id: number): Promise<ReadRow[]>
  /** The newest ten. */
  list(tenant: ModelTenant): Promise<ReadRow[]>
  close(): Promise<void>
}

const COLUMNS = 'select id, customer, amount'

function tenantryReader({ appUrl, masterKey }: ModelTenants, model: ModelKind): Reader {
  const tenancy = createTenancy({ connection: appUrl, max: CONNECTIONS, masterKey })
  const ask = async ({ id }: ModelTenant, text: string, values: unknown[]): Promise<ReadRow[]> =>
    (await tenancy.poolFor(id).query<ReadRow>(text, values)).rows
  return {
    name: model,
    model,
    read: (tenant, id) => ask(tenant, `${COLUMNS} from orders where id = $1`, [id]),
    list: (tenant) => ask(tenant, `${COLUMNS} from orders order by id desc limit $1`, [LIST]),
    close: () => tenancy.close(),
  }
}

/** As people write it without a library, by a login that no right is checked of: the fastest that it can be. */
function handReader({ superuserUrl }: ModelTenants, model: ModelKind): Reader {
  const pools = new Map<string, pg.Pool>()
  function poolOf(database: string | undefined): pg.Pool {
    const known = pools.get(database ?? '')
    if (known !== undefined) return known
    const url =
      database === undefined
        ? superuserUrl
        : Object.assign(new URL(superuserUrl), { pathname: `/${database}` }).href
    const pool = openBarePool(url, database === undefined ? CONNECTIONS : CONNECTIONS / TENANTS.database)
    pools.set(database ?? '', pool)
    return pool
  }
  const where = model === 'shared' ? 'where tenant_id = $2' : ''
  const ask = async (tenant: ModelTenant, text: string, value: number): Promise<ReadRow[]> => {
    const values = model === 'shared' ? [value, tenant.id] : [value]
    return (await poolOf(tenant.home.database).query<ReadRow>(text, values)).rows
  }
  const table = ({ home }: ModelTenant): string => `${home.schema}.orders`
  return {
    name: `${model}_by_hand`,
    model,
    read: (tenant, id) =>
      ask(tenant, `${COLUMNS} from ${table(tenant)} ${where === '' ? 'where' : `${where} and`} id = $1`, id),
    list: (tenant) =>
      ask(tenant, `${COLUMNS} from ${table(tenant)} ${where} order by id desc limit $1`, LIST),
    async close() {
      await Promise.all([...pools.values()].map((pool) => pool.end()))
    },
  }
}
