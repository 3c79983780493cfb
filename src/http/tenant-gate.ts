/** The way of one request into its tenant's context: all that every adapter does, whatever its framework. */
import type { TenantRuntime } from '../core/runtime.ts'
import type { Tenant } from '../core/tenant.ts'
import type { RequestParts } from '../resolve/resolvable-request.ts'
import { createAdmission } from './admission.ts'
import type { AdmissionOptions } from './admission.ts'

/** What every adapter may be told. `R` is the framework's request. */
export interface TenantOptions<R> extends AdmissionOptions<R> {
  /**
   * Whether a request's statements stop (TNY107) when its client leaves before the answer was finished. Off by default:
   * with Node a request goes on then, and a POST whose client lost its network has had its effect.
   */
  readonly abortOnDisconnect?: boolean
}

/** For whom a request is served. */
export interface Served {
  /** `undefined` on `except` and `central` paths. */
  readonly tenant: Tenant | undefined
  /** The tenant's id, to pass to `dbForTenant(tenantId)`, which throws TNY201 where there is none. */
  readonly tenantId: string | undefined
}

/** A request that is let in. */
export interface Admitted extends Served {
  /** Runs `fn` in the tenant's context; where there is no tenant, in none, whatever was there before. */
  run<T>(fn: () => T): T
}

/**
 * Lets a request in, or throws its refusal.
 * @param disconnect gives the signal of the client's leaving; called only where statements shall heed it.
 * @throws what `Admit` throws
 */
export type TenantGate<R> = (parts: RequestParts<R>, disconnect: () => AbortSignal) => Promise<Admitted>

/**
 * Builds the gate of an adapter.
 * @throws TNY002 where an option is not valid
 */
export function createTenantGate<R>(runtime: TenantRuntime, options: TenantOptions<R>): TenantGate<R> {
  const { context } = runtime
  const admit = createAdmission(runtime, options)

  return async (parts, disconnect) => {
    const signal = options.abortOnDisconnect === true ? disconnect() : undefined
    // A context from outside, whoever's, is none of the resolver's business.
    const tenant = await context.exit(() => admit(parts, signal))
    return {
      tenant,
      tenantId: tenant?.id,
      run: (fn) => (tenant === undefined ? context.exit(fn) : context.run(tenant, fn, { signal })),
    }
  }
}
