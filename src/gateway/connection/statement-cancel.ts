/** What an AbortSignal does to a statement that is under way: it is cancelled on the server, and nobody else's is. */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { type BackendKey, requestCancel } from './cancel-request.ts'

/**
 * A cancel reaches whatever its backend runs when it arrives. So the statement is not over before the request has been
 * handled, and whoever holds the connection sends an empty round trip then, to meet what may come late: it cannot hit
 * the next tenant (P5).
 */
export class StatementCancel {
  readonly #backend: BackendKey
  readonly #signal: AbortSignal
  readonly #over = Promise.withResolvers<void>()
  #isOver = false
  #isUnknown = false
  #request: Promise<void> | undefined
  readonly #onAbort = (): void => {
    this.#request = this.#insist()
  }

  constructor(signal: AbortSignal, backend: BackendKey) {
    this.#signal = signal
    this.#backend = backend
    signal.addEventListener('abort', this.#onAbort, { once: true })
  }

  /**
   * To be called when the statement has ended. Resolves when no request is under way any more.
   * @returns `unknown` where one may arrive yet, when the backend works for somebody else.
   */
  async settle(): Promise<'none' | 'handled' | 'unknown'> {
    this.#isOver = true
    this.#over.resolve()
    this.#signal.removeEventListener('abort', this.#onAbort)
    if (this.#request === undefined) return 'none'
    await this.#request
    return this.#isUnknown ? 'unknown' : 'handled'
  }

  /** One that overtook its statement, or was lost, cancelled nothing: asked again until the statement ends. */
  async #insist(): Promise<void> {
    for (let pauseMs = 50; !this.#isOver; pauseMs = Math.min(pauseMs * 2, 1_000)) {
      const outcome = await requestCancel(this.#backend)
      if (outcome === 'unknown') this.#isUnknown = true
      await Promise.race([this.#over.promise, sleep(pauseMs, undefined, { ref: false })])
    }
  }
}

/** True for the server's word that it cancelled a statement. */
export function isCancelled(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === '57014'
}

/** What the caller gets for an aborted statement: the signal's reason where that is an error. */
export function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error
    ? signal.reason
    : new DOMException('The statement was aborted', 'AbortError')
}
