/** The server's version, for the few statements that differ between 15 and later ones. */
import type { Queryable } from '../core/database.ts'

/** `server_version_num`: 150018 for 15.18. */
export async function readServerVersion(db: Queryable): Promise<number> {
  const { rows } = await db.query<{ version: string }>(
    "select current_setting('server_version_num') as version",
  )
  return Number(rows[0]?.version)
}

/**
 * How a membership is granted whose rights are taken by SET ROLE alone. Version 15 has no such option: there the
 * member must be a NOINHERIT login.
 */
export function setOnly(version: number): string {
  return version >= 160000 ? 'with inherit false, set true' : ''
}

/** How a membership is granted whose rights are always there, and which nobody enters by SET ROLE. */
export function inheritOnly(version: number): string {
  return version >= 160000 ? 'with inherit true, set false' : ''
}
