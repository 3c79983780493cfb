/** Which backend answers a connection, and whether something stands in between that may hand it to another. */
import type pg from 'pg'

/** The process that answers now. As text: applications replace node-postgres' parsers. */
export async function findBackend(client: pg.Client): Promise<string | undefined> {
  const { rows } = await client.query<{ pid: string }>('select pg_backend_pid()::text as pid')
  return rows[0]?.pid
}

/**
 * False where the process that the server named at start-up is the one that answers. A pooler makes up a process of its
 * own, so that it can find the client of a cancel request; so do some proxies that keep to one backend.
 * @param backend what `findBackend` said.
 * Source: PostgreSQL manual, 54.2.1 Start-up (BackendKeyData).
 */
export function isPooled(client: pg.Client, backend: string | undefined): boolean {
  // node-postgres' typings leave it out.
  return String((client as unknown as { processID: number | null }).processID) !== backend
}
