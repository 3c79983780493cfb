/** The places for connections to one server, which the pools of its databases share: the cap that tenants never raise. */

/** What a budget asks of a pool. */
export interface Claimant {
  /** Connections that serve, or are being opened. */
  readonly total: number
  readonly idle: number
  readonly waiting: number
  /** Connections that it could open at once, had it places for them. */
  readonly missing: number
  /** Opens what is missing, as far as it gets places. */
  grow(): void
  /** Closes a connection that has rested for so long. False where there is none. */
  shrink(restedMs: number): boolean
}

/**
 * A connection stays with its database for so long at least: opening another one costs some 15 ms, and a cold backend
 * 12 ms for each tenant. Only a database that has none, or fewer, is served before.
 */
const TURN_MS = 100

/**
 * What rested for so long is not needed where it is. Taken earlier by a database that has as many, it would be taken back
 * at once, since that one has more then: of two that are always in use, each opened what the other had just closed.
 */
const SPARE_MS = 1_000

/**
 * Counts connections of all pools of a server. Where they are used up, a pool with fewer takes the place of one that
 * rests, and a pool with more gives up one as it comes back.
 */
export class ServerBudget {
  /** Most connections at once, those included that are being opened or closed. */
  readonly max: number
  #used = 0
  /** Connections that are closing: places that will be free in a moment. */
  #leaving = 0
  readonly #pools = new Set<Claimant>()
  /** Who wants a place, the longest wait first. */
  readonly #refused = new Set<Claimant>()

  constructor(max: number) {
    this.max = max
  }

  /** Whether anybody wants a place. With one database nobody ever does, since its own cap is no higher. */
  get pressed(): boolean {
    return this.#refused.size > 0
  }

  /** A place for one more connection. Where it is refused, `grow` is called as soon as there is one. */
  take(pool: Claimant): boolean {
    if (this.#used >= this.max) {
      this.#refused.add(pool)
      if (pool.missing > this.#leaving) this.#makeRoom(pool)
      return false
    }
    this.#used += 1
    this.#pools.add(pool)
    // Behind the others, should it want one more.
    this.#refused.delete(pool)
    return true
  }

  /** A connection begins to close. */
  leave(): void {
    this.#leaving += 1
  }

  /** It is closed: its place goes to the pool that has fewest. */
  free(pool: Claimant): void {
    this.#leaving -= 1
    this.#used -= 1
    if (pool.total === 0) this.#pools.delete(pool)
    if (pool.missing > 0) this.#refused.add(pool)
    this.#neediest()?.grow()
  }

  /**
   * Whether a pool that gets a connection back must close it for another one's sake.
   * @param openMs how long this connection has been open
   */
  reclaims(pool: Claimant, openMs: number): boolean {
    const needy = this.#neediest(pool)
    if (needy === undefined) return false
    const theirs = needy.total + this.#leaving
    if (pool.total > theirs + 1) return true
    // Where there are more pools than places, they take turns. Between pools that have one each, or nearly as many, nothing
    // moves: their demand changes with every statement, and each move costs a connection.
    return theirs === 0 && (pool.waiting === 0 || openMs > TURN_MS)
  }

  #neediest(besides?: Claimant): Claimant | undefined {
    let found: Claimant | undefined
    for (const pool of this.#refused) {
      if (pool.missing === 0) this.#refused.delete(pool)
      else if (pool !== besides && (found === undefined || pool.total < found.total)) found = pool
    }
    return found
  }

  /** Of the pool that holds most. What it may need again is left to it, unless the taker has far fewer. */
  #makeRoom(taker: Claimant): void {
    const resting = [...this.#pools].filter((pool) => pool !== taker && pool.idle > 0)
    resting
      .toSorted((a, b) => b.total - a.total)
      .some((pool) => pool.shrink(taker.total === 0 || pool.total > taker.total + 1 ? 0 : SPARE_MS))
  }
}
