/** Facts that a tenancy emits; loggers and metrics decide what becomes of them. */
import type { TenantryError } from './errors.ts'

/** Every event by name, with what it carries. */
export interface TenancyEvents {
  /** A connection to PostgreSQL was opened. */
  'connection:open': { readonly total: number }
  /** A connection was closed: idle, aged, broken, or left in a state that no other tenant may see. */
  'connection:close': { readonly reason: string; readonly total: number }
  /** A statement or transaction got its connection. `warm`: its backend had served the tenant before. */
  'connection:acquired': {
    readonly tenantId: string | undefined
    /** Milliseconds in the queue, 0 where one was free. */
    readonly waitedMs: number
    readonly warm: boolean
  }
  /** A round trip is over. `named`: it ran a statement that was prepared before. */
  'flight:done': {
    readonly tenantId: string | undefined
    /** Milliseconds from sending to the server's readiness for the next. */
    readonly tookMs: number
    readonly named: boolean
    readonly ok: boolean
  }
  /** The SQL guard refused a statement; or would have, where `enforced` is false: then it ran (`guard: 'report'`). */
  'statement:refused': {
    readonly tenantId: string | undefined
    readonly error: TenantryError
    readonly enforced: boolean
  }
  /** A tenant, or its schema, was changed by this or another process; all of them where `tenantId` is undefined. */
  'catalog:changed': { readonly tenantId: string | undefined }
  /** The start-up check found something that does not keep it from serving, and that operators should know of. */
  'server:warning': { readonly about: string; readonly message: string; readonly advice: string }
  /** The listener lost its connection; until it is back, the cache trusts nothing older than a second. */
  'listener:lost': { readonly error: unknown }
  /** The listener is back, and the cache was emptied. */
  'listener:restored': Record<never, never>
}

/** A listener for one event. */
export type Listener<K extends keyof TenancyEvents> = (event: TenancyEvents[K]) => void

/** Typed events. A listener that throws does not disturb the emitter: its error is reported as a warning. */
export interface Events<E extends object = TenancyEvents> {
  /** Adds a listener; the returned function removes it. */
  on<K extends keyof E>(name: K, listener: (event: E[K]) => void): () => void
  emit<K extends keyof E>(name: K, event: E[K]): void
  /** Whether anybody listens: what nobody hears need not be measured. */
  has(name: keyof E): boolean
}

/** An empty set of listeners. */
export function createEvents<E extends object = TenancyEvents>(): Events<E> {
  const listeners = new Map<keyof E, Set<(event: never) => void>>()
  return {
    on(name, listener) {
      const set = listeners.get(name) ?? new Set()
      listeners.set(name, set)
      set.add(listener)
      return () => set.delete(listener)
    },
    has: (name) => (listeners.get(name)?.size ?? 0) > 0,
    emit(name, event) {
      const set = listeners.get(name)
      if (set === undefined) return
      for (const listener of set) {
        try {
          ;(listener as (event: E[typeof name]) => void)(event)
        } catch (error) {
          process.emitWarning(error instanceof Error ? error : String(error))
        }
      }
    },
  }
}
