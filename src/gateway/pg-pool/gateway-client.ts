/** A client as `pool.connect()` gives it: holds a connection only while a transaction is open. */
import { EventEmitter } from 'node:events'
import pg from 'pg'
import { TenantryError } from '../../core/errors.ts'
import { ClientTransaction, type Transacting } from './client-transaction.ts'
import type { TransactionStatus } from '../connection/connection.ts'
import type { StatementConfig } from '../connection/flight.ts'
import type { Gateway, Principal } from '../gateway.ts'
import { JoinedTransaction } from './joined-transaction.ts'
import { inTime, Nesting } from './nesting.ts'
import { answer, type GatewayQuery, readQueryArguments } from './query-arguments.ts'
import { Submission } from './submission.ts'
import { createSqlTag, type SqlTag } from './sql-tag.ts'
import type { SubmittedQuery } from './submittable.ts'
import type { TransactionScopes } from './transaction-scopes.ts'

/** What a client is told by the pool that hands it over. */
export interface ClientSettings {
  /** Called once, with what `release` was given. */
  readonly onRelease?: ((error: Error | boolean | undefined) => void) | undefined
  /** Asked in the moment of each call, for statements that bring no signal. */
  readonly contextSignal?: (() => AbortSignal | undefined) | undefined
  /**
   * Of a client that nobody has named a tenant for: asked in the moment of each call, who the context's tenant is. Where
   * it is another one by then, the call is refused (A2).
   */
  readonly contextTenant?: (() => string | undefined) | undefined
  readonly scopes?: TransactionScopes<GatewayClient> | undefined
  /** The client whose transaction it is part of. */
  readonly outer?: GatewayClient | undefined
}

/** What ends a transaction must pass, wherever it is called from. */
const ROLLBACK = /^\s*(rollback|abort)\b/i
/** ROLLBACK of all: what is nested ends with it. */
const ROLLBACK_ALL = /^\s*(rollback|abort)(\s+(work|transaction))?\s*;?\s*$/i
const COMMIT = /^\s*(commit|end)\b/i

/**
 * A `pg.PoolClient`. Statements outside a transaction are flights of their own, on whatever connection is free; from
 * BEGIN to COMMIT they stay on one. The tenant is that of the moment it was taken, and never changes (A2).
 */
export class GatewayClient extends EventEmitter implements pg.PoolClient {
  readonly #transaction: Transacting
  readonly #principal: Principal
  readonly #settings: ClientSettings
  #released = false
  /** Statements run one after the other, as on a real client. */
  #queue: Promise<unknown> = Promise.resolve()
  readonly #submissions = new Set<Submission>()
  #types: pg.TypeOverrides | undefined
  #nesting = new Nesting()
  #sql: SqlTag | undefined

  // A client is no one connection: what pg.PoolClient says of its own is empty here.
  readonly host: string = ''
  readonly port: number = 0
  readonly ssl: boolean = false
  readonly pipeline: boolean = false

  constructor(gateway: Gateway, principal: Principal, settings: ClientSettings = {}) {
    super()
    this.#principal = principal
    this.#settings = settings
    const { outer, scopes } = settings
    const begin = (): boolean => {
      this.#nesting = new Nesting()
      return scopes?.began(this) === true
    }
    if (outer !== undefined && scopes !== undefined) {
      this.#transaction = new JoinedTransaction(
        gateway,
        principal,
        { outer, scopes },
        { client: this, begin },
      )
      return
    }
    this.#transaction = new ClientTransaction(gateway, principal, {
      begin,
      lost: (error) => {
        // With node-postgres nobody listening would end the process; here the statement's own error says it.
        if (this.listenerCount('error') > 0) this.emit('error', error)
      },
    })
  }

  /**
   * Every form of node-postgres' `query`. A Submittable (cursor, stream, COPY) is returned as it is, told its errors
   * itself, and runs in a transaction of its own outside of one.
   * @throws TNY207 after `release`, TNY234 in another tenant's context: at once for a Submittable, else by the promise.
   */
  readonly query = ((...args: unknown[]): unknown => {
    const read = readQueryArguments(args)
    if (read.submitted !== undefined) {
      void this.submit(read.submitted)
      return read.submitted
    }
    return answer(this.#enqueue(read.statement), read.callback)
  }) as GatewayQuery

  /** Templates that run through `query`: `await sql`select * from orders where id = ${id}`` gives rows. @throws TNY235 */
  get sql(): SqlTag {
    // Most are made for one statement, and never asked.
    this.#sql ??= createSqlTag({
      run: (fragment) => this.query(fragment),
      contextTenant: this.#settings.contextTenant,
    })
    return this.#sql
  }

  /** Carries a Submittable. Resolves when its connection is free again, and never rejects. @throws TNY207, TNY234 */
  submit(query: SubmittedQuery): Promise<void> {
    if (this.#released) throw new TenantryError('TNY207')
    const foreign = this.#foreignContext()
    if (foreign !== undefined) throw foreign
    if (query._result !== undefined && this.#types !== undefined) query._result._types ??= this.#types
    const signal = this.#settings.contextSignal?.()
    const submission = new Submission(query)
    this.#submissions.add(submission)
    const carry = (transaction: Transacting): Promise<void> =>
      transaction.carry(submission, (notice) => void this.emit('notice', notice), signal)
    const done = (): void => void this.#submissions.delete(submission)
    if (this.#hasNested) {
      return this.#besideNested(carry)
        .catch((error: unknown) => submission.fail(error))
        .finally(done)
    }
    const turn = this.#queue.then(() => carry(this.#transaction))
    this.#queue = turn.then(done)
    return turn
  }

  /**
   * Ends the use of this client. A transaction left open is rolled back before its connection serves anyone else (P3);
   * a cursor or stream that is still being read ends with TNY207.
   * @param error truthy: the connection, if one is held, is closed instead.
   */
  readonly release = (error?: Error | boolean): void => {
    if (this.#released) throw new TenantryError('TNY207')
    this.#released = true
    for (const submission of this.#submissions) submission.giveUp(new TenantryError('TNY207'))
    this.#queue = this.#queue.then(() => this.#transaction.leave(Boolean(error)))
    this.#settings.onRelease?.(error)
  }

  /** It is connected whenever it is used. */
  connect(): Promise<this>
  connect(callback: (error: null, client: this) => void): void
  connect(callback?: (error: null, client: this) => void): Promise<this> | undefined {
    return answer(Promise.resolve(this), callback && (() => callback(null, this)))
  }

  /** Releases it; the connections are the pool's. */
  end(): Promise<void>
  end(callback: (error: Error) => void): void
  end(callback?: (error: Error) => void): Promise<void> | undefined {
    if (!this.#released) this.release()
    const ended = this.#queue.then(() => void this.emit('end'))
    return answer(ended, callback && ((error) => callback(error as Error)))
  }

  /** As the server will see it at the next statement: idle, in a transaction, in a failed one. */
  getTransactionStatus(): TransactionStatus {
    return this.#transaction.status
  }

  get principal(): Principal {
    return this.#principal
  }

  get isInTransaction(): boolean {
    return !this.#released && this.#transaction.status !== 'I'
  }

  /** How many transactions it is inside of. */
  get depth(): number {
    return this.#transaction.depth
  }

  /** Of the clients that have joined its transaction; another one for each transaction. */
  get nesting(): Nesting {
    return this.#nesting
  }

  /**
   * A turn in its transaction, for a client that has joined it.
   * @throws TNY231 where the transaction has ended, TNY233 where the turn does not come in time.
   */
  async follow<T>(
    fn: (transaction: Transacting) => Promise<T>,
    waitMs: number,
    transaction: Nesting,
  ): Promise<T> {
    let wanted = true
    const { promise: begun, resolve: begin } = Promise.withResolvers<void>()
    const turn = this.#queue.then(async () => {
      begin()
      const isOpen = this.isInTransaction && this.#nesting === transaction
      if (!wanted || !isOpen) throw new TenantryError('TNY231')
      return fn(this.#transaction)
    })
    this.#queue = turn.catch(() => undefined)
    try {
      await inTime(begun, waitMs)
    } catch (error) {
      wanted = false
      throw error
    }
    return turn
  }

  /**
   * A turn when the nested transaction has ended, with which it would else be undone; at once where that asks for it.
   * @param closes whether it is COMMIT, which would commit half of what is nested.
   */
  async #besideNested<T>(fn: (transaction: Transacting) => Promise<T>, closes = false): Promise<T> {
    const { scopes } = this.#settings
    const nesting = this.#nesting
    if (scopes === undefined) return this.follow(fn, 0, nesting)
    while (closes && nesting.isOpen) await nesting.closed(scopes)
    return nesting.beside(scopes, () => this.follow(fn, scopes.waitMs, nesting))
  }

  get #hasNested(): boolean {
    return this.#nesting.isOpen && this.isInTransaction
  }

  escapeIdentifier(name: string): string {
    return pg.escapeIdentifier(name)
  }

  escapeLiteral(text: string): string {
    return pg.escapeLiteral(text)
  }

  /** For this client's statements alone. */
  readonly setTypeParser: pg.PoolClient['setTypeParser'] = (...args: unknown[]) => {
    this.#types ??= new pg.TypeOverrides()
    Reflect.apply(this.#types.setTypeParser.bind(this.#types), undefined, args)
  }

  readonly getTypeParser: pg.PoolClient['getTypeParser'] = (...args: unknown[]) =>
    Reflect.apply((this.#types ?? pg.types).getTypeParser.bind(this.#types ?? pg.types), undefined, args)

  /** @throws TNY210: statements of one client may use many connections. */
  get connection(): pg.Connection {
    throw unsupported('a client’s `connection`', 'Use query(); cursors, streams and COPY work with it.')
  }

  /** @throws TNY210 */
  copyFrom(): never {
    throw unsupported('client.copyFrom()', 'Use pg-copy-streams: client.query(from(text)).')
  }
  /** @throws TNY210 */
  copyTo(): never {
    throw unsupported('client.copyTo()', 'Use pg-copy-streams: client.query(to(text)).')
  }
  /** Does nothing: 'drain' is not emitted. */
  pauseDrain(): void {}
  /** Does nothing: 'drain' is not emitted. */
  resumeDrain(): void {}

  /** What is wrong with using this client here; nothing where there is no tenant in the context. */
  #foreignContext(): TenantryError | undefined {
    const here = this.#settings.contextTenant?.()
    const { tenantId } = this.#principal
    if (here === undefined || tenantId === undefined || here === tenantId) return undefined
    return new TenantryError('TNY234', { params: { tenant: tenantId }, tenantId })
  }

  async #enqueue(statement: StatementConfig): Promise<pg.QueryResult> {
    // A caller that forgot to await is told at once, not after the queue (A3).
    if (this.#released) throw new TenantryError('TNY207')
    const foreign = this.#foreignContext()
    if (foreign !== undefined && !ROLLBACK.test(statement.text)) throw foreign
    const signal = this.#settings.contextSignal?.()
    const heard = {
      ...statement,
      types: statement.types ?? this.#types,
      onNotice: (notice: unknown) => void this.emit('notice', notice),
    }
    const run = (transaction: Transacting): Promise<pg.QueryResult> => transaction.run(heard, signal)
    if (this.#hasNested && !ROLLBACK_ALL.test(statement.text)) {
      return this.#besideNested(run, COMMIT.test(statement.text))
    }
    const turn = this.#queue.then(() => run(this.#transaction))
    this.#queue = turn.catch(() => undefined)
    return turn
  }
}

function unsupported(what: string, instead: string): TenantryError {
  return new TenantryError('TNY210', { params: { what, instead } })
}
