/** Pools without a tenancy around them: who gets which connection, and no more. */
import { createEvents, type Events } from '../../src/core/events.ts'
import type { ConnectionSettings } from '../../src/gateway/connection/connection-settings.ts'
import type { Asker } from '../../src/gateway/pool/connection-pool.ts'
import type { DatabasePools, DatabasePoolsOptions } from '../../src/gateway/pool/database-pools.ts'
import { RepeatedTexts } from '../../src/gateway/connection/statement-names.ts'

/** Bounds as a tenancy has them by default. */
export const BOUNDS: DatabasePoolsOptions = {
  max: 10,
  waitTimeoutMs: 10_000,
  idleTimeoutMs: 30_000,
  maxWaiting: 10_000,
  maxAgeMs: 1_800_000,
  maxMemoryMb: 128,
}

/** How connections to this database are opened. */
export function settingsFor(url: string, events: Events = createEvents()): ConnectionSettings {
  const config = { connectionString: url }
  return {
    config,
    named: true,
    repeated: new RepeatedTexts(),
    forSharedTables: (text) => text,
    events,
    statementTimeoutMs: 60_000,
  }
}

/** A tenant like all others, in the catalog's database or another one. */
export function asker(tenantId: string, database?: string): Asker {
  return { tenantId, weight: 1, maxConnections: Infinity, database }
}

/** One statement, and the backend that ran it. */
export async function run(
  pools: Pick<DatabasePools, 'acquire' | 'release'>,
  who: Asker,
  text = 'select 1',
): Promise<string> {
  const connection = await pools.acquire(who)
  try {
    const { rows } = await connection.send({ text: `select pg_backend_pid()::text as pid from (${text}) _` })
    return (rows as { pid: string }[])[0]?.pid ?? ''
  } finally {
    pools.release(connection)
  }
}
