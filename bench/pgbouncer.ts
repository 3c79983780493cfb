/** Point reads through PgBouncer in transaction mode: Tenantry against a bare pool through the same pooler. */
import { findNamingPgBouncer } from '../dev/pgbouncer-program.ts'
import { startPgBouncer } from '../dev/pgbouncer.ts'
import type { Bench } from './bench.ts'
import { barePgReads } from './contenders/bare-pg.ts'
import { setLocalReads } from './contenders/set-local.ts'
import { tenantryReads } from './contenders/tenantry.ts'
import { compareReads, readTable } from './support/compare-reads.ts'
import { say } from './support/report.ts'

const SERVER_CONNECTIONS = 8
const CLIENT_CONNECTIONS = 16
const CONCURRENCY = 32
/** PgBouncer's own default. */
const PREPARED_STATEMENTS = 200

/** `npm run -s bench -- pgbouncer`. */
export const pgbouncer: Bench = async (world, { quick, only }) => {
  const pooler = await startPgBouncer(findNamingPgBouncer(say), {
    logins: [world.appUrl, world.superuserUrl],
    poolSize: SERVER_CONNECTIONS,
    preparedStatements: PREPARED_STATEMENTS,
  })
  const [appUrl, superuserUrl] = [pooler.through(world.appUrl), pooler.through(world.superuserUrl)]
  const [max, direct] = [CLIENT_CONNECTIONS, world.appUrl]
  const contenders = [
    tenantryReads({ connection: appUrl, direct, pooler: 'pgbouncer-prepared', max }),
    tenantryReads({ connection: appUrl, direct, pooler: 'pgbouncer', max }, 'tenantry_unprepared'),
    barePgReads(superuserUrl, max),
    setLocalReads(appUrl, max),
  ].filter(({ name }) => only === undefined || only.includes(name))
  const plan = quick
    ? { rounds: 7, roundMs: 500, warmMs: { zipf: 1_500, uniform: 500 }, concurrency: CONCURRENCY }
    : { rounds: 7, roundMs: 3_000, warmMs: { zipf: 15_000, uniform: 8_000 }, concurrency: CONCURRENCY }
  try {
    const reads = await compareReads(world, contenders, plan)
    return {
      table: readTable(reads, contenders),
      figures: {
        pooler: pooler.version,
        server_connections: SERVER_CONNECTIONS,
        client_connections: CLIENT_CONNECTIONS,
        concurrency: CONCURRENCY,
        rounds: plan.rounds,
        qps: reads.qps,
        client_micros: reads.clientMicros,
        server_micros: reads.serverMicros,
        failed: reads.failed,
        ratio_unprepared: reads.ratio('zipf', 'tenantry', 'tenantry_unprepared'),
        ratio_uniform: { vs_bare_pg: reads.ratio('uniform', 'tenantry', 'bare_pg') },
      },
      ratio: {
        vs_bare_pg: reads.ratio('zipf', 'tenantry', 'bare_pg'),
        vs_naive: reads.ratio('zipf', 'tenantry', 'naive'),
      },
    }
  } finally {
    await Promise.all(contenders.map((contender) => contender.close()))
    await pooler.stop()
  }
}
