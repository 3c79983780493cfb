/** The connections to one server: a pool for each database and login that is in use, one cap over all of them. */
import type { Events } from '../../core/events.ts'
import { TenantryError } from '../../core/errors.ts'
import type { Binding } from '../binding.ts'
import type { Connection } from '../connection/connection.ts'
import type { ConnectionSettings } from '../connection/connection-settings.ts'
import { type Asker, ConnectionPool, type ConnectionPoolOptions } from './connection-pool.ts'
import { databaseOf, withDatabase, withLogin } from './other-config.ts'
import { ServerBudget } from './server-budget.ts'

/** Bounds over all databases: `max` is the server's, and each database's where nothing else is said. */
export interface DatabasePoolsOptions extends ConnectionPoolOptions {
  /** Most connections at once to one database by one login. */
  readonly maxPerDatabase?: number | undefined
}

/** Where a tenant's statements go, as long as that is not the catalog's database by the runtime login. */
type Place = Pick<Asker, 'database' | 'login'>

/** A pool beside that of the catalog's database, and whom it serves. */
interface OwnPool {
  readonly pool: ConnectionPool
  /** As it was known last: new connections are opened with its context. */
  tenant: Binding | undefined
}

/**
 * Looks like one pool. The runtime login has a pool for the catalog's database always; each other database, and each
 * sealed tenant's own login, has one while it is used: a connection that such a tenant had serves nobody else.
 */
export class DatabasePools {
  readonly #settings: ConnectionSettings
  readonly #options: ConnectionPoolOptions
  readonly #events: Events
  readonly #budget: ServerBudget
  readonly #catalogDatabase: string | undefined
  readonly #catalogPool: ConnectionPool
  readonly #others = new Map<string, OwnPool>()
  /** Of connections to other databases, once they were handed out. */
  readonly #poolOf = new WeakMap<Connection, ConnectionPool>()
  #sweep: NodeJS.Timeout | undefined
  #ended = false

  constructor(settings: ConnectionSettings, options: DatabasePoolsOptions, events: Events) {
    const { max, maxPerDatabase = max } = options
    this.#settings = settings
    this.#options = { ...options, max: Math.min(max, maxPerDatabase) }
    this.#events = events
    this.#budget = new ServerBudget(max)
    this.#catalogDatabase = databaseOf(settings.config)
    this.#catalogPool = new ConnectionPool(settings, this.#options, events, this.#budget)
  }

  get max(): number {
    return this.#budget.max
  }
  get total(): number {
    return this.#sum(({ total }) => total)
  }
  get idle(): number {
    return this.#sum(({ idle }) => idle)
  }
  get waiting(): number {
    return this.#sum(({ waiting }) => waiting)
  }
  /** How many pools there are now. */
  get size(): number {
    return 1 + this.#others.size
  }

  /** As `ConnectionPool.acquire`, in the asker's database. */
  async acquire(asker?: Asker, signal?: AbortSignal): Promise<Connection> {
    const pool = this.#poolFor(asker)
    const connection = await pool.acquire(asker, signal)
    if (pool !== this.#catalogPool) this.#poolOf.set(connection, pool)
    return connection
  }

  /** As `ConnectionPool.tryAcquire`, in the asker's database. */
  tryAcquire(asker?: Asker): Connection | undefined {
    const pool = this.#poolFor(asker)
    const connection = pool.tryAcquire(asker)
    if (pool !== this.#catalogPool && connection !== undefined) this.#poolOf.set(connection, pool)
    return connection
  }

  release(connection: Connection): void {
    const pool = this.#others.size === 0 ? undefined : this.#poolOf.get(connection)
    ;(pool ?? this.#catalogPool).release(connection)
  }

  /** As `ConnectionPool.forgetStatements`, in all databases. */
  forgetStatements(tenantId: string | undefined): void {
    for (const pool of this.#pools()) pool.forgetStatements(tenantId)
  }

  /** As `ConnectionPool.end`, for all databases at once. */
  async end(timeoutMs: number): Promise<void> {
    this.#ended = true
    clearInterval(this.#sweep)
    await Promise.all([...this.#pools()].map((pool) => pool.end(timeoutMs)))
  }

  #poolFor(place: Place | undefined): ConnectionPool {
    if (place === undefined || (place.database === undefined && place.login === undefined)) {
      return this.#catalogPool
    }
    const own = this.#others.get(nameOf(place))
    if (own === undefined) return this.#openPool(place)
    if (isResident(place)) own.tenant = place
    return own.pool
  }

  #openPool(place: Place): ConnectionPool {
    const { database, login } = place
    if (login === undefined && database === this.#catalogDatabase) return this.#catalogPool
    if (this.#ended) throw new TenantryError('TNY208')
    const inDatabase =
      database === undefined ? this.#settings.config : withDatabase(this.#settings.config, database)
    const config = login === undefined ? inDatabase : withLogin(inDatabase, login)
    const settings = { ...this.#settings, config, resident: () => own.tenant }
    const pool = new ConnectionPool(settings, this.#options, this.#events, this.#budget)
    const own: OwnPool = { pool, tenant: isResident(place) ? place : undefined }
    this.#others.set(nameOf(place), own)
    this.#sweep ??= this.#sweepEmpty()
    return pool
  }

  /** A pool without connections keeps but homes and the pause after a failure; twice found empty, it is closed. */
  #sweepEmpty(): NodeJS.Timeout {
    let emptyBefore = new Set<ConnectionPool>()
    const round = (): void => {
      for (const [name, { pool }] of this.#others) {
        if (pool.empty && emptyBefore.has(pool)) {
          this.#others.delete(name)
          void pool.end(0)
        }
      }
      emptyBefore = new Set([...this.#others.values()].map(({ pool }) => pool).filter(({ empty }) => empty))
      if (this.#others.size > 0) return
      clearInterval(this.#sweep)
      this.#sweep = undefined
    }
    return setInterval(round, this.#options.idleTimeoutMs).unref()
  }

  #sum(count: (pool: ConnectionPool) => number): number {
    let sum = count(this.#catalogPool)
    for (const { pool } of this.#others.values()) sum += count(pool)
    return sum
  }

  *#pools(): Iterable<ConnectionPool> {
    yield this.#catalogPool
    for (const { pool } of this.#others.values()) yield pool
  }
}

/** Whose context its connections may keep; before the tables that all tenants share it has another. */
function isResident(place: Place | Binding): place is Binding {
  return 'searchPath' in place && place.common !== true
}

/** The password too: once it has changed, connections are opened anew with it. No part can hold a NUL. */
function nameOf({ database, login }: Place): string {
  return login === undefined ? (database ?? '') : `${database ?? ''}\0${login.user}\0${login.password}`
}
