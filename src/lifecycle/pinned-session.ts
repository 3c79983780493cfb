/** One connection as a whole database: what an operation does, its lock's connection does. */
import type { AdminDatabase, Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'

/**
 * Runs `fn` while this process, and no other, works on what `name` names. The lock is the session's: where the
 * process or the connection dies, it is free again, and the work, sent on the same connection, stops too.
 * @throws TNY305 where somebody else holds it.
 */
export async function withLock<T>(session: Queryable, lock: TenantLock, fn: () => Promise<T>): Promise<T> {
  const outcome = await tryWithLock(session, lock, async () => ({ result: await fn() }))
  if (outcome === undefined) throw new TenantryError('TNY305', { params: { tenant: lock.label } })
  return outcome.result
}

/** The same; `undefined`, and nothing done, where somebody else holds the lock. */
export async function tryWithLock<T>(
  session: Queryable,
  lock: Omit<TenantLock, 'label'>,
  fn: () => Promise<T>,
): Promise<T | undefined> {
  const name = lockName(lock)
  const { rows } = await session.query<{ got: string }>(
    'select pg_try_advisory_lock(hashtextextended($1, 0))::text as got',
    [name],
  )
  if (rows[0]?.got !== 'true') return undefined
  try {
    return await fn()
  } finally {
    // Where this fails the connection is broken, and the lock went with it.
    await session.query('select pg_advisory_unlock(hashtextextended($1, 0))', [name]).catch(() => undefined)
  }
}

/**
 * Locks all of these to the end of the transaction, against whoever works on one of them under `withLock` too.
 * @returns false where somebody does.
 */
export async function lockInTransaction(
  tx: Queryable,
  locks: readonly Omit<TenantLock, 'label'>[],
): Promise<boolean> {
  const { rows } = await tx.query<{ got: string }>(
    'select bool_and(pg_try_advisory_xact_lock(hashtextextended(name, 0)))::text as got from unnest($1::text[]) name',
    [locks.map(lockName)],
  )
  return rows[0]?.got === 'true'
}

/**
 * Of these tenants, those that nobody works on: until the transaction ends nobody else will.
 * @param tx inside a transaction.
 */
export async function lockIdle(tx: Queryable, ids: readonly string[]): Promise<string[]> {
  const { rows } = await tx.query<{ id: string; got: string }>(
    `select id, pg_try_advisory_xact_lock(hashtextextended($2 || id, 0))::text as got from unnest($1::text[]) id`,
    [ids, lockName({ on: 'tenant', name: '' })],
  )
  return rows.filter(({ got }) => got === 'true').map(({ id }) => id)
}

function lockName({ on, name }: Pick<TenantLock, 'on' | 'name'>): string {
  return `tenantry:${on}:${name}`
}

/** What is locked: a key that may be new, a tenant by its id, or a home of nobody's by its schema. */
export interface TenantLock {
  readonly on: 'key' | 'tenant' | 'ready home'
  readonly name: string
  /** For the error: the key. */
  readonly label: string
}

/** A transaction on a session; committed when `fn` resolves. */
export async function inTransaction<T>(session: Queryable, fn: () => Promise<T>): Promise<T> {
  await session.query('begin')
  try {
    const result = await fn()
    await session.query('commit')
    return result
  } catch (error) {
    await session.query('rollback').catch(() => undefined)
    throw error
  }
}

/**
 * The session as an `AdminDatabase`, for what takes one: all of it stays on this connection.
 * @param db for other databases, which this connection does not reach.
 */
export function pinnedDatabase(session: Queryable, db: AdminDatabase): AdminDatabase {
  return {
    query: (text, values) => session.query(text, values),
    transaction: (fn) => inTransaction(session, () => fn(session)),
    session: (fn) => fn(session),
    inDatabase: (name) => db.inDatabase(name),
    close: async () => undefined,
  }
}
