/** Ends sessions of other logins, with rights that are taken for that moment alone. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Queryable } from '../core/database.ts'
import { quoteIdent } from '../sql/quote.ts'
import { sqlState } from '../sql/sql-state.ts'
import { readServerVersion } from './server-version.ts'

/** A backend that had passed its login just before the commit shows up a moment after it. */
const LOOK_MS = 30
/** How long one session is given to end, and all of them. */
const ENDING_MS = 2_000
const PATIENCE_MS = 10_000

/**
 * Ends every session of the role, in all databases of the server, whatever it does.
 * @param db one connection outside of a transaction, after the commit that shut the login.
 * @throws Error where one does not end.
 */
export async function endSessions(db: Queryable, role: string): Promise<void> {
  const until = performance.now() + PATIENCE_MS
  for (let quiet = 0; ; await sleep(LOOK_MS)) {
    const { rows: open } = await db.query('select from pg_stat_activity where usename = $1', [role])
    const ended = open.length === 0 ? 0 : await endWhere(db, role, 'usename = $1', [role])
    quiet = ended === 0 ? quiet + 1 : 0
    if (quiet === 2) return
    if (performance.now() > until) throw new Error(`sessions of the role ${role} do not end`)
  }
}

/**
 * Ends one session, which must be the login's.
 * @param db one connection outside of a transaction.
 * @returns false where the admin may not.
 */
export async function endSession(
  db: Queryable,
  { pid, login }: { readonly pid: number; readonly login: string },
): Promise<boolean> {
  try {
    await endWhere(db, login, 'usename = $1 and pid = $2', [login, pid])
    return true
  } catch (error) {
    // insufficient_privilege
    if (sqlState(error) === '42501') return false
    throw error
  }
}

/**
 * Ends the sessions that a condition on `pg_stat_activity` finds. Whoever has a role's rights may end its sessions. The admin
 * may give itself those of all logins of ours, and does so in a transaction that is rolled back; a function that is called as
 * the tenant's role would be refused after hardening.
 * @param db one connection outside of a transaction.
 * @param role whose they are; `undefined` for the admin's own.
 * @returns how many there were.
 */
export async function endWhere(
  db: Queryable,
  role: string | undefined,
  condition: string,
  values: readonly unknown[],
): Promise<number> {
  const version = await readServerVersion(db)
  await db.query('begin')
  try {
    // Before 16 the admin, which has its members' rights, needs no more than to be one.
    const rights = version >= 160000 ? 'with inherit true' : ''
    if (role !== undefined) await db.query(`grant ${quoteIdent(role)} to current_user ${rights}`)
    const { rows } = await db.query(
      `select pg_terminate_backend(pid, ${ENDING_MS}) from pg_stat_activity where ${condition}`,
      values,
    )
    return rows.length
  } finally {
    await db.query('rollback')
  }
}
