/** Tenants in memory: by every name that a request may give them, at most a second old. */
import type { TenantDirectory, TenantRef } from '../core/runtime.ts'
import type { Tenant } from '../core/tenant.ts'
import type { CatalogChange } from './catalog-change.ts'
import { CatalogMemory, type CatalogMemoryOptions } from './catalog-memory.ts'
import { MoveWaits } from './move-waits.ts'

/** What the cache stands on. */
export interface TenantCacheOptions extends Omit<CatalogMemoryOptions<Tenant>, 'namesOf'> {
  /** Reads a tenant from the catalog in one round trip. */
  load(ref: TenantRef): Promise<Tenant | undefined>
  /** How long `settled` waits for the end of a move, in milliseconds; 10,000 by default. */
  readonly movingTimeoutMs?: number
  /** Most calls that wait for one tenant's move at once; 1,000 by default. */
  readonly maxMoveWaits?: number
}

/** No key, id or domain is longer: what is cannot be anybody's, and is not worth remembering. */
const LONGEST_NAME = 253

/** The tenant directory of a running process. */
export class TenantCache implements TenantDirectory {
  readonly #options: TenantCacheOptions
  readonly #memory: CatalogMemory<Tenant>
  readonly #moves: MoveWaits

  constructor(options: TenantCacheOptions) {
    this.#options = options
    this.#memory = new CatalogMemory({ ...options, namesOf: ({ id }) => [`id:${id}`] })
    this.#moves = new MoveWaits({
      timeoutMs: options.movingTimeoutMs ?? 10_000,
      maxPerTenant: options.maxMoveWaits ?? 1_000,
    })
  }

  /** From memory where it can be trusted, else from the catalog. @throws what `load` throws, TNY112 */
  async find(ref: TenantRef): Promise<Tenant | undefined> {
    return this.locate(ref)
  }

  /** The same, without a promise where memory knows. */
  locate(ref: TenantRef): Tenant | undefined | Promise<Tenant | undefined> {
    const name = nameOf(ref)
    return name === undefined ? undefined : this.#memory.locate(name, () => this.#options.load(ref))
  }

  /** The same, once no move of the tenant is under way. @throws TNY108, TNY106, the signal's reason, what `load` throws */
  async settled(ref: TenantRef, signal?: AbortSignal): Promise<Tenant | undefined> {
    const tenant = await this.find(ref)
    if (tenant?.status !== 'moving') return tenant
    return this.#moves.settled(tenant, () => this.find({ id: tenant.id }), signal)
  }

  /** From the catalog, whatever is remembered: for when the database has just refused what memory says. */
  async refresh(ref: TenantRef): Promise<Tenant | undefined> {
    const name = nameOf(ref)
    return name === undefined ? undefined : this.#memory.refresh(name, () => this.#options.load(ref))
  }

  /** Forgets what a change made untrue, and nothing else. */
  changed({ tenantId, name }: CatalogChange): void {
    if (tenantId === undefined) {
      this.#memory.clear()
    } else {
      const names = [`id:${tenantId}`, `name:${tenantId}`]
      if (name !== undefined) names.push(`key:${name}`, `name:${name}`, `domain:${name}`)
      this.#memory.forget(tenantId, names)
    }
    this.#moves.wake(tenantId)
  }

  /** Nobody waits for the end of a move any longer. */
  close(): void {
    this.#moves.close()
  }
}

function nameOf(ref: TenantRef): string | undefined {
  const [kind, text] =
    'id' in ref
      ? ['id:', ref.id]
      : 'key' in ref
        ? ['key:', ref.key]
        : 'domain' in ref
          ? ['domain:', ref.domain]
          : ['name:', ref.name]
  return text.length > LONGEST_NAME ? undefined : kind + text
}
