/** A statement that waits for a connection. */
import type { Connection } from './connection.ts'
import type { Waiter } from './fair-queue.ts'
import type { Residence, Slot } from './tenant-slots.ts'

/**
 * A tenant that a backend meets first costs it some 12 ms (FINDINGS 22), so that waiting for the home pays; but not
 * behind a holder that is slow, nor where the tenant's statements have waited for longer lately than getting to know
 * another connection would cost. So busy tenants spread over as many connections as they need, and the others do not.
 */
const PATIENCE = { slowHolderMs: 15, waitedMs: 12 }

/** Settles once: with a connection, or with the reason why there is none. */
export class WaitingStatement implements Waiter {
  readonly tenantId: string
  readonly weight: number
  readonly maxConnections: number
  readonly home: Residence | undefined
  /** In milliseconds of performance.now(). */
  readonly since: number
  readonly connection: Promise<Connection>
  readonly #settle = Promise.withResolvers<Connection>()
  #signal: AbortSignal | undefined
  #onAbort: (() => void) | undefined

  constructor(asker: Waiter, home: Residence | undefined, since: number) {
    this.tenantId = asker.tenantId
    this.weight = asker.weight
    this.maxConnections = asker.maxConnections
    this.home = home
    this.since = since
    this.connection = this.#settle.promise
  }

  /** How little a free connection suits it: the home least, then one that knows it; Infinity while it is patient. */
  distance(slot: Slot, now: number): number {
    const { home, tenantId } = this
    if (home?.slot === slot) return 0
    if (home === undefined || slot.connection?.hasTouched(tenantId) === true) return 1
    const behindSlowHolder = home.slot.state === 'busy' && now - home.slot.since > PATIENCE.slowHolderMs
    return behindSlowHolder || home.waitedMs(now) + now - this.since > PATIENCE.waitedMs ? 2 : Infinity
  }

  /** Its caller may give up. @param onAbort called with the signal's reason, unless it is served before. */
  heed(signal: AbortSignal, onAbort: (reason: unknown) => void): void {
    this.#signal = signal
    this.#onAbort = () => onAbort(signal.reason)
    signal.addEventListener('abort', this.#onAbort)
  }

  /** Its turn, on a connection that its tenant may not know yet. */
  serve(connection: Connection, now: number): void {
    this.#stopHeeding()
    if (connection.hasTouched(this.tenantId)) this.home?.wait(now - this.since, now)
    else this.home?.settle()
    this.#settle.resolve(connection)
  }

  fail(error: unknown): void {
    this.#stopHeeding()
    this.#settle.reject(error)
  }

  #stopHeeding(): void {
    if (this.#onAbort !== undefined) this.#signal?.removeEventListener('abort', this.#onAbort)
  }
}
