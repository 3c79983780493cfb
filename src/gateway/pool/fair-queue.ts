/** Who waits for a connection and who is next: weighted fair over tenants, first come first served within one. */
import { PassHeap } from './pass-heap.ts'

/** One statement that waits for a connection. */
export interface Waiter {
  /** Whose statement; work of no tenant goes by an id of its own, such as ''. */
  readonly tenantId: string
  /** The tenant's part of the service against other tenants', above 0. */
  readonly weight: number
  /** Most connections its tenant holds at once, at least 1, may be Infinity. */
  readonly maxConnections: number
}

/** Bounds of a queue. */
export interface FairQueueOptions {
  /** Most waiters in all. */
  readonly max: number
  /** Most waiters of one tenant. */
  readonly maxPerTenant: number
}

/** A waiter's place in its tenant's line. */
interface Place<W> {
  readonly waiter: W
  readonly tenant: Tenant<W>
  previous: Place<W> | undefined
  next: Place<W> | undefined
}

interface Tenant<W> {
  readonly id: string
  weight: number
  held: number
  waiting: number
  first: Place<W> | undefined
  last: Place<W> | undefined
  /** When it is due, in virtual time: every service puts it off by 1 / weight. */
  pass: number
  /** Settles equal passes: who came to its pass first. */
  arrival: number
  /** In the heap. It stays there after its last waiter, so that leaving and coming back buys no earlier pass. */
  queued: boolean
}

/** How many tenants near the front an affinity may choose from: the top five levels of the heap. */
const AFFINITY_WINDOW = 31

/** How many services a tenant that was passed over may catch up on; fewer would cost heavy tenants in small pools. */
const CREDIT = 8

/**
 * Stride scheduling: the tenant with the lowest pass is next. A tenant that comes back starts at the clock, so it
 * neither waits for an old debt nor cashes in on its absence. Costs O(log tenants) a service; nothing here is async.
 */
export class FairQueue<W extends Waiter> {
  readonly #options: FairQueueOptions
  readonly #tenants = new Map<string, Tenant<W>>()
  readonly #places = new Map<W, Place<W>>()
  readonly #heap = new PassHeap<Tenant<W>>()
  readonly #passedOver: Tenant<W>[] = []
  /** Sum of the weights of tenants that hold or wait. */
  #weight = 0
  #clock = 0
  #arrivals = 0

  constructor(options: FairQueueOptions) {
    this.#options = options
  }

  /** How many wait. */
  get size(): number {
    return this.#places.size
  }

  /** How many tenants it remembers: those that hold or wait, and while anyone waits, those served a moment ago. */
  get tenants(): number {
    return this.#tenants.size
  }

  /** All that wait, the oldest first; they may be removed on the way. */
  waiters(): IterableIterator<W> {
    return this.#places.keys()
  }

  /** How many connections the tenant has. */
  held(tenantId: string): number {
    return this.#tenants.get(tenantId)?.held ?? 0
  }

  /** Puts a waiter last in its tenant's line. False where the queue, or the tenant's part of it, is full. */
  push(waiter: W): boolean {
    const { max, maxPerTenant } = this.#options
    if (this.size >= max || (this.#tenants.get(waiter.tenantId)?.waiting ?? 0) >= maxPerTenant) return false
    const tenant = this.#join(waiter)
    const place: Place<W> = { waiter, tenant, previous: tenant.last, next: undefined }
    if (tenant.last === undefined) tenant.first = place
    else tenant.last.next = place
    tenant.last = place
    tenant.waiting += 1
    this.#places.set(waiter, place)
    if (!tenant.queued) this.#enqueue(tenant, this.#clock)
    return true
  }

  /** Takes a waiter out that gave up. False where it does not wait, or no longer. */
  remove(waiter: W): boolean {
    const place = this.#places.get(waiter)
    if (place === undefined) return false
    this.#unlink(place)
    this.#leave(place.tenant)
    return true
  }

  /** A statement that did not wait got a connection. */
  acquired(waiter: Waiter): void {
    this.#join(waiter).held += 1
  }

  /** A statement, from the queue or not, gave its connection back. */
  released(tenantId: string): void {
    const tenant = this.#tenants.get(tenantId)
    if (tenant === undefined || tenant.held === 0) return
    tenant.held -= 1
    this.#leave(tenant)
  }

  /** Whether a statement may take an idle connection past the queue: alone a tenant may have all, else its share. */
  mayTake(waiter: Waiter, connections: number): boolean {
    const tenant = this.#tenants.get(waiter.tenantId)
    const { held, waiting, weight } = tenant ?? { held: 0, waiting: 0, weight: 0 }
    if (waiting > 0 || held >= waiter.maxConnections) return false
    const others = this.#weight - (held > 0 ? weight : 0)
    return this.size === 0 || held < share(waiter.weight, others + waiter.weight, connections)
  }

  /**
   * Takes out the waiter to serve next and counts its connection as held, until `released`. A tenant that holds its
   * share is passed over while one below its share waits. Undefined where all that wait are at their `maxConnections`.
   * @param connections how many there are in all
   * @param prefer lower is better, Infinity refuses: picks among tenants near the front, none of which gains or loses
   * service by it for longer than about one turn of the tenant at the front
   */
  next(connections: number, prefer?: (waiter: W) => number): W | undefined {
    if (this.size === 0) return undefined
    const front = this.#takeFront(connections)
    if (front === undefined) return undefined
    const tenant = prefer === undefined ? front : this.#preferred(front, connections, prefer)
    if (tenant === undefined) return undefined
    // The clock follows the front. By itself it moves at half speed, so that ever new tenants cannot hold it back.
    this.#clock = Math.max(front.pass, this.#clock + 0.5 / this.#weight)
    const place = tenant.first as Place<W>
    tenant.held += 1
    this.#enqueue(tenant, tenant.pass + 1 / tenant.weight)
    this.#unlink(place)
    return place.waiter
  }

  /** Takes the tenant with the lowest pass out of the heap: of those below their share, else of all that may. */
  #takeFront(connections: number): Tenant<W> | undefined {
    let front: Tenant<W> | undefined
    for (let tenant = this.#heap.take(0); tenant !== undefined; tenant = this.#heap.take(0)) {
      if (tenant.waiting === 0) {
        this.#forget(tenant)
      } else if (this.#isBelowShare(tenant, connections)) {
        front = tenant
        break
      } else {
        this.#passedOver.push(tenant)
      }
    }
    front ??= this.#passedOver.find(isBelowMaximum)
    for (const tenant of this.#passedOver) {
      // Bounded: who waits for its own slow statements must not crowd out others afterwards.
      tenant.pass = Math.max(tenant.pass, this.#clock - CREDIT / tenant.weight)
      if (tenant !== front) this.#heap.push(tenant)
    }
    this.#passedOver.length = 0
    return front
  }

  /** The tenant to serve, which the front one may be; the front goes back where it is not, or all were refused. */
  #preferred(front: Tenant<W>, connections: number, prefer: (waiter: W) => number): Tenant<W> | undefined {
    const score = ({ first }: Tenant<W>): number => (first === undefined ? Infinity : prefer(first.waiter))
    let leader: Tenant<W> | undefined = score(front) === Infinity ? undefined : front
    for (let slot = 0; leader === undefined || leader !== front; slot += 1) {
      const tenant = slot < AFFINITY_WINDOW ? this.#heap.at(slot) : undefined
      if (tenant === undefined) break
      if ((leader === undefined || tenant.pass < leader.pass) && this.#mayServe(tenant, connections, score))
        leader = tenant
    }
    if (leader === undefined) {
      this.#heap.push(front)
      return undefined
    }
    const latest = leader.pass + 1 / leader.weight
    let [best, bestScore, bestSlot] = [leader, score(leader), -1]
    for (let slot = 0; slot < AFFINITY_WINDOW; slot += 1) {
      const tenant = this.#heap.at(slot)
      if (tenant === undefined) break
      if (tenant.pass > latest) continue
      if (tenant === leader || (score(tenant) < bestScore && this.#mayServe(tenant, connections, score))) {
        ;[best, bestScore, bestSlot] = [tenant, score(tenant), slot]
      }
    }
    if (best === front) return front
    this.#heap.take(bestSlot)
    this.#heap.push(front)
    return best
  }

  #mayServe(tenant: Tenant<W>, connections: number, score: (tenant: Tenant<W>) => number): boolean {
    return score(tenant) < Infinity && this.#isBelowShare(tenant, connections)
  }

  #isBelowShare(tenant: Tenant<W>, connections: number): boolean {
    return isBelowMaximum(tenant) && tenant.held < share(tenant.weight, this.#weight, connections)
  }

  #enqueue(tenant: Tenant<W>, pass: number): void {
    tenant.pass = Math.max(tenant.pass, pass)
    tenant.arrival = this.#arrivals += 1
    tenant.queued = true
    this.#heap.push(tenant)
  }

  /** The tenant of a statement, which the caller counts as held or waiting. */
  #join({ tenantId: id, weight }: Waiter): Tenant<W> {
    let tenant = this.#tenants.get(id)
    if (tenant === undefined) {
      const nothing = { held: 0, waiting: 0, first: undefined, last: undefined }
      tenant = { id, weight, ...nothing, pass: 0, arrival: 0, queued: false }
      this.#tenants.set(id, tenant)
    }
    this.#weight += isActive(tenant) ? weight - tenant.weight : weight
    tenant.weight = weight
    return tenant
  }

  #unlink(place: Place<W>): void {
    const { tenant, previous, next } = place
    if (previous === undefined) tenant.first = next
    else previous.next = next
    if (next === undefined) tenant.last = previous
    else next.previous = previous
    tenant.waiting -= 1
    this.#places.delete(place.waiter)
    if (this.size > 0) return
    // Nobody competes any more: turns taken so far mean nothing to those who come next.
    for (const idle of this.#heap.clear()) this.#forget(idle)
  }

  /** To be called when the tenant holds or waits one less. */
  #leave(tenant: Tenant<W>): void {
    if (isActive(tenant)) return
    this.#weight -= tenant.weight
    if (!tenant.queued) this.#forget(tenant)
  }

  #forget(tenant: Tenant<W>): void {
    tenant.queued = false
    if (!isActive(tenant)) this.#tenants.delete(tenant.id)
  }
}

function isActive(tenant: Tenant<Waiter>): boolean {
  return tenant.held > 0 || tenant.waiting > 0
}

function isBelowMaximum({ held, first }: Tenant<Waiter>): boolean {
  return first !== undefined && held < first.waiter.maxConnections
}

/** Rounded up: rounded down, small pools would give every weight the same. The passes settle who gets the fraction. */
function share(weight: number, total: number, connections: number): number {
  return Math.max(1, Math.ceil((connections * weight) / total - 1e-9))
}
