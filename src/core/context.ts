/** The tenant that the running code acts for, carried over every await by AsyncLocalStorage. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { TenantryError } from './errors.ts'
import type { Tenant } from './tenant.ts'

/** Carries one tenant through callbacks, promises and timers. There is never a default tenant. */
export interface TenantContext {
  /** Runs `fn` for a tenant. Nested calls are explicit, and each ends where its function ends. */
  run<T>(tenant: Tenant, fn: () => T): T
  /** Runs `fn` without a tenant, whatever the caller's context is. */
  exit<T>(fn: () => T): T
  /** The tenant of the context, or `undefined`. */
  find(): Tenant | undefined
  /** The tenant of the context. @throws TNY201 where there is none. */
  require(): Tenant
  /** Ties `fn` to the present context, for callbacks that libraries call from elsewhere. @throws TNY201 */
  bind<A extends unknown[], R>(fn: (...args: A) => R): (...args: A) => R
}

/** One context for one tenancy; two tenancies in a process do not see each other's tenants. */
export function createContext(): TenantContext {
  const storage = new AsyncLocalStorage<Tenant>()

  function require(): Tenant {
    const tenant = storage.getStore()
    if (tenant === undefined) throw new TenantryError('TNY201')
    return tenant
  }

  return {
    run: (tenant, fn) => storage.run(tenant, fn),
    exit: (fn) => storage.exit(fn),
    find: () => storage.getStore(),
    require,
    bind(fn) {
      const tenant = require()
      return (...args) => storage.run(tenant, () => fn(...args))
    },
  }
}
