/** Which connection is home to which tenant, so that each backend meets its share of the tenants and not all. */
import { LRUCache } from 'lru-cache'
import type { Connection } from './connection.ts'

/** A place for one connection. */
export interface Slot {
  state: 'empty' | 'opening' | 'idle' | 'busy'
  connection: Connection | undefined
  idleTimer: NodeJS.Timeout | undefined
  /** Since when its holder has it, in milliseconds of performance.now(). */
  busySince: number
  /** Tenants that are at home here. */
  tenants: number
}

/** Tenants whose home is remembered; the least recently seen one gets another when it comes back. */
const REMEMBERED = 50_000
/** A connection takes in so many tenants before another is opened for the next ones: small services keep few. */
const FEW_TENANTS = 16

/** As many slots as connections are allowed. */
export class TenantSlots {
  readonly all: readonly Slot[]
  readonly #homes: LRUCache<string, Slot>

  constructor(max: number) {
    this.all = Array.from({ length: max }, () => ({
      state: 'empty',
      connection: undefined,
      idleTimer: undefined,
      busySince: 0,
      tenants: 0,
    }))
    this.#homes = new LRUCache({ max: REMEMBERED, dispose: (slot) => (slot.tenants -= 1) })
  }

  /** The slot that is home to a tenant; a new one settles where there are fewest. Central work ('') has none. */
  homeOf(tenantId: string): Slot | undefined {
    if (tenantId === '') return undefined
    const known = this.#homes.get(tenantId)
    if (known !== undefined) return known
    const home =
      this.#emptiest(({ state, tenants }) => state !== 'empty' && tenants < FEW_TENANTS) ?? this.#emptiest()
    if (home === undefined) return undefined
    home.tenants += 1
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
