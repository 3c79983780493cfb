/** The places of a pool's connections, and which of them is home to which tenant: each backend meets its share of them. */
import { LRUCache } from 'lru-cache'
import type { Connection } from '../connection/connection.ts'

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
  /** Its load when it came into this state. */
  load: number
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

/** A slot's load is what it was busy of lately: what was longer ago than this counts for a third of what is now. */
const MEMORY_MS = 200
/** A tenant moves from a home that is hardly ever free to a connection that hardly has anything to do; not in between. */
const CROWDED = 0.9
const SPACIOUS = 0.5

/**
 * What a backend holds of tenants, some 145 kB each, only goes when it is closed. It may meet a quarter more than are at
 * home with it, within these: fewer would be no relief, and more would be 70 MB.
 */
const WELCOME = { least: 200, most: 500 }

/** How many tenants a connection meets without being pressed. */
export function welcomeTenants({ tenants }: Slot): number {
  return Math.min(Math.max(tenants * 1.25, WELCOME.least), WELCOME.most)
}

/** A tenant's home, which may change. */
export interface Residence {
  readonly tenantId: string
  slot: Slot
  /** Where it was ever served. Few, so that this is faster to look through than what each connection has met. */
  readonly known: Slot[]
}

/** Whether a slot's connection has the tenant's catalog entries in memory. */
export function isKnown({ tenantId, known }: Residence, slot: Slot): boolean {
  return known.includes(slot) && slot.connection?.hasTouched(tenantId) === true
}

/** Its connection has met as many tenants as are welcome. */
export function isFull(slot: Slot): boolean {
  return slot.connection !== undefined && slot.connection.tenantsTouched >= welcomeTenants(slot)
}

/** The part of its time for which a connection was held lately, 0 to 1. */
function loadOf({ load, since, state }: Slot, now: number): number {
  const kept = Math.exp((since - now) / MEMORY_MS)
  return load * kept + (state === 'busy' ? 1 - kept : 0)
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
    slot.load = loadOf(slot, now)
    slot.state = state
    slot.since = now
  }

  /** Whether tenants may move here. */
  isSpacious(slot: Slot, now: number): boolean {
    return loadOf(slot, now) < SPACIOUS && !isFull(slot)
  }

  /**
   * Whether a tenant is better off on a spacious connection. It costs the new backend some 12 ms once (FINDINGS 22), so
   * that it is worth it only while others would have to wait at the old home for good.
   */
  isCrowded(home: Residence, now: number): boolean {
    return loadOf(home.slot, now) > CROWDED
  }

  /** What the tenant's old home knows of it stays there: the tenant may be served by both. */
  move(home: Residence, slot: Slot): void {
    home.slot.tenants -= 1
    slot.tenants += 1
    home.slot = slot
  }

  /** The tenant is served here, and will find its catalog entries here again. */
  meet({ known }: Residence, slot: Slot): void {
    if (!known.includes(slot)) known.push(slot)
  }

  /** Where a tenant is at home; a new one settles where there are fewest. Central work ('') has no home. */
  homeOf(tenantId: string): Residence | undefined {
    if (tenantId === '') return undefined
    const known = this.#homes.get(tenantId)
    if (known !== undefined) return known
    const slot = this.#emptiest(takesIn) ?? this.#emptiest()
    if (slot === undefined) return undefined
    slot.tenants += 1
    const home = { tenantId, slot, known: [] }
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
    load: 0,
    connection: undefined,
    gone: Promise.resolve(),
    holder: '',
    tenants: 0,
    memoryBytes: 0,
    lookedAt: 0,
    overdue: false,
  }
}
