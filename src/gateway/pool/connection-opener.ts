/** Opens the connections of a pool: any number while that works, one attempt at a time while the server is away. */
import { Connection } from '../connection/connection.ts'
import type { ConnectionSettings } from '../connection/connection-settings.ts'

const FIRST_BACKOFF_MS = 50
const LONGEST_BACKOFF_MS = 1_000

/** A connection, and the moment in which it has ended on both sides. */
export interface OpenedConnection {
  readonly connection: Connection
  readonly gone: Promise<void>
}

/** After a failure attempts come further and further apart, until one succeeds. */
export class ConnectionOpener {
  readonly #settings: ConnectionSettings
  readonly #onRetry: () => void
  /** 0 while the server answers. */
  #backoffMs = 0
  #underWay = 0
  #nextAttempt: NodeJS.Timeout | undefined

  /** @param onRetry called when it is time for the next attempt. */
  constructor(settings: ConnectionSettings, onRetry: () => void) {
    this.#settings = settings
    this.#onRetry = onRetry
  }

  /** Whether another attempt may begin now. */
  get ready(): boolean {
    return this.#nextAttempt === undefined && (this.#backoffMs === 0 || this.#underWay === 0)
  }

  /** @throws TNY202 where the server cannot be reached; a refused login passes as PostgreSQL says it. */
  async open(): Promise<OpenedConnection> {
    const gone = Promise.withResolvers<void>()
    this.#underWay += 1
    try {
      const connection = await Connection.open(this.#settings, gone.resolve)
      this.#backoffMs = 0
      return { connection, gone: gone.promise }
    } catch (error) {
      this.#pause()
      throw error
    } finally {
      this.#underWay -= 1
    }
  }

  /** No more attempts. */
  stop(): void {
    clearTimeout(this.#nextAttempt)
  }

  #pause(): void {
    this.#backoffMs = Math.min(Math.max(this.#backoffMs * 2, FIRST_BACKOFF_MS), LONGEST_BACKOFF_MS)
    clearTimeout(this.#nextAttempt)
    this.#nextAttempt = setTimeout(
      () => {
        this.#nextAttempt = undefined
        this.#onRetry()
      },
      // With jitter, or all processes of an application would come back in the same moment.
      this.#backoffMs * (0.5 + Math.random() / 2),
    )
    this.#nextAttempt.unref()
  }
}
