/** A tenant's job as it lies in a queue: whose it is, and the payload that the application gave. */
import { isTenantId } from '../catalog/tenant-id.ts'
import type { TenantContext } from '../core/context.ts'
import { TenantryError } from '../core/errors.ts'
import type { TenantDirectory } from '../core/runtime.ts'
import type { Tenant } from '../core/tenant.ts'
import { requireServed } from '../isolation/principal.ts'

/** What of a tenancy jobs use. */
export interface JobTenancy {
  readonly context: TenantContext
  readonly directory: TenantDirectory
}

/** What is stored. The id and nothing more: key, status and home are looked up when the job runs. */
export interface TenantJob<T = unknown> {
  readonly tenantryTenant: string
  readonly payload: T
}

/** A job whose tenant may be worked for. */
export interface OpenedJob {
  readonly tenant: Tenant
  readonly payload: unknown
  /** Runs `fn` in the tenant's context, and with nothing of the worker's own. */
  run<T>(fn: () => T): T
}

/** Wraps a payload for the tenant of the context. @throws TNY201 */
export function tenantJob<T>(tenancy: JobTenancy, payload: T): TenantJob<T> {
  return { tenantryTenant: tenancy.context.require().id, payload }
}

/**
 * A key by which a queue tells jobs apart, made the tenant's own: else one tenant's `nightly` would replace another's.
 * Ids hold no space (the catalog checks it), so that the first one ends the id.
 * @throws TNY201
 */
export function tenantJobKey(tenancy: JobTenancy, key: string): string {
  return `${tenancy.context.require().id} ${key}`
}

/**
 * Reads a stored job and finds its tenant; nothing of it may run before. A move of the tenant is waited for.
 * @throws TNY221 where it names none, TNY209 where there is no such tenant (any more), TNY211 where it is not active,
 * TNY108 where its move takes too long
 */
export async function openJob(tenancy: JobTenancy, stored: unknown): Promise<OpenedJob> {
  const { tenantryTenant: id, payload } = requireTenantJob(stored)
  const tenant = requireServed(await tenancy.directory.settled({ id }), id, id)
  const { context } = tenancy
  return { tenant, payload, run: (fn) => context.exit(() => context.run(tenant, fn)) }
}

/** Whether waiting and trying again cannot help: it never will name a tenant that exists. */
export function isHopeless(refusal: unknown): boolean {
  return refusal instanceof TenantryError && (refusal.code === 'TNY221' || refusal.code === 'TNY209')
}

function requireTenantJob(stored: unknown): TenantJob {
  if (typeof stored === 'object' && stored !== null && 'tenantryTenant' in stored) {
    const { tenantryTenant, payload, ...others } = stored as Partial<TenantJob>
    // A payload of `undefined` is not stored at all.
    if (isTenantId(tenantryTenant) && Object.keys(others).length === 0) return { tenantryTenant, payload }
  }
  throw new TenantryError('TNY221')
}
