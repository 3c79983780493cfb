/** One connection in one transaction for the time of a test: what would be a statement or a transaction is a savepoint. */
import type { Binding } from '../gateway/binding.ts'
import type { TransactionStatus } from '../gateway/connection/connection.ts'
import type { Exchange } from '../gateway/connection/exchange.ts'
import type { StatementConfig } from '../gateway/connection/flight.ts'
import type { Link } from '../gateway/gateway.ts'
import { TenantryError } from '../core/errors.ts'
import { LOCAL_SETTINGS } from '../isolation/guard/tenant-rules.ts'
import { Floor } from './floor.ts'

/** What a statement returned, as node-postgres has it. */
export type Answer = Awaited<ReturnType<Link['send']>>

/** Names that code under test would hardly use. */
const ALONE = 'tenantry_test_statement'
const NESTED = 'tenantry_test_transaction'

/** The context ends with a transaction, and this one lasts: what the last tenant left goes before the next begins. */
const LEAVE_ROLE = 'set local role none'
const LEAVE_TENANT = [
  LEAVE_ROLE,
  ...['search_path', 'app.current_tenant', 'tenantry.proof', 'statement_timeout'].map(toDefault),
  toDefault('idle_in_transaction_session_timeout'),
]
/** What a tenant may SET LOCAL. */
const LEAVE_SETTINGS = [...LOCAL_SETTINGS].map(toDefault)

function toDefault(name: string): string {
  return `set local ${name} to default`
}

/** As the transaction of a test begins: constraints that wait for COMMIT, which never comes. */
const CHECK = 'set constraints all immediate'
const DEFER = 'set constraints all deferred'
const DEFERRED = 'select 1 from pg_catalog.pg_constraint where condeferred limit 1'

/** Statements and transactions of all tenants of one database and login take turns on it. */
export class LastingTransaction {
  readonly #open: () => Promise<Link>
  readonly #free: (link: Link) => void
  readonly #floor = new Floor()
  readonly #patient = new WeakMap<Binding, Binding>()
  #link: Link | undefined
  #opening: Promise<Link> | undefined
  /** What is sent before the next: the end of the savepoint before. */
  #owed: readonly string[] = []
  /** There are constraints that wait for COMMIT. */
  #deferred = false
  #entered = false
  #ended: TenantryError | undefined
  #last: Promise<unknown> = Promise.resolve()

  /** @param open takes the connection, as soon as there is a statement; `free` gives it back. */
  constructor(open: () => Promise<Link>, free: (link: Link) => void) {
    this.#open = open
    this.#free = free
  }

  /** Nothing can be sent any more. */
  get ended(): TenantryError | undefined {
    return this.#ended
  }

  /** As the server says it: of the transaction that holds the floor. */
  get status(): TransactionStatus {
    return this.#link?.status ?? 'I'
  }

  /** A statement that stands alone: kept where it succeeds, undone where it fails. */
  async alone(statement: StatementConfig, binding: Binding | undefined): Promise<Answer> {
    await this.#floor.enter(statement.signal)
    try {
      return await this.#work(async (link) => {
        statement.signal?.throwIfAborted()
        const before = this.#begin(ALONE, binding)
        this.#owed = [`rollback to savepoint ${ALONE}`, `release savepoint ${ALONE}`]
        const result = await link
          .send(statement, { binding: this.#patiently(binding), before })
          .finally(() => {
            // Also where the answer could not be read: the server has done it.
            if (link.status === 'T') this.#owed = [`release savepoint ${ALONE}`]
          })
        if (this.#deferred) await this.#check(link, ALONE)
        return result
      })
    } finally {
      this.#floor.leave()
    }
  }

  /**
   * The first statement of a transaction, which holds the floor from now on, until `commit` or `undo`.
   * @param before BEGIN and what followed it. Its isolation is not asked for: nothing else runs meanwhile.
   * @param onSent the transaction is there from now on, even if the statement fails.
   */
  async begin(
    statement: StatementConfig,
    binding: Binding | undefined,
    before: readonly string[],
    onSent: () => void,
  ): Promise<Answer> {
    if (before.some((text) => /\bsnapshot\b/i.test(text))) {
      const what = 'SET TRANSACTION SNAPSHOT in the transaction of a test'
      throw new TenantryError('TNY210', {
        params: { what, instead: 'Run this test without inTransaction().' },
      })
    }
    await this.#floor.enter(statement.signal)
    let sent = false
    try {
      return await this.#work(async (link) => {
        statement.signal?.throwIfAborted()
        const readOnly = before.some((text) => /\bread\s+only\b/i.test(text))
        const opening = [...this.#begin(NESTED, binding), ...(readOnly ? ['set transaction read only'] : [])]
        sent = true
        this.#owed = []
        onSent()
        return await link.send(statement, { binding: this.#patiently(binding), before: opening })
      })
    } finally {
      if (!sent) this.#floor.leave()
    }
  }

  /** What follows in the transaction that holds the floor. */
  follow(statement: StatementConfig): Promise<Answer> {
    return this.#work((link) => link.send(statement))
  }

  /** One round trip of a cursor, stream or COPY in it. */
  exchange(part: Exchange): Promise<void> {
    return this.#work((link) => link.exchange(part))
  }

  /** @param settings whether it has changed settings for itself. @throws what a deferred constraint says */
  async commit(settings: boolean): Promise<void> {
    try {
      await this.#work((link) => this.#check(link, NESTED))
      if (settings) this.#owed = [...this.#owed, ...LEAVE_SETTINGS]
      this.#floor.leave()
    } catch (error) {
      this.undo()
      throw error
    }
  }

  /** Undoes the transaction that holds the floor, before whatever comes next. */
  undo(): void {
    this.#owed = [`rollback to savepoint ${NESTED}`, `release savepoint ${NESTED}`]
    this.#floor.leave()
  }

  /** Rolls everything back, once what is under way is over. */
  async end(): Promise<void> {
    this.#ended ??= over('the test has ended')
    this.#floor.refuse(this.#ended)
    await this.#last.catch(() => undefined)
    const link = this.#link
    this.#link = undefined
    if (link === undefined) return
    if (!link.broken) await link.send({ text: 'rollback' }).catch(() => link.close())
    this.#free(link)
  }

  /** What COMMIT would do: cursors end, and what waits for it is checked. */
  async #check(link: Link, savepoint: string): Promise<void> {
    try {
      // As a statement of its own: what fails before one looks like a tenant that was refused.
      await link.send({ text: CHECK }, savepoint === NESTED ? { before: ['close all'] } : {})
      this.#owed = [`release savepoint ${savepoint}`, ...(this.#deferred ? [DEFER] : [])]
    } catch (error) {
      this.#owed = [`rollback to savepoint ${savepoint}`, `release savepoint ${savepoint}`]
      throw error
    }
  }

  #begin(savepoint: string, binding: Binding | undefined): string[] {
    // Only the login may bind a context, and central work has none.
    const leave = !this.#entered ? [] : binding === undefined ? LEAVE_TENANT : [LEAVE_ROLE]
    if (binding !== undefined) this.#entered = true
    return [...this.#owed, ...leave, `savepoint ${savepoint}`]
  }

  async #work<T>(fn: (link: Link) => Promise<T>): Promise<T> {
    const working = this.#floor.work(async () => {
      if (this.#ended !== undefined) throw this.#ended
      const link = await (this.#opening ??= this.#start())
      try {
        return await fn(link)
      } catch (error) {
        if (!link.broken) throw error
        // Another connection in its place would have none of what the test did before.
        this.#ended ??= over('its connection was lost', error)
        throw this.#ended
      }
    })
    this.#last = working
    return working
  }

  async #start(): Promise<Link> {
    const link = await this.#open()
    this.#link = link
    const { rows } = await link.send({ text: DEFERRED }, { before: ['begin'] })
    this.#deferred = rows.length > 0
    return link
  }

  /** Somebody who looks at a test with a debugger takes longer than an application may. */
  #patiently(binding: Binding | undefined): Binding | undefined {
    if (binding === undefined) return undefined
    const known = this.#patient.get(binding) ?? { ...binding, idleInTransactionTimeout: '0' }
    this.#patient.set(binding, known)
    return known
  }
}

function over(reason: string, cause?: unknown): TenantryError {
  return new TenantryError('TNY046', { params: { reason }, ...(cause === undefined ? {} : { cause }) })
}
