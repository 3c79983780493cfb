/** The ways by which a tenant's statements reach the server: the gateway, an ORM over it, and a login without a guard. */
import type { ConnectionSpec } from '../core/config.ts'
import type { Queryable } from '../core/database.ts'
import type { Tenant } from '../core/tenant.ts'
import { openBareConnection, type BareConnection } from '../gateway/bare-connection.ts'
import { searchPathOf, type TenantLogin } from '../gateway/binding.ts'
import { quoteLiteral } from '../sql/quote.ts'
import { type Answer, answerOf } from './observe.ts'

/** What a proof uses of a `pg.Pool`. */
export interface ProofPool {
  query(
    text: string | { readonly text: string; readonly signal: AbortSignal },
    values?: readonly unknown[],
  ): Promise<{ readonly rows: unknown[] }>
  connect(): Promise<ProofClient>
}

/** What a proof uses of a client. */
export interface ProofClient {
  query(text: string, values?: readonly unknown[]): Promise<{ readonly rows: unknown[] }>
  on(event: 'notice', listener: (notice: { readonly message?: string | undefined }) => void): unknown
  release(): void
}

/** A statement through an ORM, as a tenant. */
export interface ProofHandle {
  readonly name: string
  send(tenant: Tenant, text: string): Promise<{ readonly rows?: unknown }>
}

/** What a proof uses of a tenancy. */
export interface ProofTenancy {
  /** ORMs over it. */
  readonly handles?: readonly ProofHandle[]
  poolFor(tenant: Tenant): ProofPool
  readonly central: ProofPool
  close(options?: { readonly timeoutMs?: number }): Promise<void>
}

/** A pool as the rest of Tenantry asks it. */
export function asQueryable(pool: ProofPool): Queryable {
  return {
    async query<R>(text: string, values?: readonly unknown[]) {
      const { rows } = await pool.query(text, values)
      return { rows: rows as R[], rowCount: rows.length }
    },
  }
}

/** A transaction of the attacker's. */
export interface OpenTransaction {
  send(text: string): Promise<Answer>
  end(how: 'commit' | 'rollback'): Promise<void>
}

/** How statements of the attacker are sent. */
export interface Way {
  readonly name: string
  /** One statement that stands alone. */
  alone?(text: string): Promise<Answer>
  begin?(): Promise<OpenTransaction>
  close(): Promise<void>
}

/**
 * As applications go: guard, pool, context.
 * @param poolOf asked for each statement: a connection that an attack has spoilt is replaced.
 */
export function throughGateway(poolOf: () => ProofPool): Way {
  return {
    name: 'gateway',
    alone: (text) => answerOf(() => poolOf().query(text)),
    async begin() {
      const client = await poolOf().connect()
      let hear: ((text: string) => void) | undefined
      client.on('notice', ({ message = '' }) => hear?.(message))
      await client.query('begin')
      return {
        send: (text) =>
          answerOf((listen) => {
            hear = listen
            return client.query(text)
          }),
        async end(how) {
          try {
            // The attack may have ended the connection with its transaction.
            await answerOf(() => client.query(how))
          } finally {
            client.release()
          }
        },
      }
    },
    close: async () => undefined,
  }
}

/** The same through an ORM. */
export function throughHandle(name: string, handleOf: () => ProofHandle | undefined, tenant: Tenant): Way {
  return {
    name,
    alone: (text) => answerOf(async () => (await handleOf()?.send(tenant, text)) ?? {}),
    close: async () => undefined,
  }
}

/** How long a statement of an attack may run, and an answer may take: some would wait for locks. */
export const STATEMENT_TIMEOUT_MS = 2_000
const ANSWER_TIMEOUT_MS = 10_000
const LOCK_TIMEOUT_MS = 300

/** What a connection without a guard needs to act as a tenant. */
export interface BareTenant {
  readonly tenant: Tenant
  readonly proof: string
  /** Of a sealed tenant. */
  readonly login?: TenantLogin | undefined
}

/** Straight to the server, by the simple protocol, in which several statements may stand in one message. */
export function throughLogin(connection: ConnectionSpec | undefined, who: BareTenant): Way {
  const { tenant, login } = who
  const { database } = tenant.home
  const open = (): Promise<BareConnection> =>
    openBareConnection(connection, { database, login, timeoutMs: ANSWER_TIMEOUT_MS })
  let session: BareConnection | undefined
  const close = async (): Promise<void> => {
    const closing = session
    session = undefined
    await closing?.close().catch(() => undefined)
  }
  return {
    name: login === undefined ? 'runtime login' : 'own login',
    async begin() {
      session ??= await open()
      const { send } = session
      let ran = false
      await send(`begin; ${contextOf(who)}`)
      return {
        async send(text) {
          const answer = await answerOf((hear) => send(text, hear))
          ran ||= answer.ok
          // TNY212: the session is gone, whoever ended it.
          if (!answer.ok && answer.by === 'guard') await close()
          return answer.ok ? answer : { ...answer, by: 'database' }
        },
        async end(how) {
          await session?.send(how).catch(close)
          // Locks, settings and temporary tables are not for the next attack, nor for the application.
          if (ran) await session?.send('discard all').catch(close)
        },
      }
    },
    close,
  }
}

/** As a flight binds it. */
function contextOf({ tenant, proof }: BareTenant): string {
  const settings = {
    statement_timeout: String(STATEMENT_TIMEOUT_MS),
    lock_timeout: String(LOCK_TIMEOUT_MS),
    'app.current_tenant': tenant.id,
    'tenantry.proof': proof,
    search_path: searchPathOf(tenant.home),
    role: tenant.home.role,
  }
  const calls = Object.entries(settings).map(
    ([name, value]) => `set_config('${name}', ${quoteLiteral(value)}, true)`,
  )
  return `select ${calls.join(', ')}`
}
