/** One deadline after another with one timer: most are met long before it fires, and none of them arms it anew. */

/** Calls `onPassed` when the last deadline that was set has passed, unless it was cleared. */
export class Deadline {
  readonly #onPassed: (ms: number) => void
  #timer: NodeJS.Timeout | undefined
  #firesAt = Number.POSITIVE_INFINITY
  #at = Number.POSITIVE_INFINITY
  #ms = 0

  /** @param onPassed is told how many milliseconds had been given. */
  constructor(onPassed: (ms: number) => void) {
    this.#onPassed = onPassed
  }

  /** In place of the one before. */
  set(ms: number): void {
    const now = performance.now()
    this.#ms = ms
    this.#at = now + ms
    if (this.#at < this.#firesAt) this.#arm(now)
  }

  /** Met; the timer goes on, for the next one. */
  clear(): void {
    this.#at = Number.POSITIVE_INFINITY
  }

  /** Nothing is to come. */
  stop(): void {
    this.clear()
    clearTimeout(this.#timer)
    this.#firesAt = Number.POSITIVE_INFINITY
  }

  #arm(now: number): void {
    clearTimeout(this.#timer)
    this.#firesAt = this.#at
    this.#timer = setTimeout(() => this.#look(), this.#at - now)
    // What waits for an answer has an open socket, which keeps the process alive.
    this.#timer.unref()
  }

  #look(): void {
    this.#firesAt = Number.POSITIVE_INFINITY
    const now = performance.now()
    if (this.#at === Number.POSITIVE_INFINITY) return
    // Timers may fire up to a millisecond early.
    if (this.#at - now > 1) this.#arm(now)
    else {
      this.clear()
      this.#onPassed(this.#ms)
    }
  }
}
