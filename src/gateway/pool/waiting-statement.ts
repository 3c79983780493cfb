/** A statement that waits for a connection. */
import type { Connection } from '../connection/connection.ts'
import type { Waiter } from './fair-queue.ts'
import { isFull, isKnown, type Residence, type Slot } from './tenant-slots.ts'

/**
 * A tenant that a backend meets first costs it some 12 ms (FINDINGS 22), so that waiting for the home pays; but not
 * behind a holder that is slow, and not for ever. Were the wait shorter than a cold statement, a cold pool would never
 * get warm: everybody would go on to the next connection that does not know them. For the same reason patience grows
 * where a connection has met many already: a slow disk would else have every backend closed and filled anew, for ever.
 */
const PATIENCE = { slowHolderMs: 15, longestMs: 60 }
const PATIENCE_WITH_FULL = { slowHolderMs: 150, longestMs: 1_000 }

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
    const { home } = this
    if (home?.slot === slot) return 0
    if (home === undefined || isKnown(home, slot)) return 1
    const { slowHolderMs, longestMs } = isFull(slot) ? PATIENCE_WITH_FULL : PATIENCE
    const behindSlowHolder = home.slot.state === 'busy' && now - home.slot.since > slowHolderMs
    return behindSlowHolder || now - this.since > longestMs ? 2 : Infinity
  }

  /** Its caller may give up. @param onAbort called with the signal's reason, unless it is served before. */
  heed(signal: AbortSignal, onAbort: (reason: unknown) => void): void {
    this.#signal = signal
    this.#onAbort = () => onAbort(signal.reason)
    signal.addEventListener('abort', this.#onAbort)
  }

  serve(connection: Connection): void {
    this.#stopHeeding()
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
