/** A `pg.Pool` for one tenant, for the tenant of the context, or for central work. */
import { EventEmitter } from 'node:events'
import type pg from 'pg'
import { TenantryError } from '../../core/errors.ts'
import type { StatementConfig } from '../connection/flight.ts'
import type { Gateway, Principal } from '../gateway.ts'
import { unsupportedCopy } from './client-transaction.ts'
import { GatewayClient } from './gateway-client.ts'
import { answer, type Callback, type GatewayQuery, heeding, readQueryArguments } from './query-arguments.ts'
import { createSqlTag, type SqlTag } from './sql-tag.ts'
import type { SubmittedQuery } from './submittable.ts'
import type { TransactionScopes } from './transaction-scopes.ts'

/** How a pool learns whom a call is for. */
export interface PrincipalSource {
  /** Asked in the moment of the call, never later in a callback (A1). `undefined`: no tenant in the context. */
  current(): Principal | undefined
  /** Asked in the same moment: the signal of the context, for statements that bring none. */
  signal(): AbortSignal | undefined
  /** Of a pool whose tenant nobody has named: the id of the context's tenant. */
  readonly contextTenant?: (() => string | undefined) | undefined
  /** The transactions that its statements may be inside of. */
  readonly scopes?: TransactionScopes<GatewayClient> | undefined
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
  /** Drizzle knows a pool by the name of its class (0.45, node-postgres/session.ts), which bundlers may shorten. */
  static override readonly name: string = 'GatewayPool'
  readonly #gateway: Gateway
  readonly #source: PrincipalSource
  ended = false
  #sql: SqlTag | undefined

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
    const open = this.#source.scopes?.open()
    if (read.submitted !== undefined) {
      if (open === undefined || principal === undefined) {
        const client = this.#connect(principal)
        void client.submit(read.submitted).then(() => client.release())
      } else void this.#submitBeside(open, principal, read.submitted)
      return read.submitted
    }
    const signal = this.#source.signal()
    const result =
      open === undefined || principal === undefined
        ? this.#query(principal, read.statement, signal)
        : this.#queryBeside(open, principal, read.statement, signal)
    return answer(result, read.callback)
  }) as GatewayQuery

  /** Templates that run through `query`: `await sql`select * from orders where id = ${id}`` gives rows. @throws TNY235 */
  get sql(): SqlTag {
    // Most are made for one statement, and never asked.
    this.#sql ??= createSqlTag({
      run: (fragment) => this.query(fragment),
      contextTenant: this.#source.contextTenant,
    })
    return this.#sql
  }

  /** A client, for transactions. Take it, use it, release it. */
  connect(): Promise<GatewayClient>
  connect(callback: ConnectCallback): void
  connect(callback?: ConnectCallback): Promise<GatewayClient> | undefined {
    const principal = this.#source.current()
    const open = this.#source.scopes?.open()
    const promise =
      open === undefined || principal === undefined
        ? Promise.resolve().then(() => this.#handOver(principal, undefined))
        : toJoin(open, principal, this.#source).then((outer) => this.#handOver(principal, outer))
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

  /** A statement that is made inside the function of a transaction. @throws TNY230 where that is refused */
  async #queryBeside(
    open: readonly GatewayClient[],
    principal: Principal,
    statement: StatementConfig,
    signal: AbortSignal | undefined,
  ): Promise<pg.QueryResult> {
    const outer = await toJoin(open, principal, this.#source)
    if (outer === undefined) return this.#query(principal, statement, signal)
    const handling = this.#gateway.check(statement.text, principal)
    if (handling !== 'send' && handling !== 'introspection' && handling !== 'call') {
      // Refused as it is outside of a transaction.
      return this.#query(principal, statement, signal)
    }
    const client = this.#connect(principal, undefined, outer)
    try {
      return await (client.query as SendStatement)(statement)
    } finally {
      client.release()
    }
  }

  async #submitBeside(
    open: readonly GatewayClient[],
    principal: Principal,
    query: SubmittedQuery,
  ): Promise<void> {
    try {
      const client = this.#connect(principal, undefined, await toJoin(open, principal, this.#source))
      await client.submit(query)
      client.release()
    } catch (error) {
      query.handleError(error instanceof Error ? error : new Error(String(error)), undefined)
    }
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

  #connect(
    principal: Principal | undefined,
    onRelease?: (error?: Error | boolean) => void,
    outer?: GatewayClient,
  ): GatewayClient {
    if (this.ended) throw new TenantryError('TNY208')
    if (principal === undefined) throw new TenantryError('TNY201')
    const { signal: contextSignal, contextTenant, scopes } = this.#source
    return new GatewayClient(this.#gateway, principal, {
      onRelease,
      contextSignal,
      contextTenant,
      scopes,
      outer,
    })
  }

  #handOver(principal: Principal | undefined, outer: GatewayClient | undefined): GatewayClient {
    const client = this.#connect(
      principal,
      (error) => {
        this.emit('release', error, client)
        this.emit('remove', client)
      },
      outer,
    )
    this.emit('connect', client)
    this.emit('acquire', client)
    return client
  }
}

/** The client whose transaction a statement for `principal` is part of, if any. @throws TNY230 where that is refused */
async function toJoin(
  open: readonly GatewayClient[],
  principal: Principal,
  { scopes }: PrincipalSource,
): Promise<GatewayClient | undefined> {
  for (const client of open) {
    if (!(await isSameTenant(client.principal, principal))) continue
    if (scopes?.policy === 'refuse') throw new TenantryError('TNY230')
    return client
  }
  return undefined
}

/** By id: one of them may have been named by its key. */
async function isSameTenant(one: Principal, other: Principal): Promise<boolean> {
  const id = (principal: Principal): string | undefined | Promise<string | undefined> =>
    principal.tenantId ?? Promise.resolve(principal.binding(false)).then((binding) => binding?.tenantId)
  return (await id(one)) === (await id(other))
}
