/** Who waits for the end of a tenant's move: woken by the changes that are heard, bounded in time and in number. */
import { TenantryError } from '../core/errors.ts'
import type { Tenant } from '../core/tenant.ts'

/** The bounds. */
export interface MoveWaitsOptions {
  /** How long one call waits, in milliseconds. */
  readonly timeoutMs: number
  /** Most that wait for one tenant at once: each holds a connection of a client. */
  readonly maxPerTenant: number
}

/** Those who wait for one tenant. */
interface Queue {
  waiting: number
  /** Resolved, and replaced, whenever it is time to look again. */
  change: PromiseWithResolvers<void>
  /** While the listener is away nothing is heard. All look at the same moment, and so ask the catalog once. */
  readonly timer: NodeJS.Timeout
}

/** How often those who wait look again without having heard anything. */
const REREAD_MS = 1_000

/** The waits of one process. */
export class MoveWaits {
  readonly #options: MoveWaitsOptions
  readonly #queues = new Map<string, Queue>()
  #closed = false

  constructor(options: MoveWaitsOptions) {
    this.#options = options
  }

  /**
   * The tenant, once it is not moving.
   * @param read the tenant as it is now.
   * @throws TNY108 where it takes too long, or too many wait; TNY106 after `close()`; the signal's reason
   */
  async settled(
    moving: Tenant,
    read: () => Promise<Tenant | undefined>,
    signal: AbortSignal | undefined,
  ): Promise<Tenant | undefined> {
    const { timeoutMs, maxPerTenant } = this.#options
    const deadline = performance.now() + timeoutMs
    if ((this.#queues.get(moving.id)?.waiting ?? 0) >= maxPerTenant) {
      throw tooLong(moving, `${maxPerTenant} calls wait for it already`)
    }
    const queue = this.#join(moving.id)
    try {
      for (;;) {
        // Before it reads: a change in between must not be missed.
        const change = queue.change.promise
        if (this.#closed) throw new TenantryError('TNY106')
        const tenant = await read()
        if (tenant?.status !== 'moving') return tenant
        const left = deadline - performance.now()
        if (left <= 0) throw tooLong(moving, `it is not over after ${timeoutMs} ms`)
        await changeOrPause(change, left, signal)
      }
    } finally {
      queue.waiting -= 1
      if (queue.waiting === 0) {
        clearInterval(queue.timer)
        this.#queues.delete(moving.id)
      }
    }
  }

  #join(tenantId: string): Queue {
    const queue = this.#queues.get(tenantId) ?? {
      waiting: 0,
      change: Promise.withResolvers<void>(),
      timer: setInterval(() => this.wake(tenantId), REREAD_MS),
    }
    this.#queues.set(tenantId, queue)
    queue.waiting += 1
    return queue
  }

  /** A tenant changed; without an id, any of them may have. */
  wake(tenantId?: string): void {
    const queues = tenantId === undefined ? [...this.#queues.values()] : [this.#queues.get(tenantId)]
    for (const queue of queues) {
      if (queue === undefined) continue
      queue.change.resolve()
      queue.change = Promise.withResolvers()
    }
  }

  /** Ends all waits, also those that come later. */
  close(): void {
    this.#closed = true
    this.wake()
  }
}

function tooLong({ id, key }: Tenant, reason: string): TenantryError {
  return new TenantryError('TNY108', { params: { tenant: key, reason }, tenantId: id })
}

/** @throws the signal's reason */
function changeOrPause(change: Promise<void>, ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(end, ms)
    function end(): void {
      clearTimeout(timer)
      signal?.removeEventListener('abort', end)
      if (signal?.aborted === true) reject(signal.reason as Error)
      else resolve()
    }
    void change.then(end)
    if (signal?.aborted === true) end()
    else signal?.addEventListener('abort', end, { once: true })
  })
}
