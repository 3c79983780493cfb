/** One connection as a whole database: what an operation does, its lock's connection does. */
import type { AdminDatabase, Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'

/**
 * Runs `fn` while this process, and no other, works on what `names` name. The locks are the session's: where the
 * process or the connection dies, they are free again, and the work, sent on the same connection, stops too.
 * @throws TNY305 where somebody else holds one.
 */
export async function withLock<T>(
  session: Queryable,
  names: LockName | readonly LockName[],
  label: string,
  fn: () => Promise<T>,
): Promise<T> {
  const outcome = await tryWithLock(session, names, async () => ({ result: await fn() }))
  if (outcome === undefined) throw new TenantryError('TNY305', { params: { tenant: label } })
  return outcome.result
}

/** The same; `undefined`, and nothing done, where somebody else holds one of the locks. */
export async function tryWithLock<T>(
  session: Queryable,
  names: LockName | readonly LockName[],
  fn: () => Promise<T>,
): Promise<T | undefined> {
  const { rows } = await session.query<{ name: string; got: string }>(
    'select name, pg_try_advisory_lock(hashtextextended(name, 0))::text as got from unnest($1::text[]) name',
    [[names].flat().map(textOf)],
  )
  const got = rows.filter((row) => row.got === 'true').map(({ name }) => name)
  try {
    return got.length === rows.length ? await fn() : undefined
  } finally {
    // Where this fails the connection is broken, and the locks went with it.
    await session
      .query('select pg_advisory_unlock(hashtextextended(name, 0)) from unnest($1::text[]) name', [got])
      .catch(() => undefined)
  }
}

/**
 * Locks all of these to the end of the transaction, against whoever works on one of them under `withLock` too.
 * @returns false where somebody does.
 */
export async function lockInTransaction(tx: Queryable, names: readonly LockName[]): Promise<boolean> {
  const { rows } = await tx.query<{ got: string }>(
    'select bool_and(pg_try_advisory_xact_lock(hashtextextended(name, 0)))::text as got from unnest($1::text[]) name',
    [names.map(textOf)],
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
    [ids, textOf({ on: 'tenant', name: '' })],
  )
  return rows.filter(({ got }) => got === 'true').map(({ id }) => id)
}

function textOf({ on, name }: LockName): string {
  return `tenantry:${on}:${name}`
}

/** What is locked: a key that may be new, a tenant by its id, or a home of nobody's by its schema. */
export interface LockName {
  readonly on: 'key' | 'tenant' | 'ready home'
  readonly name: string
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
 * @param db for other databases and other connections, which this one does not reach.
 */
export function pinnedDatabase(session: Queryable, db: AdminDatabase): AdminDatabase {
  return {
    query: (text, values) => session.query(text, values),
    transaction: (fn) => inTransaction(session, () => fn(session)),
    session: (fn, settings) => (settings === undefined ? fn(session) : db.session(fn, settings)),
    inDatabase: (name) => db.inDatabase(name),
    apart: (max) => db.apart(max),
    close: async () => undefined,
  }
}
