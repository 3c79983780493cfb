/** A connection that tells what is sent on it, and for whom. */
import type { FlightOptions, TransactionStatus } from '../gateway/connection/connection.ts'
import type { Exchange } from '../gateway/connection/exchange.ts'
import type { StatementConfig } from '../gateway/connection/flight.ts'
import type { Link } from '../gateway/gateway.ts'
import type { Answer } from './lasting-transaction.ts'

/** A statement that is about to run, or has returned rows. */
export interface SeenStatement {
  /** `undefined` for central work. */
  readonly tenantId: string | undefined
  readonly text: string
  readonly rows?: readonly unknown[]
}

/** Told in the context of whoever sent it. */
export type Watcher = (seen: SeenStatement) => void

/** Passes everything on to the connection behind it. */
export class WatchedLink implements Link {
  readonly inner: Link
  readonly #tell: Watcher
  #tenantId: string | undefined

  constructor(inner: Link, tell: Watcher) {
    this.inner = inner
    this.#tell = tell
  }

  get ownsBackend(): boolean {
    return this.inner.ownsBackend
  }
  get broken(): boolean {
    return this.inner.broken
  }
  get status(): TransactionStatus {
    return this.inner.status
  }
  get whenLost(): Link['whenLost'] {
    return this.inner.whenLost
  }
  set whenLost(hear: Link['whenLost']) {
    this.inner.whenLost = hear
  }

  async send(statement: StatementConfig, options: FlightOptions = {}): Promise<Answer> {
    // Within a transaction it is the tenant's who began it.
    if (this.inner.status === 'I') this.#tenantId = options.binding?.tenantId
    const seen = { tenantId: this.#tenantId, text: statement.text }
    this.#tell(seen)
    const result = await this.inner.send(statement, options)
    if (result.rows.length > 0) this.#tell({ ...seen, rows: result.rows as unknown[] })
    return result
  }

  exchange(part: Exchange): Promise<void> {
    return this.inner.exchange(part)
  }

  close(): void {
    this.inner.close()
  }
}
