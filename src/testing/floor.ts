/** Turns on one connection: one holder at a time, in the order in which they came, and nobody waits for itself. */
import { TenantryError } from '../core/errors.ts'

/** Whoever holds the floor may rest so long while others wait; counted in looks, so that a busy process is no rest. */
const LOOK_MS = 100
const LOOKS = 20

interface Waiter {
  serve(): void
  fail(error: unknown): void
}

/** The right to send, in the transaction of a test. */
export class Floor {
  readonly #waiting: Waiter[] = []
  #taken = false
  #resting = 0
  #working = 0
  #look: NodeJS.Timeout | undefined

  /** @throws TNY045 where the holder rests for two seconds: it may wait for this very statement; the signal's reason */
  async enter(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    if (!this.#taken) {
      this.#taken = true
      return
    }
    const turn = Promise.withResolvers<void>()
    const waiter = { serve: turn.resolve, fail: turn.reject }
    const leave = (): void => {
      const at = this.#waiting.indexOf(waiter)
      if (at === -1) return
      this.#waiting.splice(at, 1)
      turn.reject(signal?.reason)
    }
    this.#waiting.push(waiter)
    this.#look ??= setInterval(() => this.#watch(), LOOK_MS)
    signal?.addEventListener('abort', leave)
    try {
      await turn.promise
    } finally {
      signal?.removeEventListener('abort', leave)
    }
  }

  leave(): void {
    this.#resting = 0
    const next = this.#waiting.shift()
    if (next === undefined) this.#taken = false
    else next.serve()
    this.#stopWhereNobodyWaits()
  }

  /** The holder is at work as long as `fn` runs. */
  async work<T>(fn: () => Promise<T>): Promise<T> {
    this.#working += 1
    try {
      return await fn()
    } finally {
      this.#working -= 1
      this.#resting = 0
    }
  }

  /** Nobody who waits now gets it. */
  refuse(error: unknown): void {
    for (const waiter of this.#waiting.splice(0)) waiter.fail(error)
    this.#stopWhereNobodyWaits()
  }

  #watch(): void {
    if (this.#working > 0) this.#resting = 0
    else this.#resting += 1
    if (this.#resting >= LOOKS) this.refuse(new TenantryError('TNY045'))
  }

  #stopWhereNobodyWaits(): void {
    if (this.#waiting.length > 0) return
    clearInterval(this.#look)
    this.#look = undefined
    this.#resting = 0
  }
}
