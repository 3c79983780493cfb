/** The connections to one database: a hard cap, a home connection for each tenant, fair turns for those that wait. */
import type { Events } from '../core/events.ts'
import { TenantryError } from '../core/errors.ts'
import type { Binding } from './binding.ts'
import { Connection, type ConnectionSettings } from './connection.ts'
import { FairQueue, type Waiter } from './fair-queue.ts'
import { type Slot, TenantSlots } from './tenant-slots.ts'

/** Bounds of a pool; times in milliseconds. */
export interface ConnectionPoolOptions {
  /** Most connections at once, however many tenants there are. */
  readonly max: number
  /** How long a statement waits for a connection before TNY203. */
  readonly waitTimeoutMs: number
  /** How long a connection stays open unused. */
  readonly idleTimeoutMs: number
  /** Most statements that wait at once; the next one gets TNY214. */
  readonly maxWaiting: number
  /** How long a connection lives; then it is closed at its next rest. */
  readonly maxAgeMs: number
}

/** Who asks for a connection. */
export type Asker = Pick<Binding, 'tenantId' | 'weight' | 'maxConnections'>

/** A statement that waits. */
interface Request extends Waiter {
  readonly home: Slot | undefined
  readonly since: number
  take(slot: Slot): void
  fail(error: unknown): void
}

/** Central work takes its turn like a tenant of weight 1. */
const CENTRAL: Asker = { tenantId: '', weight: 1, maxConnections: Infinity }
/**
 * A tenant that a backend meets first costs it some 12 ms (FINDINGS 22), so that waiting for the home pays; but not
 * behind a holder that is slow, and not for ever. Were the wait shorter than a cold statement, a cold pool would never
 * get warm: everybody would go on to the next connection that does not know them.
 */
const PATIENCE = { slowHolderMs: 15, longestMs: 60 }
/** How often those that wait are looked at again. */
const PATROL_MS = 10
/**
 * What a backend holds of tenants, some 145 kB each, only goes when it is closed. It may meet a quarter more than are at
 * home with it, within these: fewer would be no relief, and more would be 70 MB.
 */
const TENANTS_TOUCHED = { least: 200, most: 500 }
const FIRST_BACKOFF_MS = 50
const LONGEST_BACKOFF_MS = 1_000

/** Hands out connections, one holder at a time. */
export class ConnectionPool {
  readonly #settings: ConnectionSettings
  readonly #options: ConnectionPoolOptions
  readonly #events: Events
  readonly #slots: TenantSlots
  readonly #queue: FairQueue<Request>
  readonly #slotOf = new Map<Connection, Slot>()
  readonly #holders = new Map<Connection, string>()
  #ended = false
  #whenEmpty: (() => void) | undefined
  #backoffMs = 0
  #nextAttempt: NodeJS.Timeout | undefined
  #patrol: NodeJS.Timeout | undefined

  constructor(settings: ConnectionSettings, options: ConnectionPoolOptions, events: Events) {
    this.#settings = settings
    this.#options = options
    this.#events = events
    this.#slots = new TenantSlots(options.max)
    this.#queue = new FairQueue({ max: options.maxWaiting, maxPerTenant: options.maxWaiting })
  }

  get max(): number {
    return this.#options.max
  }
  get total(): number {
    return this.#slots.all.filter(({ state }) => state !== 'empty').length
  }
  get idle(): number {
    return this.#slots.all.filter(({ state }) => state === 'idle').length
  }
  get waiting(): number {
    return this.#queue.size
  }

  /**
   * A connection, preferably the tenant's own: its caches and plans are warm.
   * @throws TNY202 where none can be opened, TNY203 after waiting too long, TNY214 where too many wait, TNY208 after `end`,
   * the signal's reason where it is aborted first.
   */
  async acquire(asker: Asker = CENTRAL, signal?: AbortSignal): Promise<Connection> {
    if (this.#ended) throw new TenantryError('TNY208')
    signal?.throwIfAborted()
    const askedAt = performance.now()
    const free = this.#takeIdle(asker)
    const { connection } = free ?? (await this.#wait(asker, signal))
    if (connection === undefined) throw new TenantryError('TNY202')
    this.#events.emit('connection:acquired', {
      tenantId: asker.tenantId === '' ? undefined : asker.tenantId,
      waitedMs: free === undefined ? performance.now() - askedAt : 0,
      warm: connection.hasTouched(asker.tenantId),
    })
    return connection
  }

  /** Gives a connection back. One that is broken or not idle on the server is closed, never reused (P2, P3). */
  release(connection: Connection): void {
    const slot = this.#slotOf.get(connection)
    const holder = this.#holders.get(connection)
    this.#holders.delete(connection)
    if (holder !== undefined) this.#queue.released(holder)
    if (slot === undefined) return
    const flaw = this.#flawOf(connection, slot)
    if (flaw === undefined) {
      this.#serve(slot)
      return
    }
    this.#discard(slot, flaw)
    // A tenant that was at its own bound may go on with a connection that rests.
    this.#serveIdle()
  }

  /** Takes no new statements, lets those that hold or await a connection finish for `timeoutMs`, and closes all. */
  async end(timeoutMs: number): Promise<void> {
    this.#ended = true
    for (const slot of this.#slots.all) if (slot.state === 'idle') this.#discard(slot, 'ended')
    const { promise: empty, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, timeoutMs)
    this.#whenEmpty = resolve
    this.#tellIfEmpty()
    await empty
    clearTimeout(timer)
    clearTimeout(this.#nextAttempt)
    this.#failWaiting(() => new TenantryError('TNY208'))
    for (const slot of this.#slots.all) this.#discard(slot, 'ended')
  }

  #flawOf(connection: Connection, { tenants }: Slot): string | undefined {
    if (connection.broken) return 'broken'
    if (connection.status !== 'I') return 'not clean'
    const { least, most } = TENANTS_TOUCHED
    if (connection.tenantsTouched > Math.min(Math.max(tenants * 1.25, least), most)) return 'grown'
    if (performance.now() - connection.openedAt > this.#options.maxAgeMs) return 'aged'
    return undefined
  }

  /** An idle connection that may be taken at once: the tenant's home, or one that knows it. */
  #takeIdle(asker: Asker): Slot | undefined {
    const { tenantId } = asker
    if (!this.#queue.mayTake(asker, this.total)) return undefined
    const home = this.#slots.homeOf(tenantId)
    const slot =
      this.#usable(home) ??
      // Central work touches few tables, and is at home everywhere.
      this.#slots.all.find((other) =>
        tenantId === '' ? this.#usable(other) !== undefined : this.#isWarm(other, tenantId),
      )
    if (slot === undefined) return undefined
    this.#queue.acquired(asker)
    return this.#hold(slot, tenantId)
  }

  #isWarm(slot: Slot, tenantId: string): boolean {
    return slot.connection?.hasTouched(tenantId) === true && this.#usable(slot) !== undefined
  }

  /** The slot, if its connection is idle. One that ended while it was idle is found out here. */
  #usable(slot: Slot | undefined): Slot | undefined {
    if (slot?.state !== 'idle') return undefined
    if (slot.connection?.broken !== true) return slot
    this.#discard(slot, 'broken')
    return undefined
  }

  /** The queue counts what each tenant holds, from `next` or `acquired` on until `released`. */
  #hold(slot: Slot, tenantId: string): Slot {
    clearTimeout(slot.idleTimer)
    slot.state = 'busy'
    slot.busySince = performance.now()
    if (slot.connection !== undefined) this.#holders.set(slot.connection, tenantId)
    return slot
  }

  #wait(asker: Asker, signal: AbortSignal | undefined): Promise<Slot> {
    const { waitTimeoutMs } = this.#options
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        clearTimeout(deadline)
        signal?.removeEventListener('abort', onAbort)
        this.#queue.remove(request)
      }
      const request: Request = {
        ...asker,
        home: this.#slots.homeOf(asker.tenantId),
        since: performance.now(),
        take: (slot) => {
          leave()
          resolve(this.#hold(slot, asker.tenantId))
        },
        fail(error) {
          leave()
          reject(error)
        },
      }
      const onAbort = (): void => request.fail(signal?.reason)
      const late = (): void => request.fail(new TenantryError('TNY203', { params: { ms: waitTimeoutMs } }))
      const deadline = setTimeout(late, waitTimeoutMs)
      signal?.addEventListener('abort', onAbort)
      if (this.#queue.push(request)) {
        this.#openFor(request)
        this.#patrol ??= setInterval(() => this.#serveIdle(), PATROL_MS).unref()
      } else request.fail(this.#overfull())
    })
  }

  #overfull(): TenantryError {
    return new TenantryError('TNY214', {
      params: { waiting: this.#queue.size, max: this.#options.maxWaiting },
    })
  }

  /** Whoever comes next by fairness, of those that are at home here, known here, or have waited long enough. */
  #serve(slot: Slot): void {
    const now = performance.now()
    const next = this.#queue.next(this.total, ({ home, tenantId, since }) => {
      if (home === slot) return 0
      if (tenantId === '' || slot.connection?.hasTouched(tenantId) === true) return 1
      const behindSlowHolder = home?.state === 'busy' && now - home.busySince > PATIENCE.slowHolderMs
      return behindSlowHolder || now - since > PATIENCE.longestMs ? 2 : Infinity
    })
    if (next !== undefined) next.take(slot)
    else if (this.#ended && this.#queue.size === 0) this.#discard(slot, 'ended')
    else this.#park(slot)
  }

  /** Gives those that have lost patience the connections that rest. */
  #serveIdle(): void {
    for (const slot of this.#slots.all) {
      if (this.#queue.size === 0) {
        clearInterval(this.#patrol)
        this.#patrol = undefined
        return
      }
      if (this.#usable(slot) !== undefined) this.#serve(slot)
    }
  }

  #park(slot: Slot): void {
    clearTimeout(slot.idleTimer)
    slot.state = 'idle'
    slot.idleTimer = setTimeout(() => this.#discard(slot, 'idle'), this.#options.idleTimeoutMs)
    slot.idleTimer.unref()
  }

  /** Opens the home if it is empty, else any that is, else lets the request wait. */
  #openFor(request: Request): void {
    const slot =
      request.home?.state === 'empty' ? request.home : this.#slots.all.find(({ state }) => state === 'empty')
    if (slot !== undefined && this.#nextAttempt === undefined) this.#open(slot)
  }

  #open(slot: Slot): void {
    slot.state = 'opening'
    const opened: { connection?: Connection } = {}
    Connection.open(this.#settings, () => opened.connection && this.#forget(opened.connection))
      .then((connection) => {
        opened.connection = connection
        this.#backoffMs = 0
        slot.connection = connection
        this.#slotOf.set(connection, slot)
        this.#events.emit('connection:open', { total: this.total })
        if (connection.broken) this.#discard(slot, 'broken')
        else this.#serve(slot)
      })
      .catch((error: unknown) => this.#onOpenFailed(slot, error))
  }

  /** One attempt at a time while the server is away, further and further apart; whoever waited for it is told. */
  #onOpenFailed(slot: Slot, error: unknown): void {
    slot.state = 'empty'
    if (this.#slotOf.size === 0) this.#failWaiting(() => error)
    this.#backoffMs = Math.min(Math.max(this.#backoffMs * 2, FIRST_BACKOFF_MS), LONGEST_BACKOFF_MS)
    clearTimeout(this.#nextAttempt)
    this.#nextAttempt = setTimeout(
      () => {
        this.#nextAttempt = undefined
        this.#openForWaiters()
      },
      this.#backoffMs * (0.5 + Math.random() / 2),
    )
    this.#nextAttempt.unref()
    this.#tellIfEmpty()
  }

  #openForWaiters(): void {
    if (this.#queue.size === 0 || this.#nextAttempt !== undefined) return
    const slot = this.#slots.all.find(({ state }) => state === 'empty')
    if (slot !== undefined) this.#open(slot)
  }

  /** Its connection ended by itself. */
  #forget(connection: Connection): void {
    const slot = this.#slotOf.get(connection)
    if (slot !== undefined && slot.state !== 'busy') this.#discard(slot, 'lost')
  }

  #discard(slot: Slot, reason: string): void {
    clearTimeout(slot.idleTimer)
    const { connection } = slot
    if (connection === undefined) return
    slot.connection = undefined
    slot.state = 'empty'
    this.#slotOf.delete(connection)
    connection.close()
    this.#events.emit('connection:close', { reason, total: this.total })
    this.#openForWaiters()
    this.#tellIfEmpty()
  }

  #failWaiting(error: () => unknown): void {
    for (const waiter of this.#queue.waiters()) waiter.fail(error())
  }

  #tellIfEmpty(): void {
    if (this.total === 0 && this.#queue.size === 0) this.#whenEmpty?.()
  }
}
