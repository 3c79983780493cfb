/** What a pool does for connections that rest: closes those that nobody uses, looks how much memory the others hold. */
import type { Slot, TenantSlots } from './tenant-slots.ts'

/** Times in milliseconds. */
export interface UpkeepOptions {
  /** How long a connection stays open unused. */
  readonly idleTimeoutMs: number
  /** How often each backend's memory is looked at. */
  readonly memoryLookMs: number
}

/** What the pool does when told. */
export interface UpkeepTasks {
  close(slot: Slot): void
  /** Holds the connection meanwhile, and tells when it has given it back. */
  look(slot: Slot): Promise<void>
}

/** Limits how late a round is against the times above, and how often there is one. */
const ROUND_MS = { least: 5, most: 1_000 }
/** A connection that is never found at rest is looked at in between, once in so many times. */
const OVERDUE = 5

/** One timer for all connections, which runs while there are any. */
export class Upkeep {
  readonly #slots: TenantSlots
  readonly #options: UpkeepOptions
  readonly #tasks: UpkeepTasks
  #timer: NodeJS.Timeout | undefined
  #looks = true
  #looking = false

  constructor(slots: TenantSlots, options: UpkeepOptions, tasks: UpkeepTasks) {
    this.#slots = slots
    this.#options = options
    this.#tasks = tasks
  }

  /** A connection is there. */
  start(): void {
    const { least, most } = ROUND_MS
    const shortest = Math.min(this.#options.idleTimeoutMs, this.#options.memoryLookMs)
    this.#timer ??= setInterval(() => this.#round(), Math.min(Math.max(shortest / 4, least), most)).unref()
  }

  /** The server does not let us look: it is not asked again. */
  stopLooking(): void {
    this.#looks = false
  }

  #round(): void {
    if (this.#slots.total === 0) {
      clearInterval(this.#timer)
      this.#timer = undefined
    }
    const { idleTimeoutMs, memoryLookMs } = this.#options
    const now = performance.now()
    for (const slot of this.#slots.all) {
      if (slot.state === 'idle' && now - slot.since > idleTimeoutMs) this.#tasks.close(slot)
    }
    if (!this.#looks || this.#looking) return
    // Behind a pooler another backend answers each time.
    const due = this.#slots.all.find(
      (slot) => slot.state === 'idle' && now - slot.lookedAt > memoryLookMs && slot.connection?.ownsBackend,
    )
    if (due !== undefined) void this.#look(due)
    else this.#markOverdue(now - OVERDUE * memoryLookMs)
  }

  #markOverdue(since: number): void {
    const slot = this.#slots.all.find(
      ({ state, lookedAt, connection }) => state === 'busy' && lookedAt < since && connection?.ownsBackend,
    )
    if (slot !== undefined) slot.overdue = true
  }

  /** One at a time, so that statements find the other connections free; so with those that are marked. */
  async #look(slot: Slot): Promise<void> {
    this.#looking = true
    await this.#tasks.look(slot)
    this.#looking = false
  }
}
