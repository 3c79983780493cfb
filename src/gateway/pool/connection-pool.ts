/** The connections to one database: a hard cap, a home connection for each tenant, fair turns for those that wait. */
import type { Events } from '../../core/events.ts'
import { TenantryError } from '../../core/errors.ts'
import { readBackendMemory } from './backend-memory.ts'
import type { Binding } from '../binding.ts'
import type { Connection } from '../connection/connection.ts'
import type { ConnectionSettings } from '../connection/connection-settings.ts'
import { type ConnectionBounds, PooledConnections } from './pooled-connections.ts'
import { type Claimant, ServerBudget } from './server-budget.ts'
import { isKnown, type Residence, type Slot, type TenantSlots } from './tenant-slots.ts'
import { Upkeep } from './upkeep.ts'
import type { WaitingStatement } from './waiting-statement.ts'
import { WaitingLine, type WaitingLineOptions } from './waiting-line.ts'

/** Bounds of a pool; times in milliseconds. */
export interface ConnectionPoolOptions extends ConnectionBounds, WaitingLineOptions {
  /** How long a connection stays open unused. */
  readonly idleTimeoutMs: number
  /** How often a backend's memory is looked at. A minute by default: the answer takes 0.5 to 40 ms. */
  readonly memoryLookMs?: number | undefined
}

/** Who asks for a connection. */
export type Asker = Pick<Binding, 'tenantId' | 'weight' | 'maxConnections' | 'database' | 'login'> &
  Partial<Pick<Binding, 'roams'>>

/** Central work takes its turn like a tenant of weight 1. */
const CENTRAL: Asker = { tenantId: '', weight: 1, maxConnections: Infinity }
const MEMORY_LOOK_MS = 60_000

/** Hands out connections, one holder at a time. */
export class ConnectionPool implements Claimant {
  readonly #options: ConnectionPoolOptions
  readonly #events: Events
  readonly #budget: ServerBudget
  readonly #connections: PooledConnections
  readonly #slots: TenantSlots
  readonly #queue: WaitingLine
  readonly #upkeep: Upkeep
  /** Connections that were asked for and could not be opened yet; never more than statements wait. */
  #wanted = 0
  #ended = false
  #whenEmpty: (() => void) | undefined

  /** @param budget that of the server, where other pools share it. */
  constructor(
    settings: ConnectionSettings,
    options: ConnectionPoolOptions,
    events: Events,
    budget = new ServerBudget(options.max),
  ) {
    this.#options = options
    this.#events = events
    this.#budget = budget
    this.#queue = new WaitingLine(options, {
      onPatrol: () => this.#serveIdle(),
      onLeft: () => this.#tellIfEmpty(),
    })
    this.#connections = new PooledConnections(settings, options, events, {
      onOpened: (slot) => this.#onOpened(slot),
      onFailed: (error) => this.#onFailed(error),
      onLeaving: () => budget.leave(),
      onVacated: () => this.#onVacated(),
      onRetry: () => this.#want(),
    })
    this.#slots = this.#connections.slots
    const { idleTimeoutMs, memoryLookMs = MEMORY_LOOK_MS } = options
    this.#upkeep = new Upkeep(
      this.#slots,
      { idleTimeoutMs, memoryLookMs },
      {
        close: (slot) => this.#connections.discard(slot, 'idle'),
        look: (slot) => this.#look(slot),
      },
    )
  }

  get max(): number {
    return this.#options.max
  }
  get total(): number {
    return this.#slots.total
  }
  get idle(): number {
    return this.#slots.count('idle')
  }
  get waiting(): number {
    return this.#queue.size
  }
  get missing(): number {
    // One that rests will do as well as a new one, for whoever has lost patience.
    const unserved = Math.max(this.#queue.size - this.idle, 0)
    return Math.min(this.#wanted, unserved, this.#connections.openable)
  }
  /** No connection is there, not even one that is closing, and nobody waits for one. */
  get empty(): boolean {
    return this.#slots.count('empty') === this.max && this.#queue.size === 0
  }

  /**
   * A connection, preferably the tenant's own: its caches and plans are warm.
   * @throws TNY202 where none can be opened, TNY203 after waiting too long, TNY214 where too many wait, TNY208 after `end`,
   * the signal's reason where it is aborted first.
   */
  async acquire(asker: Asker = CENTRAL, signal?: AbortSignal): Promise<Connection> {
    signal?.throwIfAborted()
    return this.tryAcquire(asker) ?? this.#wait(asker, signal)
  }

  /** The same, without a promise: `undefined` where the statement would have to wait. @throws TNY208 */
  tryAcquire(asker: Asker = CENTRAL): Connection | undefined {
    if (this.#ended) throw new TenantryError('TNY208')
    const { tenantId } = asker
    if (!this.#queue.mayTake(asker, this.#slots.total)) return undefined
    const home = asker.roams === true ? undefined : this.#slots.homeOf(tenantId)
    const slot = this.#findIdle(home)
    if (slot?.connection === undefined) return undefined
    this.#queue.acquired(asker)
    if (home !== undefined) this.#slots.meet(home, slot)
    this.#hold(slot, tenantId, performance.now())
    this.#tellAcquired(slot.connection, tenantId, 0)
    return slot.connection
  }

  /** Takes a connection back. One that is broken or not idle on the server is closed, never reused (P2, P3). */
  release(connection: Connection): void {
    const slot = this.#connections.slotOf(connection)
    if (slot?.state !== 'busy') return
    this.#queue.released(slot.holder)
    const now = performance.now()
    const flaw = this.#connections.flawOf(connection, slot, now)
    if (flaw !== undefined) {
      this.#connections.discard(slot, flaw)
      // A tenant that was at its own bound may go on with a connection that rests.
      this.#serveIdle()
    } else if (slot.overdue && !this.#ended) void this.#look(slot)
    else this.#serve(slot, now)
  }

  /** A schema changed, a tenant's or (where undefined) one that all use: plans that were prepared do not hold. */
  forgetStatements(tenantId: string | undefined): void {
    for (const { connection } of this.#slots.all) connection?.forgetStatements(tenantId)
  }

  grow(first?: Slot): void {
    while (this.missing > 0) {
      const slot = first?.state === 'empty' ? first : this.#slots.find('empty')
      if (slot === undefined || !this.#budget.take(this)) return
      this.#wanted -= 1
      void this.#connections.fill(slot)
    }
  }

  shrink(restedMs: number): boolean {
    const slot = this.#slots.find('idle', performance.now() - restedMs)
    if (slot !== undefined) this.#connections.discard(slot, 'yielded')
    return slot !== undefined
  }

  /** Takes no new statements, lets those that hold or await a connection finish for `timeoutMs`, and closes all. */
  async end(timeoutMs: number): Promise<void> {
    this.#ended = true
    this.#connections.discardAll('idle')
    const { promise: empty, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, timeoutMs)
    this.#whenEmpty = resolve
    this.#tellIfEmpty()
    await empty
    clearTimeout(timer)
    this.#queue.failAll(() => new TenantryError('TNY208'))
    this.#connections.discardAll()
  }

  /** An idle connection for a tenant: its home, or one that knows it. */
  #findIdle(home: Residence | undefined): Slot | undefined {
    if (this.idle === 0) return undefined
    // Central work touches few tables, and is at home everywhere; so are tenants that share all they touch.
    if (home === undefined) return this.#slots.all.find((slot) => this.#connections.isUsable(slot))
    if (this.#connections.isUsable(home.slot)) return home.slot
    return home.known.find((slot) => isKnown(home, slot) && this.#connections.isUsable(slot))
  }

  /** The queue counts what each tenant holds, from `next` or `acquired` on until `released`. */
  #hold(slot: Slot, tenantId: string, now: number): void {
    this.#slots.enter(slot, 'busy', now)
    slot.holder = tenantId
  }

  #tellAcquired(connection: Connection, tenantId: string, waitedMs: number): void {
    if (!this.#events.has('connection:acquired')) return
    this.#events.emit('connection:acquired', {
      tenantId: tenantId === '' ? undefined : tenantId,
      waitedMs,
      warm: connection.hasTouched(tenantId),
    })
  }

  #wait(asker: Asker, signal: AbortSignal | undefined): Promise<Connection> {
    const home = asker.roams === true ? undefined : this.#slots.homeOf(asker.tenantId)
    const connection = this.#queue.enter(asker, home, signal)
    this.#want(home?.slot)
    return connection
  }

  #want(home?: Slot): void {
    this.#wanted = Math.min(this.#wanted + 1, this.#queue.size)
    this.grow(home)
  }

  /** Whoever comes next by fairness, of those that are at home here, known here, or have waited long enough. */
  #serve(slot: Slot, now: number): void {
    const { connection } = slot
    if (connection === undefined) return
    if (this.#budget.pressed && this.#budget.reclaims(this, now - connection.openedAt)) {
      this.#connections.discard(slot, 'yielded')
      return
    }
    const next = this.#queue.size === 0 ? undefined : this.#next(slot, now)
    if (next !== undefined) {
      this.#hold(slot, next.tenantId, now)
      this.#tellAcquired(connection, next.tenantId, now - next.since)
      next.serve(connection)
    } else if (this.#ended && this.#queue.size === 0) this.#connections.discard(slot, 'ended')
    else this.#slots.enter(slot, 'idle', now)
  }

  #next(slot: Slot, now: number): WaitingStatement | undefined {
    const isSpacious = this.#slots.isSpacious(slot, now)
    const mayMove = ({ home }: WaitingStatement): boolean =>
      isSpacious && home !== undefined && this.#slots.isCrowded(home, now)
    const next = this.#queue.next(this.total, (waiting) => {
      const distance = waiting.distance(slot, now)
      return distance === Infinity && mayMove(waiting) ? 3 : distance
    })
    if (next?.home === undefined) return next
    if (mayMove(next)) this.#slots.move(next.home, slot)
    this.#slots.meet(next.home, slot)
    return next
  }

  /** Gives those that have lost patience the connections that rest. */
  #serveIdle(): void {
    const now = performance.now()
    for (const slot of this.#slots.all) {
      if (this.#queue.size === 0) break
      if (this.#connections.isUsable(slot)) this.#serve(slot, now)
    }
    this.grow()
  }

  /** Holds a connection, and learns what its backend holds of memory. */
  async #look(slot: Slot): Promise<void> {
    const { connection } = slot
    if (connection === undefined) return
    const now = performance.now()
    slot.lookedAt = now
    slot.overdue = false
    this.#queue.acquired(CENTRAL)
    this.#hold(slot, CENTRAL.tenantId, now)
    const bytes = await readBackendMemory(connection)
    if (bytes === 'refused') this.#upkeep.stopLooking()
    else if (bytes !== 'unknown') slot.memoryBytes = bytes
    this.release(connection)
  }

  #onOpened(slot: Slot): void {
    this.#upkeep.start()
    this.#serve(slot, performance.now())
  }

  /** Whoever waited for the server is told that it is away; while other connections serve, they may wait. */
  #onFailed(error: unknown): void {
    if (this.#connections.open === 0) this.#queue.failAll(() => error)
  }

  #onVacated(): void {
    if (this.#queue.size > 0) this.#wanted = Math.max(this.#wanted, 1)
    this.#budget.free(this)
    this.#tellIfEmpty()
  }

  #tellIfEmpty(): void {
    if (this.empty) this.#whenEmpty?.()
  }
}
