/** A storage of unstorage as one tenant sees it: its own keys and nothing else, whatever a key contains. */
import type { Storage, StorageValue, WatchCallback } from 'unstorage'
import type { TenantContext } from '../core/context.ts'
import { TenantryError } from '../core/errors.ts'
import { printable } from '../core/tenant.ts'

/** What of a tenancy this adapter uses. */
export interface StorageTenancy {
  readonly context: TenantContext
}

/** What concerns the whole storage, whose the drivers are. */
type OfTheWhole = 'dispose' | 'mount' | 'unmount' | 'getMount' | 'getMounts'

/** All of unstorage that a tenant can be given. */
export type TenantStorage<T extends StorageValue = StorageValue> = Omit<Storage<T>, OfTheWhole>

type Options = Record<string, unknown>

/** Above all tenants, so that other keys can lie beside them. */
const ROOT = 'tenants:'

/**
 * The same storage for the tenant of the context, who is looked up at each call: keys are read and written below
 * `tenants:<id>:`, and come back without it. `clear()` clears the tenant's keys alone, `watch()` hears of them alone, and
 * in its context.
 * @throws by each call: TNY201 without a tenant, TNY223 for a key that is not valid
 * @example
 * const storage = tenantStorage(tenancy, createStorage({ driver: redisDriver({ base: 'app' }) }))
 * await storage.setItem('orders:7', order)
 */
export function tenantStorage<T extends StorageValue>(
  tenancy: StorageTenancy,
  storage: Storage<T>,
): TenantStorage<T> {
  const { context } = tenancy
  const prefix = (): string => `${ROOT}${segmentOf(context.require().id)}:`
  const own = (key: string): string => prefix() + requireKey(key)
  /** Of a list of keys those of the tenant, as it knows them: drivers may list more than they were asked for. */
  const strip = (keys: readonly string[]): string[] => {
    const start = prefix()
    return keys.filter((key) => key.startsWith(start)).map((key) => key.slice(start.length))
  }
  const unwatches = new Map<string, Set<() => unknown>>()

  async function getKeys(base = '', options: Options & { maxDepth?: number } = {}): Promise<string[]> {
    const start = prefix() + baseOf(base)
    const { maxDepth } = options
    // Depth counts from the root of a storage, and the prefix has two segments.
    const deeper = maxDepth === undefined ? options : { ...options, maxDepth: maxDepth + 2 }
    return strip((await storage.getKeys(start, deeper)).filter((key) => key.startsWith(start)))
  }

  async function clear(base = '', options: Options = {}): Promise<void> {
    // Not storage.clear(): it clears drivers that are mounted below a base, whole, and of one that is mounted above nothing.
    const keys = await getKeys(base, options)
    await Promise.all(keys.map(async (key) => storage.removeItem(own(key), { ...options, removeMeta: true })))
  }

  async function watch(callback: WatchCallback): Promise<() => Promise<void>> {
    const start = prefix()
    const bound = context.bind(callback)
    const stop = await storage.watch((event, key) =>
      key.startsWith(start) ? bound(event, key.slice(start.length)) : undefined,
    )
    const set = unwatches.get(start) ?? new Set()
    unwatches.set(start, set.add(stop))
    return async () => {
      set.delete(stop)
      if (set.size === 0) unwatches.delete(start)
      await stop()
    }
  }

  /** Ends what the tenant watches; unstorage's own would end it for all. */
  async function unwatch(): Promise<void> {
    const start = prefix()
    const stops = [...(unwatches.get(start) ?? [])]
    unwatches.delete(start)
    for (const stop of stops) await stop()
  }

  const items = {
    hasItem: async (key: string, options?: Options) => storage.hasItem(own(key), options),
    getItem: async (key: string, options?: Options) => storage.getItem(own(key), options),
    setItem: async (key: string, value: T, options?: Options) => storage.setItem(own(key), value, options),
    removeItem: async (key: string, options?: Options | boolean) => storage.removeItem(own(key), options),
  }
  const view = {
    ...items,
    async getItems(wanted: readonly (string | { key: string; options?: Options })[], options?: Options) {
      const start = prefix()
      const asked = wanted.map((item) =>
        typeof item === 'string' ? own(item) : { ...item, key: own(item.key) },
      )
      const found = await storage.getItems(asked, options)
      return found.map(({ key, value }) => ({ key: key.slice(start.length), value }))
    },
    async setItems(given: readonly { key: string; value: T; options?: Options }[], options?: Options) {
      return storage.setItems(
        given.map((item) => ({ ...item, key: own(item.key) })),
        options,
      )
    },
    getItemRaw: async (key: string, options?: Options) => storage.getItemRaw(own(key), options),
    setItemRaw: async (key: string, value: unknown, options?: Options) =>
      storage.setItemRaw(own(key), value, options),
    getMeta: async (key: string, options?: Options | boolean) => storage.getMeta(own(key), options),
    setMeta: async (key: string, value: never, options?: Options) =>
      storage.setMeta(own(key), value, options),
    removeMeta: async (key: string, options?: Options) => storage.removeMeta(own(key), options),
    getKeys,
    clear,
    watch,
    unwatch,
    keys: getKeys,
    get: items.getItem,
    set: items.setItem,
    has: items.hasItem,
    del: items.removeItem,
    remove: items.removeItem,
  }
  return view as unknown as TenantStorage<T>
}

/** An id as one segment of a key. Capitals are written out too: some file systems do not tell them apart. */
function segmentOf(id: string): string {
  return id.replaceAll(/[^a-z0-9-]/g, (one) => `_${one.charCodeAt(0).toString(16).padStart(2, '0')}`)
}

/**
 * A key in the form that unstorage gives it, checked here: it cuts a key at `?`, which would leave the bare prefix, and
 * file drivers of older versions follow `..`.
 * @throws TNY223
 */
function requireKey(key: string): string {
  const refuse = (reason: string): never => {
    throw new TenantryError('TNY223', { params: { key: `"${printable(key)}"`, reason } })
  }
  if (typeof key !== 'string') return refuse('it is no text')
  if (/[?\0]/.test(key)) return refuse('it holds a question mark or NUL')
  const segments = key.split(/[:/\\]+/).filter((segment) => segment !== '')
  if (segments.length === 0) return refuse('it is empty')
  if (segments.some((segment) => segment === '.' || segment === '..')) return refuse('it leads elsewhere')
  return segments.join(':')
}

function baseOf(base: string): string {
  return /^[:/\\]*$/.test(base) ? '' : `${requireKey(base)}:`
}
