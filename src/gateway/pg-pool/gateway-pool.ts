/** A `pg.Pool` for one tenant, for the tenant of the context, or for central work. */
import { EventEmitter } from 'node:events'
import type pg from 'pg'
import { TenantryError } from '../../core/errors.ts'
import type { StatementConfig } from '../connection/flight.ts'
import type { Gateway, Principal } from '../gateway.ts'
import { unsupportedCopy } from './client-transaction.ts'
import { GatewayClient } from './gateway-client.ts'
import { answer, type Callback, type GatewayQuery, heeding, readQueryArguments } from './query-arguments.ts'

/** How a pool learns whom a call is for. */
export interface PrincipalSource {
  /** Asked in the moment of the call, never later in a callback (A1). `undefined`: no tenant in the context. */
  current(): Principal | undefined
  /** Asked in the same moment: the signal of the context, for statements that bring none. */
  signal(): AbortSignal | undefined
  /** Serves the few statements that ORMs send before there is a tenant. */
  readonly central: Principal
}

/** What `connect` with a callback hands over. */
type ConnectCallback = (
  error: Error | undefined,
  client: GatewayClient | undefined,
  done: (release?: Error | boolean) => void,
) => void

type SendStatement = (statement: StatementConfig) => Promise<pg.QueryResult>

/** Counts are those of all pools of the tenancy, whose connections they share. */
const SHARED = { maxUses: Infinity, allowExitOnIdle: false, maxLifetimeSeconds: 0, idleTimeoutMillis: null }

/**
 * A `pg.Pool`. All pools of a tenancy share the same connections; `end` closes nothing but this face of them.
 * Events: `connect` and `acquire` as `connect()` hands a client over, `release` and `remove` as it is given back: each
 * client is new. There is no `error`: a connection that breaks while idle is replaced.
 */
export class GatewayPool extends EventEmitter implements pg.Pool {
  readonly #gateway: Gateway
  readonly #source: PrincipalSource
  ended = false

  constructor(gateway: Gateway, source: PrincipalSource) {
    super()
    this.#gateway = gateway
    this.#source = source
  }

  get totalCount(): number {
    return this.#gateway.pool.total
  }
  get idleCount(): number {
    return this.#gateway.pool.idle
  }
  get waitingCount(): number {
    return this.#gateway.pool.waiting
  }
  get expiredCount(): number {
    return 0
  }
  get ending(): boolean {
    return this.ended
  }
  get options(): pg.PoolOptions {
    return { ...SHARED, max: this.#gateway.pool.max }
  }

  /**
   * Runs one statement in one round trip; a Submittable (cursor, stream, COPY) in a transaction of its own.
   * @throws TNY201 where a tenant is needed and there is none: at once for a Submittable, else by the promise.
   */
  readonly query = ((...args: unknown[]): unknown => {
    const principal = this.#source.current()
    const read = readQueryArguments(args)
    if (read.submitted !== undefined) {
      const client = this.#connect(principal)
      void client.submit(read.submitted).then(() => client.release())
      return read.submitted
    }
    return answer(this.#query(principal, read.statement, this.#source.signal()), read.callback)
  }) as GatewayQuery

  /** A client, for transactions. Take it, use it, release it. */
  connect(): Promise<GatewayClient>
  connect(callback: ConnectCallback): void
  connect(callback?: ConnectCallback): Promise<GatewayClient> | undefined {
    const principal = this.#source.current()
    const promise = Promise.resolve().then(() => this.#handOver(principal))
    const inner: Callback<GatewayClient> | undefined =
      callback && ((error, client) => callback(error, client, (release) => client?.release(release)))
    return answer(promise, inner)
  }

  /** Ends this pool for its users; `tenancy.close()` closes the connections. */
  end(): Promise<void>
  end(callback: () => void): void
  end(callback?: () => void): Promise<void> | undefined {
    this.ended = true
    return answer(Promise.resolve(), callback)
  }

  async #query(
    principal: Principal | undefined,
    given: StatementConfig,
    signal: AbortSignal | undefined,
  ): Promise<pg.QueryResult> {
    const statement = heeding(given, signal)
    if (this.ended) throw new TenantryError('TNY208')
    if (!this.#gateway.isReady) await this.#gateway.ready()
    const whom = principal ?? this.#withoutTenant(statement.text)
    const handling = this.#gateway.check(statement.text, whom)
    if (handling === 'send' || handling === 'introspection') return this.#gateway.single(whom, statement)
    if (handling === 'call') return this.#callAlone(whom, statement)
    if (handling === 'copy-in' || handling === 'copy-out') throw unsupportedCopy()
    throw new TenantryError('TNY210', {
      params: {
        what: 'a transaction through pool.query()',
        instead: 'Its statements may reach different connections: use connect() or tenancy.transaction().',
      },
    })
  }

  async #callAlone(whom: Principal, statement: StatementConfig): Promise<pg.QueryResult> {
    const client = new GatewayClient(this.#gateway, whom)
    try {
      return await (client.query as SendStatement)(statement)
    } finally {
      client.release()
    }
  }

  #withoutTenant(text: string): Principal {
    const { central } = this.#source
    if (this.#gateway.check(text, central) !== 'introspection') throw new TenantryError('TNY201')
    return central
  }

  #connect(principal: Principal | undefined, onRelease?: (error?: Error | boolean) => void): GatewayClient {
    if (this.ended) throw new TenantryError('TNY208')
    if (principal === undefined) throw new TenantryError('TNY201')
    return new GatewayClient(this.#gateway, principal, onRelease, () => this.#source.signal())
  }

  #handOver(principal: Principal | undefined): GatewayClient {
    const client = this.#connect(principal, (error) => {
      this.emit('release', error, client)
      this.emit('remove', client)
    })
    this.emit('connect', client)
    this.emit('acquire', client)
    return client
  }
}
