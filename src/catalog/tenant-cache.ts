/** Tenants in memory: trusted only while the listener is proven to hear every change. */
import { LRUCache } from 'lru-cache'
import type { TenantDirectory, TenantRef } from '../core/runtime.ts'
import type { Tenant } from '../core/tenant.ts'
import { MoveWaits } from './move-waits.ts'

/** What the cache stands on. */
export interface TenantCacheOptions {
  /** Reads a tenant from the catalog in one round trip. */
  load(ref: TenantRef): Promise<Tenant | undefined>
  /** True while every change of the last second was heard; entries are passed over while it is false. */
  isCurrent(): boolean
  /** Most entries; names that no tenant has take one each too, so that a flood of them stays bounded. */
  readonly max: number
  /** How long `settled` waits for the end of a move, in milliseconds; 10,000 by default. */
  readonly movingTimeoutMs?: number
  /** Most calls that wait for one tenant's move at once; 1,000 by default. */
  readonly maxMoveWaits?: number
}

/** What is remembered of a name: its tenant, or that there is none. */
interface Entry {
  readonly tenant: Tenant | undefined
}

/** The tenant directory of a running process. */
export class TenantCache implements TenantDirectory {
  readonly #options: TenantCacheOptions
  readonly #entries: LRUCache<string, Entry>
  readonly #moves: MoveWaits
  /** Look-ups under way, so that a hundred requests for one cold tenant ask once. */
  readonly #loading = new Map<string, Promise<Tenant | undefined>>()
  /** Counts changes heard; a look-up that began before one must not be remembered. */
  #generation = 0

  constructor(options: TenantCacheOptions) {
    this.#options = options
    this.#entries = new LRUCache({ max: options.max })
    this.#moves = new MoveWaits({
      timeoutMs: options.movingTimeoutMs ?? 10_000,
      maxPerTenant: options.maxMoveWaits ?? 1_000,
    })
  }

  /** From memory where it can be trusted, else from the catalog. @throws what `load` throws */
  async find(ref: TenantRef): Promise<Tenant | undefined> {
    return this.locate(ref)
  }

  /** The same, without a promise where memory knows. */
  locate(ref: TenantRef): Tenant | undefined | Promise<Tenant | undefined> {
    if (this.#options.isCurrent()) {
      const entry = this.#entries.get(nameOf(ref))
      if (entry !== undefined) return entry.tenant
    }
    return this.#load(ref)
  }

  /** The same, once no move of the tenant is under way. @throws TNY108, TNY106, the signal's reason, what `load` throws */
  async settled(ref: TenantRef, signal?: AbortSignal): Promise<Tenant | undefined> {
    const tenant = await this.find(ref)
    if (tenant?.status !== 'moving') return tenant
    return this.#moves.settled(tenant, () => this.find({ id: tenant.id }), signal)
  }

  /** From the catalog, whatever is remembered: for when the database has just refused what memory says. */
  refresh(ref: TenantRef): Promise<Tenant | undefined> {
    this.#generation += 1
    this.#loading.delete(nameOf(ref))
    return this.#load(ref)
  }

  /** A tenant changed: forgets it, and every name that had no tenant, since it may have taken one of them. */
  changed(tenantId: string): void {
    this.#generation += 1
    this.#loading.clear()
    for (const [name, { tenant }] of this.#entries.entries()) {
      if (tenant === undefined || tenant.id === tenantId) this.#entries.delete(name)
    }
    this.#moves.wake(tenantId)
  }

  /** Forgets everything: changes may have been missed. */
  clear(): void {
    this.#generation += 1
    this.#loading.clear()
    this.#entries.clear()
    this.#moves.wake()
  }

  /** Nobody waits for the end of a move any longer. */
  close(): void {
    this.#moves.close()
  }

  #load(ref: TenantRef): Promise<Tenant | undefined> {
    const name = nameOf(ref)
    const underWay = this.#loading.get(name)
    if (underWay !== undefined) return underWay
    const generation = this.#generation
    const loading = this.#options
      .load(ref)
      .then((tenant) => {
        if (generation === this.#generation) this.#remember(name, tenant)
        return tenant
      })
      .finally(() => {
        if (this.#loading.get(name) === loading) this.#loading.delete(name)
      })
    this.#loading.set(name, loading)
    return loading
  }

  #remember(name: string, tenant: Tenant | undefined): void {
    const entry = { tenant }
    this.#entries.set(name, entry)
    if (tenant !== undefined) this.#entries.set(nameOf({ id: tenant.id }), entry)
  }
}

function nameOf(ref: TenantRef): string {
  if ('domain' in ref) return `domain:${ref.domain}`
  return 'id' in ref ? `id:${ref.id}` : 'key' in ref ? `key:${ref.key}` : `name:${ref.name}`
}
