/** The control plane's connections: the admin login, direct, with plain sessions and transactions. */
import pg from 'pg'
import type { ConnectionSpec } from '../core/config.ts'
import type { AdminDatabase, Queryable, Rows } from '../core/database.ts'
import { connectionConfig } from './connection/connection-config.ts'
import { noteStatementsDone } from '../sql/statements-done.ts'
import { databaseError } from './connection/database-error.ts'
import { withDatabase, withSettings } from './pool/other-config.ts'

/** What a session may leave meets nobody: settings, locks, a role, prepared statements. */
const TIDY = 'discard all'

/**
 * Opens at most `max` connections, on demand; idle ones close after ten seconds.
 * @throws TNY001, TNY002; statements throw TNY202 or TNY212 where the server cannot be reached.
 */
export function createAdminDatabase(connection: ConnectionSpec | undefined, max = 4): AdminDatabase {
  return openPool(connectionConfig(connection, 'admin connection', 'TENANTRY_ADMIN_URL'), max, TIDY)
}

/** @param sessionEnd what follows a session: it is tidied and kept, or its connection is closed. */
function openPool(config: pg.ClientConfig, max: number, sessionEnd: typeof TIDY | 'close'): AdminDatabase {
  const others = new Map<string, AdminDatabase>()
  const pool = new pg.Pool({
    ...config,
    max,
    connectionTimeoutMillis: 10_000,
    allowExitOnIdle: true,
  })
  // An idle connection that breaks is replaced at the next use; without a listener it would end the process.
  pool.on('error', () => undefined)

  /** @param end sent after `fn`, for a connection that can be kept; `close`: it is not kept. */
  async function withClient<T>(fn: (client: Queryable) => Promise<T>, end?: string): Promise<T> {
    const client = await pool.connect().catch((error: unknown) => {
      throw databaseError(error, 'connect')
    })
    let broken: Error | undefined
    const onError = (error: Error): void => void (broken = error)
    client.on('error', onError)
    try {
      return await fn({ query: (text, values) => send(client, text, values) })
    } catch (error) {
      broken ??= error instanceof Error && !isStatementError(error) ? error : undefined
      throw error
    } finally {
      if (end === TIDY && broken === undefined) {
        await client.query(TIDY).catch((error: Error) => (broken ??= error))
      }
      client.release(broken ?? end === 'close')
      client.off('error', onError)
    }
  }

  /** Beside the pool: it was begun with settings that the others do not have. */
  async function withOwn<T>(
    settings: Readonly<Record<string, string>>,
    fn: (client: Queryable) => Promise<T>,
  ): Promise<T> {
    const client = new pg.Client({ ...withSettings(config, settings), connectionTimeoutMillis: 10_000 })
    // A connection that breaks is told by the statement that needs it.
    client.on('error', () => undefined)
    await client.connect().catch((error: unknown) => {
      throw databaseError(error, 'connect')
    })
    try {
      return await fn({ query: (text, values) => send(client, text, values) })
    } finally {
      await client.end()
    }
  }

  return {
    query: (text, values) => withClient((client) => client.query(text, values)),
    transaction: (fn) =>
      withClient(async (client) => {
        await client.query('begin')
        try {
          const result = await fn(client)
          await client.query('commit')
          return result
        } catch (error) {
          await client.query('rollback').catch(() => undefined)
          throw error
        }
      }),
    session: (fn, settings) => (settings === undefined ? withClient(fn, sessionEnd) : withOwn(settings, fn)),
    inDatabase(name) {
      const known = others.get(name)
      if (known !== undefined) return known
      // Its connections close when they are idle, sessions at once: a database that somebody uses is neither copied nor dropped.
      const other = openPool(withDatabase(config, name), max, 'close')
      others.set(name, other)
      return other
    },
    // Their server processes keep what they read of thousands of schemas.
    apart: (size) => openPool(config, size, 'close'),
    async close() {
      await Promise.all([pool.end(), ...[...others.values()].map((other) => other.close())])
    },
  }
}

interface Sender {
  query(text: string, values?: unknown[]): Promise<{ rows: unknown[]; rowCount: number | null }>
}

/** node-postgres' protocol layer, as far as it is listened to here. */
interface Protocol {
  on(event: 'commandComplete', listener: () => void): void
  off(event: 'commandComplete', listener: () => void): void
}

async function send<R>(client: Sender, text: string, values?: readonly unknown[]): Promise<Rows<R>> {
  const { connection } = client as unknown as { connection: Protocol }
  let done = 0
  const count = (): void => void (done += 1)
  connection.on('commandComplete', count)
  try {
    const result = await (values === undefined ? client.query(text) : client.query(text, [...values]))
    return result as Rows<R>
  } catch (error) {
    noteStatementsDone(error, done)
    throw databaseError(error, 'statement')
  } finally {
    connection.off('commandComplete', count)
  }
}

function isStatementError(error: Error): boolean {
  return error instanceof pg.DatabaseError
}
