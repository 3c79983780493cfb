/** A connection as the gateway holds it, in the transaction of a test: BEGIN, COMMIT and ROLLBACK are savepoints. */
import type { GuardMode, Handling, StatementGuard } from '../core/guard.ts'
import type { FlightOptions, TransactionStatus } from '../gateway/connection/connection.ts'
import type { Exchange } from '../gateway/connection/exchange.ts'
import type { StatementConfig } from '../gateway/connection/flight.ts'
import type { Link } from '../gateway/gateway.ts'
import type { Answer, LastingTransaction } from './lasting-transaction.ts'

/** Many of them share one transaction; each is used by one client or statement at a time. */
export class TestLink implements Link {
  readonly ownsBackend = true
  whenLost: Link['whenLost']
  readonly #test: LastingTransaction
  readonly #guard: StatementGuard
  #open = false
  #closed = false
  #settings = false
  #mode: GuardMode = 'tenant'

  constructor(test: LastingTransaction, guard: StatementGuard) {
    this.#test = test
    this.#guard = guard
  }

  get broken(): boolean {
    return this.#closed || this.#test.ended !== undefined
  }

  get status(): TransactionStatus {
    return this.#open ? this.#test.status : 'I'
  }

  async send(statement: StatementConfig, options: FlightOptions = {}): Promise<Answer> {
    const { binding, before } = options
    if (this.#open) return this.#follow(statement, options.commits === true)
    if (before === undefined) return this.#test.alone(statement, binding)
    this.#mode = binding === undefined ? 'central' : 'tenant'
    this.#settings = this.#isSetting(statement.text, this.#guard.check(statement.text, this.#mode))
    return this.#test.begin(statement, binding, before, () => (this.#open = true))
  }

  exchange(part: Exchange): Promise<void> {
    return this.#test.exchange(part)
  }

  /** Its transaction is undone; the connection is the test's. */
  close(): void {
    this.#closed = true
    this.leave()
  }

  /** Nobody uses it any more. */
  leave(): void {
    if (!this.#open) return
    this.#open = false
    this.#test.undo()
  }

  async #follow(statement: StatementConfig, commits: boolean): Promise<Answer> {
    const handling = this.#guard.check(statement.text, this.#mode)
    if (handling === 'rollback' || (commits && this.#test.status === 'E')) {
      this.leave()
      return answerOf('ROLLBACK')
    }
    if (commits) {
      this.#open = false
      await this.#test.commit(this.#settings)
      return answerOf('COMMIT')
    }
    this.#settings ||= this.#isSetting(statement.text, handling)
    return this.#test.follow(statement)
  }

  #isSetting(text: string, handling: Handling): boolean {
    return handling === 'in-transaction' && /\bset\b/i.test(text)
  }
}

function answerOf(command: string): Answer {
  return { command, rowCount: null, oid: 0, rows: [], fields: [] }
}
