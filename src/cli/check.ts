/** One check of `tenantry doctor`: how it is written down, and how a connection is looked at. */
import type { AdminDatabase } from '../core/database.ts'
import { createAdminDatabase } from '../gateway/admin-database.ts'
import { probeServer, type ServerFacts } from '../isolation/probe.ts'
import type { Connection } from './connections.ts'
import { toTenantryError } from './failure.ts'

/** One line of the report. */
export interface Check {
  /** Stable, for machines. */
  readonly name: string
  readonly status: 'ok' | 'warn' | 'fail'
  /** What was found. */
  readonly found: string
  /** What to do, where something is to be done. */
  readonly advice?: string
}

/** What one connection brought to light. */
export interface Findings {
  readonly checks: Check[]
  /** Which database of which server it leads to. */
  readonly place?: string
}

/** Connects, reads the facts, and lets `look` judge them; a connection that fails is a finding too. */
export async function withConnection(
  name: string,
  { spec, origin }: Connection,
  look: (db: AdminDatabase, facts: ServerFacts) => Promise<Check[]>,
): Promise<Findings> {
  let db
  try {
    db = createAdminDatabase(spec, 2)
    const { rows } = await db.query<{ place: string }>(
      "select pg_postmaster_start_time()::text || ' ' || current_database() as place",
    )
    const facts = await probeServer(db)
    const checks = [ok(name, `as ${facts.login.name}, from ${origin}`), ...(await look(db, facts))]
    return { checks, place: rows[0]?.place ?? '' }
  } catch (error) {
    return { checks: [failed(name, error, ` (from ${origin})`)] }
  } finally {
    await db?.close()
  }
}

export function ok(name: string, found: string): Check {
  return { name, status: 'ok', found }
}

export function warn(name: string, found: string, advice: string): Check {
  return { name, status: 'warn', found, advice }
}

export function fail(name: string, found: string, advice: string): Check {
  return { name, status: 'fail', found, advice }
}

export function failed(name: string, error: unknown, where = ''): Check {
  const { code, message, hint, cause } = toTenantryError(error)
  const detail =
    cause instanceof Error && cause.message !== '' && !message.includes(cause.message)
      ? ` ${cause.message}`
      : ''
  return fail(name, `${code}: ${message}${detail}${where}`, hint)
}
