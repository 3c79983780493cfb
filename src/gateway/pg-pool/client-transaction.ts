/** What a client's statements have in common: which of them share a transaction, and the connection that it holds. */
import type pg from 'pg'
import { TenantryError } from '../../core/errors.ts'
import type { Handling } from '../../core/guard.ts'
import type { TransactionStatus } from '../connection/connection.ts'
import type { StatementConfig } from '../connection/flight.ts'
import { abortReason } from '../connection/statement-cancel.ts'
import type { Gateway, Link, Principal } from '../gateway.ts'
import { heeding } from './query-arguments.ts'
import type { Submission } from './submission.ts'

/** What runs a client's statements: by itself, or inside another client's transaction. */
export interface Transacting {
  /** As the server will see it at the next statement. */
  readonly status: TransactionStatus
  /** How many transactions it is inside of. */
  readonly depth: number
  /** Runs one statement where it belongs. @param contextSignal for a statement that brings none. */
  run(statement: StatementConfig, contextSignal?: AbortSignal): Promise<pg.QueryResult>
  /** A Submittable's turn. Never rejects. */
  carry(submission: Submission, notice: (notice: unknown) => void, contextSignal?: AbortSignal): Promise<void>
  /** Ends what is open. */
  leave(destroy: boolean): Promise<void>
}

/** A transaction that was begun but not yet sent, or is open on a connection. */
type Transaction =
  | { readonly state: 'none' }
  | { readonly state: 'begun'; readonly before: string[] }
  | { readonly state: 'open'; readonly connection: Link }
  /** It never opened, or its connection is gone: what follows must not run on its own, outside of it. */
  | { readonly state: 'lost'; readonly error: unknown }

const NONE: Transaction = { state: 'none' }
/** Sent with BEGIN and the context where what follows cannot travel with them. */
const NOTHING: StatementConfig = { text: '' }

/** What a context's signal never stops: a transaction ends in order, and BEGIN sends nothing. */
const UNSTOPPED: ReadonlySet<Handling> = new Set<Handling>(['begin', 'commit', 'rollback'])

/** How many milliseconds a client that was released inside a transaction has for its ROLLBACK. */
const ROLLBACK_MS = 5_000

/** One client's transactions, one after the other. Its statements must come one at a time. */
export class ClientTransaction implements Transacting {
  readonly #gateway: Gateway
  readonly #principal: Principal
  readonly #on: { readonly begin: () => void; readonly lost: (error: unknown) => void }
  readonly depth = 0
  #transaction: Transaction = NONE

  /** @param on `lost`: the connection of an open transaction is found to be lost. */
  constructor(
    gateway: Gateway,
    principal: Principal,
    on: { readonly begin: () => void; readonly lost: (error: unknown) => void },
  ) {
    this.#gateway = gateway
    this.#principal = principal
    this.#on = on
  }

  /** As the server will see it at the next statement. */
  get status(): TransactionStatus {
    const transaction = this.#transaction
    if (transaction.state === 'open') return transaction.connection.status
    return transaction.state === 'none' ? 'I' : transaction.state === 'begun' ? 'T' : 'E'
  }

  async #check(text: string): Promise<Handling> {
    if (!this.#gateway.isReady) await this.#gateway.ready()
    return this.#gateway.check(text, this.#principal)
  }

  /**
   * Runs one statement where it belongs.
   * @param contextSignal for a statement that brings none, unless it ends a transaction.
   * @throws what the guard or the server says, TNY210 for COPY as a text
   */
  async run(given: StatementConfig, contextSignal?: AbortSignal): Promise<pg.QueryResult> {
    const handling = await this.#check(given.text)
    if (handling === 'copy-in' || handling === 'copy-out') throw unsupportedCopy()
    const statement = UNSTOPPED.has(handling) ? given : heeding(given, contextSignal)
    if (statement !== given) await this.#requireWanted(contextSignal)
    const transaction = this.#transaction
    if (transaction.state === 'open')
      return this.#follow(transaction.connection, statement, handling === 'commit')
    if (transaction.state === 'lost' && handling !== 'rollback') throw transaction.error
    switch (handling) {
      case 'begin':
        if (transaction.state === 'none') {
          this.#transaction = { state: 'begun', before: [statement.text] }
          this.#on.begin()
        }
        return localResult('BEGIN')
      case 'set-transaction':
        if (transaction.state === 'begun') transaction.before.push(statement.text)
        return localResult('SET')
      case 'commit':
      case 'rollback':
        this.#transaction = NONE
        return localResult(handling === 'commit' ? 'COMMIT' : 'ROLLBACK')
      default:
        if (transaction.state === 'begun') return this.#open(transaction.before, statement)
        return handling === 'call' ? this.#alone(statement) : this.#gateway.single(this.#principal, statement)
    }
  }

  /**
   * What is refused for its context's sake must not be missing from a transaction that is then committed: that ends here.
   * @throws the signal's reason where it was aborted.
   */
  async #requireWanted(contextSignal: AbortSignal | undefined): Promise<void> {
    if (contextSignal?.aborted !== true) return
    const error = abortReason(contextSignal)
    await this.#abandon(error)
    throw error
  }

  async #abandon(error: unknown): Promise<void> {
    const { state } = this.#transaction
    if (state !== 'open' && state !== 'begun') return
    await this.leave(false)
    this.#transaction = { state: 'lost', error }
  }

  async #open(before: readonly string[], statement: StatementConfig): Promise<pg.QueryResult> {
    this.#transaction = NONE
    try {
      const { connection, result } = await this.#gateway.open(this.#principal, before, statement, (held) => {
        this.#transaction = { state: 'open', connection: held }
      })
      this.#settle(connection)
      return result
    } catch (error) {
      if (this.#transaction.state === 'none') this.#transaction = { state: 'lost', error }
      throw error
    }
  }

  async #follow(connection: Link, statement: StatementConfig, commits: boolean): Promise<pg.QueryResult> {
    try {
      return await connection.send(statement, { commits })
    } catch (error) {
      if (connection.broken && !commits) this.#lose(error)
      throw error
    } finally {
      this.#settle(connection, commits)
    }
  }

  /** CALL outside a transaction gets one of its own, in which a COMMIT inside the procedure is refused (S28). */
  async #alone(statement: StatementConfig): Promise<pg.QueryResult> {
    try {
      const result = await this.#open(['begin'], statement)
      await this.run({ text: 'commit' })
      return result
    } catch (error) {
      await this.leave(false)
      throw error
    }
  }

  /**
   * A Submittable's turn: in the transaction that is open, or in one that ends with it. Never rejects. A round trip that
   * is under way is not cancelled as `contextSignal` is aborted; no other follows.
   */
  async carry(
    submission: Submission,
    notice: (notice: unknown) => void,
    contextSignal?: AbortSignal,
  ): Promise<void> {
    const alone = this.#transaction.state === 'none'
    let held: Link | undefined
    const onAbort = (): void => contextSignal && submission.giveUp(abortReason(contextSignal))
    contextSignal?.addEventListener('abort', onAbort)
    try {
      await submission.run({
        alone,
        check: (text) => this.#check(text),
        notice,
        exchange: async (part) => {
          if (contextSignal?.aborted === true) throw abortReason(contextSignal)
          const connection = await this.#enter(contextSignal)
          held = connection
          // A cursor that rests would never hear of it.
          connection.whenLost = (error) => submission.giveUp(error)
          try {
            await connection.exchange(part)
          } catch (error) {
            if (connection.broken) this.#lose(error)
            throw error
          } finally {
            this.#settle(connection)
          }
        },
      })
      if (alone) await this.run({ text: 'commit' })
      submission.succeed()
    } catch (error) {
      if (alone) await this.leave(false)
      else if (contextSignal?.aborted === true && held?.broken !== true) await this.#abandon(error)
      else if (held?.broken === true && this.#transaction.state === 'open') {
        // Lost between two fetches: a COMMIT that follows was never sent, and its outcome is known.
        this.#lose(error)
        this.#gateway.pool.release(held)
      }
      submission.fail(error)
    } finally {
      contextSignal?.removeEventListener('abort', onAbort)
      if (held !== undefined) held.whenLost = undefined
    }
  }

  /** The connection of the transaction, which begins now if it has not. */
  async #enter(signal: AbortSignal | undefined): Promise<Link> {
    const { state } = this.#transaction
    if (state === 'none' || state === 'begun') {
      const before = this.#transaction.state === 'begun' ? this.#transaction.before : ['begin']
      await this.#open(before, heeding(NOTHING, signal))
    }
    const transaction = this.#transaction
    if (transaction.state === 'open') return transaction.connection
    throw transaction.state === 'lost' ? transaction.error : new TenantryError('TNY212')
  }

  /** After each answer the server's own word decides whether the transaction goes on. */
  #settle(connection: Link, commits = false): void {
    const isOpen = connection.status !== 'I'
    if (!connection.broken && isOpen) return
    if (this.#transaction.state === 'open') {
      // A connection may be given up though its statement was answered: a cancel is under way that nobody confirms.
      if (isOpen && !commits) this.#lose(new TenantryError('TNY212'))
      else this.#transaction = NONE
    }
    this.#gateway.pool.release(connection)
  }

  #lose(error: unknown): void {
    this.#transaction = { state: 'lost', error }
    this.#on.lost(error)
  }

  /** Ends what is open: by ROLLBACK (P3), or by closing the connection. */
  async leave(destroy: boolean): Promise<void> {
    const transaction = this.#transaction
    this.#transaction = NONE
    if (transaction.state !== 'open') return
    const { connection } = transaction
    if (destroy) connection.close()
    else {
      const timer = setTimeout(() => connection.close(), ROLLBACK_MS)
      await connection.send({ text: 'rollback' }).catch(() => connection.close())
      clearTimeout(timer)
    }
    this.#gateway.pool.release(connection)
  }
}

/** The answer to a statement that needed no round trip. */
export function localResult(command: string): pg.QueryResult {
  return { command, rowCount: null, oid: 0, rows: [], fields: [] }
}

/** COPY's data needs a stream. */
export function unsupportedCopy(): TenantryError {
  return new TenantryError('TNY210', {
    params: { what: 'COPY as a text', instead: 'Use pg-copy-streams: query(from(text)) or query(to(text)).' },
  })
}
