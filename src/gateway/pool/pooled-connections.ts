/** The connections of one pool, each from opening to its end: which of them must go, and when its place is free again. */
import type { Events } from '../../core/events.ts'
import type { Connection } from '../connection/connection.ts'
import type { ConnectionSettings } from '../connection/connection-settings.ts'
import { ConnectionOpener } from './connection-opener.ts'
import { type Slot, TenantSlots, welcomeTenants } from './tenant-slots.ts'

/** How long connections last, and how many there are. */
export interface ConnectionBounds {
  /** Most connections at once, however many tenants there are. */
  readonly max: number
  /** How long a connection lives, in milliseconds; then it is closed at its next rest. */
  readonly maxAgeMs: number
  /** How much memory its backend may hold; then it is closed. Only where the login may know it. */
  readonly maxMemoryMb: number
}

/** What the pool hears of its connections. */
export interface ConnectionEvents {
  /** One was opened, for whoever is next. */
  onOpened(slot: Slot): void
  /** One could not be opened; its place is taken until `onVacated`. */
  onFailed(error: unknown): void
  /** A connection begins to close. */
  onLeaving(): void
  /** It is gone, and its place free. */
  onVacated(): void
  /** The time for another attempt has come. */
  onRetry(): void
}

const MB = 1_048_576
/** It was pressed to meet so many more tenants than are welcome: what it holds of them only goes when it is closed. */
const OVERGROWN = 1.25
/** A connection whose end the other side does not confirm is taken for closed. */
const LONGEST_CLOSING_MS = 1_000

/** Opens and closes connections; who holds them is the pool's business. */
export class PooledConnections {
  readonly slots: TenantSlots
  readonly #bounds: ConnectionBounds
  readonly #events: Events
  readonly #told: ConnectionEvents
  readonly #opener: ConnectionOpener
  readonly #slotOf = new Map<Connection, Slot>()

  constructor(
    settings: ConnectionSettings,
    bounds: ConnectionBounds,
    events: Events,
    told: ConnectionEvents,
  ) {
    this.slots = new TenantSlots(bounds.max)
    this.#bounds = bounds
    this.#events = events
    this.#told = told
    this.#opener = new ConnectionOpener(settings, () => told.onRetry())
  }

  /** How many are open. */
  get open(): number {
    return this.#slotOf.size
  }

  /** How many could be opened now, as far as the server's budget goes. */
  get openable(): number {
    return this.#opener.ready ? this.slots.count('empty') : 0
  }

  /** `undefined` where it is not of this pool, or no longer. */
  slotOf(connection: Connection): Slot | undefined {
    return this.#slotOf.get(connection)
  }

  /** Opens a connection in an empty slot. */
  async fill(slot: Slot): Promise<void> {
    this.slots.enter(slot, 'opening', performance.now())
    try {
      const { connection, gone } = await this.#opener.open()
      slot.lookedAt = performance.now()
      Object.assign(slot, { connection, gone, memoryBytes: 0, overdue: false })
      this.#slotOf.set(connection, slot)
      void gone.then(() => this.#onGone(slot, connection))
      this.#events.emit('connection:open', { total: this.slots.total })
      if (connection.broken) this.discard(slot, 'broken')
      else this.#told.onOpened(slot)
    } catch (error) {
      this.#told.onFailed(error)
      this.#told.onLeaving()
      this.#vacate(slot)
    }
  }

  /** Why a connection that comes back must not be used again, or `undefined`. */
  flawOf(connection: Connection, slot: Slot, now: number): string | undefined {
    if (connection.broken) return 'broken'
    if (connection.status !== 'I') return 'not clean'
    if (connection.isAltered) return 'altered'
    if (connection.outdated) return 'outdated'
    if (connection.tenantsTouched > welcomeTenants(slot) * OVERGROWN) return 'grown'
    if (slot.memoryBytes > this.#bounds.maxMemoryMb * MB) return 'memory'
    if (now - connection.openedAt > this.#bounds.maxAgeMs) return 'aged'
    return undefined
  }

  /** Whether its connection is idle. One that ended while it was idle is found out here. */
  isUsable(slot: Slot): boolean {
    if (slot.state !== 'idle') return false
    if (slot.connection?.broken === false) return true
    this.discard(slot, 'broken')
    return false
  }

  /** Closes a slot's connection, if it has one. */
  discard(slot: Slot, reason: string): void {
    const { connection } = slot
    if (connection === undefined) return
    slot.connection = undefined
    this.#slotOf.delete(connection)
    this.slots.enter(slot, 'closing', performance.now())
    this.#told.onLeaving()
    connection.close()
    this.#events.emit('connection:close', { reason, total: this.slots.total })
    const tooLong = Promise.withResolvers<void>()
    const timer = setTimeout(tooLong.resolve, LONGEST_CLOSING_MS)
    timer.unref()
    void Promise.race([slot.gone, tooLong.promise]).then(() => {
      clearTimeout(timer)
      this.#vacate(slot)
    })
  }

  /** Closes all in one of these states, or all there are. No further attempt follows. */
  discardAll(state?: Slot['state']): void {
    if (state === undefined) this.#opener.stop()
    for (const slot of this.slots.all) {
      if (state === undefined || slot.state === state) this.discard(slot, 'ended')
    }
  }

  /** Its connection ended by itself. One that is held is found broken when it comes back. */
  #onGone(slot: Slot, connection: Connection): void {
    if (slot.connection === connection && slot.state !== 'busy') this.discard(slot, 'lost')
  }

  #vacate(slot: Slot): void {
    this.slots.enter(slot, 'empty', performance.now())
    this.#told.onVacated()
  }
}
