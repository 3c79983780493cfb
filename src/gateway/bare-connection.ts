/** A connection without guard and without context, as an attacker would have it: it shows what the server alone refuses. */
import pg from 'pg'
import type { ConnectionSpec } from '../core/config.ts'
import { findBackend, isPooled } from './connection/answering-backend.ts'
import { connectionConfig } from './connection/connection-config.ts'
import { databaseError } from './connection/database-error.ts'
import type { TenantLogin } from './binding.ts'
import { withDatabase, withLogin } from './pool/other-config.ts'

/** Where and as whom, if not as the connection says. */
export interface BareOptions {
  readonly database?: string | undefined
  readonly login?: TenantLogin | undefined
  /** How long an answer is waited for before the connection is given up. */
  readonly timeoutMs: number
}

/** What one message of statements gave. */
export interface BareAnswer {
  /** Rows of all statements, each value as PostgreSQL wrote it. */
  readonly rows: readonly (readonly (string | null)[])[]
}

/** One session, for as long as it is kept. */
export interface BareConnection {
  /** Something stands in between that may hand others what this session leaves behind. */
  readonly pooled: boolean
  /**
   * Sends one message of the simple protocol, in which several statements may stand.
   * @param hear told everything that comes beside rows: notices, notifications, data of COPY.
   */
  send(text: string, hear?: (text: string) => void): Promise<BareAnswer>
  close(): Promise<void>
}

/** Values stay text, whatever parsers the application has set. */
const AS_TEXT = { getTypeParser: () => (value: unknown) => value }

/** node-postgres' protocol layer, as far as it is listened to here. */
interface Protocol {
  on(event: 'copyData', listener: (message: { chunk: Buffer }) => void): void
}

/** @throws TNY001, TNY002, TNY202, or what the server said where it refused the login */
export async function openBareConnection(
  connection: ConnectionSpec | undefined,
  options: BareOptions,
): Promise<BareConnection> {
  let config: pg.ClientConfig = connectionConfig(connection, 'connection', 'DATABASE_URL')
  if (options.database !== undefined) config = withDatabase(config, options.database)
  if (options.login !== undefined) config = withLogin(config, options.login)
  const { timeoutMs } = options
  const client = new pg.Client({ ...config, connectionTimeoutMillis: timeoutMs, query_timeout: timeoutMs })
  client.on('error', () => undefined)
  let hearing: ((text: string) => void) | undefined
  client.on('notice', ({ message, detail, hint, where }) => {
    hearing?.([message, detail, hint, where].filter((part) => part !== undefined).join('\n'))
  })
  client.on('notification', ({ channel, payload }) => hearing?.(`${channel} ${payload ?? ''}`))
  const { connection: protocol } = client as unknown as { connection: Protocol }
  protocol.on('copyData', ({ chunk }) => hearing?.(chunk.toString()))
  try {
    await client.connect()
  } catch (error) {
    throw databaseError(error, 'connect')
  }
  const pooled = isPooled(client, await findBackend(client))
  return {
    pooled,
    async send(text, hear) {
      hearing = hear
      try {
        const answer: unknown = await client.query({ text, rowMode: 'array', types: AS_TEXT })
        const results = (Array.isArray(answer) ? answer : [answer]) as pg.QueryArrayResult[]
        return { rows: results.flatMap(({ rows }) => rows as (string | null)[][]) }
      } catch (error) {
        throw databaseError(error, 'statement')
      } finally {
        hearing = undefined
      }
    },
    close: () => client.end(),
  }
}
