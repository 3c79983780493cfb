/** The places of a pool's connections, and which of them is home to which tenant: each backend meets its share of them. */
import { LRUCache } from 'lru-cache'
import type { Connection } from './connection.ts'

/** A connection that is closing keeps its place until the server has let go of it: caps are the server's, too. */
export type SlotState = 'empty' | 'opening' | 'idle' | 'busy' | 'closing'

/** A place for one connection. */
export interface Slot {
  /** Changed by `TenantSlots.enter` alone, which counts. */
  state: SlotState
  /** Since when it is in this state, in milliseconds of performance.now(). */
  since: number
  connection: Connection | undefined
  /** Resolves when its connection is gone. */
  gone: Promise<void>
  /** The tenant whose statement holds its connection; '' for central work. */
  holder: string
  /** Tenants that are at home here. */
  tenants: number
  /** What its backend was last seen to hold of memory, and when that was. */
  memoryBytes: number
  lookedAt: number
  /** It is never found at rest: its memory is looked at before anyone else is served. */
  overdue: boolean
}

/** Tenants whose home is remembered; the least recently seen one gets another when it comes back. */
const REMEMBERED = 50_000
/** A connection takes in so many tenants before another is opened for the next ones: small services keep few. */
const FEW_TENANTS = 16

/** How much of its waiting a tenant forgets: who waits for less than a twentieth of the time has nothing to complain of. */
const FORGOTTEN = 1 / 20

/** A tenant's home, and how long its statements have waited for it lately. */
export class Residence {
  readonly slot: Slot
  #waitedMs = 0
  #at = 0

  constructor(slot: Slot) {
    this.slot = slot
  }

  /** Milliseconds that its statements have waited, less what is forgotten since. */
  waitedMs(now: number): number {
    return Math.max(0, this.#waitedMs - (now - this.#at) * FORGOTTEN)
  }

  /** One more has waited so long. */
  wait(ms: number, now: number): void {
    this.#waitedMs = this.waitedMs(now) + ms
    this.#at = now
  }

  /** The tenant has got to know another connection. */
  settle(): void {
    this.#waitedMs = 0
  }
}

/** As many slots as connections are allowed. */
export class TenantSlots {
  readonly all: readonly Slot[]
  /** By size, which each entry has 1 of: `max` would take a megabyte ahead, and many databases have one tenant. */
  readonly #homes = new LRUCache<string, Residence>({
    maxSize: REMEMBERED,
    sizeCalculation: () => 1,
    dispose: ({ slot }) => (slot.tenants -= 1),
  })
  readonly #count: Record<SlotState, number>

  constructor(max: number) {
    this.all = Array.from({ length: max }, newSlot)
    this.#count = { empty: max, opening: 0, idle: 0, busy: 0, closing: 0 }
  }

  /** How many are in this state. */
  count(state: SlotState): number {
    return this.#count[state]
  }

  /** Connections that serve or will. */
  get total(): number {
    const { opening, idle, busy } = this.#count
    return opening + idle + busy
  }

  /** One that has been in this state since then, or longer. */
  find(state: SlotState, since = Infinity): Slot | undefined {
    return this.all.find((slot) => slot.state === state && slot.since <= since)
  }

  enter(slot: Slot, state: SlotState, now: number): void {
    this.#count[slot.state] -= 1
    this.#count[state] += 1
    slot.state = state
    slot.since = now
  }

  /** Where a tenant is at home; a new one settles where there are fewest. Central work ('') has no home. */
  homeOf(tenantId: string): Residence | undefined {
    if (tenantId === '') return undefined
    const known = this.#homes.get(tenantId)
    if (known !== undefined) return known
    const slot = this.#emptiest(takesIn) ?? this.#emptiest()
    if (slot === undefined) return undefined
    slot.tenants += 1
    const home = new Residence(slot)
    this.#homes.set(tenantId, home)
    return home
  }

  #emptiest(accept: (slot: Slot) => boolean = () => true): Slot | undefined {
    let found: Slot | undefined
    for (const slot of this.all) {
      if (accept(slot) && (found === undefined || slot.tenants < found.tenants)) found = slot
    }
    return found
  }
}

function takesIn({ state, tenants }: Slot): boolean {
  return state !== 'empty' && state !== 'closing' && tenants < FEW_TENANTS
}

function newSlot(): Slot {
  return {
    state: 'empty',
    since: 0,
    connection: undefined,
    gone: Promise.resolve(),
    holder: '',
    tenants: 0,
    memoryBytes: 0,
    lookedAt: 0,
    overdue: false,
  }
}
