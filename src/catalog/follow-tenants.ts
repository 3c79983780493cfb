/** Tells what outlives a request (a WebSocket, an event stream) when its tenant changes, or is served no longer. */
import type { Events } from '../core/events.ts'
import type { TenantDirectory } from '../core/runtime.ts'
import type { Tenant } from '../core/tenant.ts'

/**
 * Hears the tenant's record whenever it has changed, and `undefined` once it is neither active nor moving: that is the
 * last call.
 */
export type TenantFollower = (tenant: Tenant | undefined) => void

/** What following stands on. */
export interface FollowedTenancy {
  readonly directory: TenantDirectory
  readonly on: Events['on']
}

/** Where no change is heard (a pooler without `direct`), or a look-up failed, they are seen this late. */
const RECHECK_MS = 5_000

/** All followers of a process: one look at the catalog for each tenant, however many follow it. */
export class FollowedTenants {
  readonly #tenancy: FollowedTenancy
  readonly #followers = new Map<string, Set<TenantFollower>>()
  #stop: (() => void) | undefined
  #isChecking = false
  #again = false

  constructor(tenancy: FollowedTenancy) {
    this.#tenancy = tenancy
  }

  /** Follows a tenant until the returned function is called. */
  follow(tenantId: string, follower: TenantFollower): () => void {
    // Of its own, so that one function may follow twice.
    const own: TenantFollower = (tenant) => follower(tenant)
    const set = this.#followers.get(tenantId) ?? new Set()
    this.#followers.set(tenantId, set.add(own))
    this.#stop ??= this.#start()
    // It may have been suspended between the look-up that let it in and now.
    void this.#check(tenantId)
    return () => this.#leave(tenantId, own)
  }

  #start(): () => void {
    const timer = setInterval(() => void this.#checkAll(), RECHECK_MS).unref()
    const { on } = this.#tenancy
    const stops = [
      on('catalog:changed', ({ tenantId }) => {
        if (tenantId === undefined) void this.#checkAll()
        else if (this.#followers.has(tenantId)) void this.#check(tenantId)
      }),
      on('listener:restored', () => void this.#checkAll()),
      () => clearInterval(timer),
    ]
    return () => {
      for (const stop of stops) stop()
    }
  }

  #leave(tenantId: string, follower: TenantFollower): void {
    const set = this.#followers.get(tenantId)
    set?.delete(follower)
    if (set?.size === 0) this.#followers.delete(tenantId)
    if (this.#followers.size > 0) return
    this.#stop?.()
    this.#stop = undefined
  }

  /**
   * One at a time: where each asks the database, a thousand tenants would take every connection. Rounds that last longer than
   * the time between them would do so as well, so that a round that is due meanwhile begins when this one ends.
   */
  async #checkAll(): Promise<void> {
    this.#again = true
    if (this.#isChecking) return
    this.#isChecking = true
    while (this.#again) {
      this.#again = false
      for (const tenantId of [...this.#followers.keys()]) await this.#check(tenantId)
    }
    this.#isChecking = false
  }

  async #check(tenantId: string): Promise<void> {
    let tenant: Tenant | undefined
    try {
      tenant = await this.#tenancy.directory.find({ id: tenantId })
    } catch {
      // The database is away: whatever the tenant does meets that itself, and the next check comes.
      return
    }
    const served = tenant?.status === 'active' || tenant?.status === 'moving' ? tenant : undefined
    for (const follower of [...(this.#followers.get(tenantId) ?? [])]) {
      if (served === undefined) this.#leave(tenantId, follower)
      try {
        follower(served)
      } catch (error) {
        process.emitWarning(error instanceof Error ? error : String(error))
      }
    }
  }
}
