/** The tenant that the running code acts for, and until when, carried over every await by AsyncLocalStorage. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { TenantryError } from './errors.ts'
import type { Tenant } from './tenant.ts'

/** How a function is run for a tenant. */
export interface RunOptions {
  /**
   * For the tenant's statements that are made inside and bring no signal of their own. Once it is aborted they leave the
   * queue, are cancelled, or fail at once with its reason; only COMMIT and ROLLBACK still run. Without one, that of the
   * context around it stays.
   */
  readonly signal?: AbortSignal | undefined
}

/** Carries one tenant through callbacks, promises and timers. There is never a default tenant. */
export interface TenantContext {
  /** Runs `fn` for a tenant. Nested calls are explicit, and each ends where its function ends. */
  run<T>(tenant: Tenant, fn: () => T, options?: RunOptions): T
  /** Runs `fn` without a tenant and without a signal, whatever the caller's context is. */
  exit<T>(fn: () => T): T
  /** The tenant of the context, or `undefined`. */
  find(): Tenant | undefined
  /** The tenant of the context. @throws TNY201 where there is none. */
  require(): Tenant
  /** The signal of the context, for what else is done in it, such as `fetch`; or `undefined`. */
  signal(): AbortSignal | undefined
  /** Ties `fn` to the present context, for callbacks that libraries call from elsewhere. @throws TNY201 */
  bind<A extends unknown[], R>(fn: (...args: A) => R): (...args: A) => R
}

/** One context for one tenancy; two tenancies in a process do not see each other's tenants. */
export function createContext(): TenantContext {
  const storage = new AsyncLocalStorage<Tenant>()
  // A storage of its own: most contexts have no signal, and theirs stay the bare tenant.
  const signals = new AsyncLocalStorage<AbortSignal | undefined>()

  function require(): Tenant {
    const tenant = storage.getStore()
    if (tenant === undefined) throw new TenantryError('TNY201')
    return tenant
  }

  return {
    run: (tenant, fn, options) =>
      options?.signal === undefined
        ? storage.run(tenant, fn)
        : signals.run(options.signal, () => storage.run(tenant, fn)),
    exit: (fn) => storage.exit(() => signals.exit(fn)),
    find: () => storage.getStore(),
    require,
    signal: () => signals.getStore(),
    bind(fn) {
      const tenant = require()
      const signal = signals.getStore()
      // Also where there is none: the caller's belongs to another request.
      return (...args) => signals.run(signal, () => storage.run(tenant, () => fn(...args)))
    },
  }
}
