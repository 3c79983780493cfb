/** One runner at a time: the lock, who holds it, and waiting for it. */
import { hostname } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import { quoteLiteral } from '../../sql/quote.ts'

/** The lock of node-pg-migrate's own runner (PG_MIGRATE_LOCK_ID in its source): the two exclude each other. */
const RUNNER_LOCK = '7241865325823964'

/** A runner at work, as the server knows it. */
export interface Runner {
  /** Of its backend in PostgreSQL: `pg_terminate_backend(pid)` ends it. */
  readonly pid: number
  /** What it calls itself; Tenantry says host and process id. */
  readonly application: string
  /** The address that it came from; `undefined` where it is a socket of the same machine. */
  readonly address: string | undefined
  readonly since: Date
}

export interface LockOptions {
  /** False: TNY406 at once where somebody else is at work. */
  readonly wait: boolean
  readonly signal?: AbortSignal | undefined
  /** Told when it begins to wait, and whenever somebody else was faster. */
  readonly onWaiting?: ((runner: Runner | undefined) => void) | undefined
}

const POLL_MS = 500

/**
 * Runs `fn` while no other runner is at work on this database, on the session that holds the lock. Where the process or the
 * connection dies, the lock is free.
 * @returns `undefined` where the signal came while it waited.
 * @throws TNY406
 */
export function asOnlyRunner<T>(
  db: AdminDatabase,
  { wait, signal, onWaiting }: LockOptions,
  fn: (session: Queryable) => Promise<T>,
): Promise<T | undefined> {
  return db.session(async (session) => {
    // Names no tenant: everybody on the server can read it.
    const name = `tenantry migrate (${hostname().slice(0, 32)}, process ${process.pid})`
    await session.query(`set application_name = ${quoteLiteral(name)}`)
    let seen: number | undefined
    // A statement that waited for the lock would itself be waited for by CREATE INDEX CONCURRENTLY of the other runner.
    while (!(await tryLock(session))) {
      const runner = await findRunner(session)
      if (!wait) throw new TenantryError('TNY406', { params: { runner: describeRunner(runner) } })
      if (seen === undefined || (runner !== undefined && runner.pid !== seen)) onWaiting?.(runner)
      seen = runner?.pid ?? seen ?? 0
      await sleep(POLL_MS, undefined, { signal }).catch(() => undefined)
      if (signal?.aborted === true) return undefined
    }
    try {
      return await fn(session)
    } finally {
      // The server would do it when it notices that the session is closed, which may be after the next `up` asks.
      await session.query(`select pg_advisory_unlock(${RUNNER_LOCK})`).catch(() => undefined)
    }
  })
}

/** In words: `tenantry migrate (host, process 17) from 10.0.0.7, since 20:15:03 UTC (backend 4711)`. */
export function describeRunner(runner: Runner | undefined): string {
  if (runner === undefined) return 'a process that is gone by now'
  const { application, address, since, pid } = runner
  const from = address === undefined ? '' : ` from ${address}`
  const name = application === '' ? 'a process without a name' : application
  return `${name}${from}, since ${since.toISOString().slice(11, 19)} UTC (backend ${pid})`
}

async function tryLock(session: Queryable): Promise<boolean> {
  const { rows } = await session.query<{ obtained: string }>(
    `select pg_try_advisory_lock(${RUNNER_LOCK})::text as obtained`,
  )
  return rows[0]?.obtained === 'true'
}

/** A lock on one bigint shows as its two halves, with objsubid 1 (PostgreSQL manual, pg_locks). */
const HOLDER = `
  select json_build_object('pid', a.pid, 'application', coalesce(a.application_name, ''), 'address', host(a.client_addr),
    'since', (extract(epoch from coalesce(a.backend_start, now())) * 1000)::bigint)::text as runner
  from pg_locks l join pg_stat_activity a on a.pid = l.pid
  where l.locktype = 'advisory' and l.granted and l.objsubid = 1
    and l.database = (select oid from pg_database where datname = current_database())
    and (l.classid::bigint << 32) | l.objid::bigint = ${RUNNER_LOCK}`

async function findRunner(session: Queryable): Promise<Runner | undefined> {
  const { rows } = await session.query<{ runner: string }>(HOLDER)
  if (rows[0] === undefined) return undefined
  const { address, since, ...runner } = JSON.parse(rows[0].runner) as {
    pid: number
    application: string
    address: string | null
    since: number
  }
  return { ...runner, address: address ?? undefined, since: new Date(since) }
}
