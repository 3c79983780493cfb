/** A client inside the transaction of another one: its statements go there, and its own BEGIN is a savepoint. */
import type pg from 'pg'
import { TenantryError } from '../../core/errors.ts'
import type { TransactionStatus } from '../connection/connection.ts'
import type { StatementConfig } from '../connection/flight.ts'
import type { Gateway, Principal } from '../gateway.ts'
import { localResult, type Transacting } from './client-transaction.ts'
import type { Nesting } from './nesting.ts'
import type { Submission } from './submission.ts'
import type { Beginner, TransactionScopes } from './transaction-scopes.ts'

/** Strictly one inside the other, so that one name would do; the number tells people how deep they are. */
const SAVEPOINT = 'tenantry_nested_'

/** BEGIN with any of these asks for what only the outer transaction can have. */
const MODES = /\b(isolation|read|deferrable)\b/i

/** The client whose transaction is joined. */
export interface OuterClient extends Beginner {
  readonly depth: number
  readonly nesting: Nesting
  getTransactionStatus(): TransactionStatus
  follow<T>(fn: (transaction: Transacting) => Promise<T>, waitMs: number, transaction: Nesting): Promise<T>
}

/** What has joined. */
export interface JoinedClient {
  readonly client: Beginner
  /** Called as it begins a transaction of its own. True where that is a function's. */
  readonly begin: () => boolean
}

/** What is inside the transaction of `outer`, whose turn each statement waits for. */
export class JoinedTransaction implements Transacting {
  readonly #gateway: Gateway
  readonly #principal: Principal
  readonly #outer: OuterClient
  readonly #scopes: TransactionScopes<Beginner>
  readonly #own: JoinedClient
  /** Which transaction of the outer client has been joined. */
  readonly #nesting: Nesting
  /** Of the savepoint that is this one's transaction; undefined outside of one. */
  #savepoint: string | undefined
  #end: (() => void) | undefined

  /** @param outer is inside of the transaction that is joined. */
  constructor(
    gateway: Gateway,
    principal: Principal,
    { outer, scopes }: { readonly outer: OuterClient; readonly scopes: TransactionScopes<Beginner> },
    own: JoinedClient,
  ) {
    this.#gateway = gateway
    this.#principal = principal
    this.#outer = outer
    this.#scopes = scopes
    this.#own = own
    this.#nesting = outer.nesting
  }

  get status(): TransactionStatus {
    return this.#savepoint === undefined ? 'I' : this.#outer.getTransactionStatus()
  }

  get depth(): number {
    return this.#outer.depth + 1
  }

  async run(statement: StatementConfig, contextSignal?: AbortSignal): Promise<pg.QueryResult> {
    const handling = this.#gateway.check(statement.text, this.#principal)
    switch (handling) {
      case 'begin':
        return this.#begin(statement.text)
      case 'commit':
      case 'rollback':
        return this.#finish(handling)
      case 'set-transaction':
        if (this.#savepoint !== undefined) throw ownMode(statement.text)
        return localResult('SET')
      default:
        return this.#turn((transaction) => transaction.run(statement, contextSignal))
    }
  }

  async carry(
    submission: Submission,
    notice: (notice: unknown) => void,
    contextSignal?: AbortSignal,
  ): Promise<void> {
    try {
      await this.#turn((transaction) => transaction.carry(submission, notice, contextSignal))
    } catch (error) {
      submission.fail(error)
    }
  }

  /** What its holder left open is undone; the outer transaction stays. */
  async leave(): Promise<void> {
    if (this.#savepoint !== undefined) await this.#finish('rollback')
  }

  async #begin(text: string): Promise<pg.QueryResult> {
    if (MODES.test(text)) throw ownMode(text)
    if (this.#savepoint !== undefined) return localResult('BEGIN')
    const savepoint = `${SAVEPOINT}${this.depth}`
    this.#end = await this.#nesting.enter(this.#scopes, this.#own.client, this.#own.begin())
    try {
      await this.#send(`savepoint ${savepoint}`)
    } catch (error) {
      this.#end()
      throw error
    }
    this.#savepoint = savepoint
    return localResult('BEGIN')
  }

  async #finish(how: 'commit' | 'rollback'): Promise<pg.QueryResult> {
    const savepoint = this.#savepoint
    if (savepoint === undefined) return localResult(how === 'commit' ? 'COMMIT' : 'ROLLBACK')
    const commits = how === 'commit' && this.status === 'T'
    this.#savepoint = undefined
    try {
      if (!commits) await this.#send(`rollback to savepoint ${savepoint}`)
      await this.#send(`release savepoint ${savepoint}`)
    } catch (error) {
      // Where the outer transaction is lost there is nothing to roll back to, and it says so itself.
      if (commits) throw error
    } finally {
      this.#end?.()
    }
    // As PostgreSQL answers COMMIT of a transaction that failed.
    return localResult(commits ? 'COMMIT' : 'ROLLBACK')
  }

  #send(text: string): Promise<pg.QueryResult> {
    return this.#follow((transaction) => transaction.run({ text }))
  }

  async #turn<T>(fn: (transaction: Transacting) => Promise<T>): Promise<T> {
    const follow = (): Promise<T> => this.#follow(fn)
    return this.#savepoint === undefined ? this.#nesting.beside(this.#scopes, follow) : follow()
  }

  #follow<T>(fn: (transaction: Transacting) => Promise<T>): Promise<T> {
    return this.#outer.follow(fn, this.#scopes.waitMs, this.#nesting)
  }
}

function ownMode(text: string): TenantryError {
  return new TenantryError('TNY232', { params: { mode: text.trim().slice(0, 60) } })
}
