/** A session: one connection for all statements of a function, not only for those of a transaction. */
import { TenantryError } from '../../core/errors.ts'
import type { Asker } from '../pool/connection-pool.ts'
import type { Connection } from '../connection/connection.ts'
import { type Connections, Gateway, type GatewayParts, type Principal } from '../gateway.ts'
import { type ClientSettings, GatewayClient } from './gateway-client.ts'

/**
 * Runs `fn` with a client that stays on one connection, from its first statement to the end of `fn`. The context still
 * goes with each flight, and nothing of a session is allowed that would be refused elsewhere.
 * @throws what `fn` throws; its statements throw TNY212 once the connection is lost.
 */
export async function withSession<T>(
  parts: GatewayParts,
  principal: Principal,
  fn: (client: GatewayClient) => Promise<T>,
  settings: Pick<ClientSettings, 'contextSignal' | 'contextTenant'>,
): Promise<T> {
  const pinned = new PinnedConnection(parts.pool)
  const gateway = new Gateway({ ...parts, pool: pinned })
  const client = new GatewayClient(gateway, principal, settings)
  try {
    return await fn(client)
  } finally {
    // Rolls back what is open, and waits for it.
    await client.end()
    pinned.free()
  }
}

/** Looks like the pool to one client, which asks for one connection at a time, and gives it the same each time. */
class PinnedConnection implements Connections {
  readonly #pool: Connections
  #connection: Connection | undefined
  /** It has carried a statement: another one in its place would not be the same session. */
  #served = false
  #lost = false

  constructor(pool: Connections) {
    this.#pool = pool
  }

  get max(): number {
    return this.#pool.max
  }
  get total(): number {
    return this.#pool.total
  }
  get idle(): number {
    return this.#pool.idle
  }
  get waiting(): number {
    return this.#pool.waiting
  }

  tryAcquire(asker?: Asker): Connection | undefined {
    if (this.#lost) throw new TenantryError('TNY212')
    this.#connection ??= this.#pool.tryAcquire(asker)
    return this.#connection
  }

  async acquire(asker?: Asker, signal?: AbortSignal): Promise<Connection> {
    if (this.#lost) throw new TenantryError('TNY212')
    this.#connection ??= await this.#pool.acquire(asker, signal)
    return this.#connection
  }

  release(connection: Connection): void {
    if (!connection.broken && connection.status === 'I') {
      this.#served = true
      return
    }
    this.#lost = this.#served
    this.free()
  }

  free(): void {
    if (this.#connection !== undefined) this.#pool.release(this.#connection)
    this.#connection = undefined
  }
}
