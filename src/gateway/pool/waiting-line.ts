/** The statements that wait for a connection of one pool: how long they do, and how they leave without one. */
import { TenantryError } from '../../core/errors.ts'
import type { Connection } from '../connection/connection.ts'
import { FairQueue, type Waiter } from './fair-queue.ts'
import type { Residence } from './tenant-slots.ts'
import { WaitingStatement } from './waiting-statement.ts'

/** What a line may hold. */
export interface WaitingLineOptions {
  /** How long a statement waits, in milliseconds. */
  readonly waitTimeoutMs: number
  readonly maxWaiting: number
}

/** What happens meanwhile. */
export interface WaitingLineEvents {
  /** Time to look again whether somebody can be served. */
  onPatrol(): void
  /** One left without a connection. */
  onLeft(): void
}

/** How often those that wait are looked at again. One timer for all: a deadline needs no better. */
const PATROL_MS = 10

/** A fair queue whose statements lose patience. */
export class WaitingLine extends FairQueue<WaitingStatement> {
  readonly #options: WaitingLineOptions
  readonly #told: WaitingLineEvents
  #patrol: NodeJS.Timeout | undefined

  constructor(options: WaitingLineOptions, told: WaitingLineEvents) {
    super({ max: options.maxWaiting, maxPerTenant: options.maxWaiting })
    this.#options = options
    this.#told = told
  }

  /** Waits for `serve`. @throws TNY214 where too many wait; TNY203 and the signal's reason by the promise. */
  enter(asker: Waiter, home: Residence | undefined, signal: AbortSignal | undefined): Promise<Connection> {
    const waiting = new WaitingStatement(asker, home, performance.now())
    if (!this.push(waiting)) {
      throw new TenantryError('TNY214', { params: { waiting: this.size, max: this.#options.maxWaiting } })
    }
    if (signal !== undefined) waiting.heed(signal, (reason) => this.#leave(waiting, reason))
    this.#patrol ??= setInterval(() => this.#look(), PATROL_MS)
    return waiting.connection
  }

  /** Nobody waits any more. */
  failAll(error: () => unknown): void {
    for (const waiting of this.waiters()) this.#leave(waiting, error())
  }

  #look(): void {
    this.#told.onPatrol()
    const { waitTimeoutMs } = this.#options
    const now = performance.now()
    // The oldest come first, and all wait for the same time.
    for (const waiting of this.waiters()) {
      if (now - waiting.since < waitTimeoutMs) break
      this.#leave(waiting, new TenantryError('TNY203', { params: { ms: waitTimeoutMs } }))
    }
    if (this.size > 0) return
    clearInterval(this.#patrol)
    this.#patrol = undefined
  }

  #leave(waiting: WaitingStatement, error: unknown): void {
    this.remove(waiting)
    waiting.fail(error)
    this.#told.onLeft()
  }
}
