/** Turns tenants into principals of the gateway: each statement meets the tenant's status and home as they are now. */
import { TenantryError } from '../core/errors.ts'
import { printable, type Tenant } from '../core/tenant.ts'
import type { Binding } from '../gateway/binding.ts'
import type { Principal } from '../gateway/gateway.ts'

/** How to find the tenant again: from memory (at once where it is there), or freshly from the catalog. */
export type Locate = (fresh: boolean) => Tenant | undefined | Promise<Tenant | undefined>

/** What a flight binds for a tenant. */
export type Bind = (tenant: Tenant) => Binding

/** Work without a tenant: the runtime login's own rights, no context bound. */
export const CENTRAL: Principal = {
  mode: 'central',
  tenantId: undefined,
  binding: () => undefined,
}

/**
 * A principal for one tenant.
 * @param bind by the tenant's home and limits.
 * @param label the key or id that the caller used, for errors.
 * @param tenantId where it is known already.
 */
export function tenantPrincipal(label: string, locate: Locate, bind: Bind, tenantId?: string): Principal {
  return {
    mode: 'tenant',
    tenantId,
    binding(fresh) {
      const serve = (tenant: Tenant | undefined): Binding => bind(requireServed(tenant, label, tenantId))
      const located = locate(fresh)
      return located instanceof Promise ? located.then(serve) : serve(located)
    },
  }
}

/**
 * The tenant, if it takes statements.
 * @throws TNY209 where it does not exist, TNY108 while it is being moved, TNY211 where its status is another than active.
 */
export function requireServed(tenant: Tenant | undefined, label: string, tenantId?: string): Tenant {
  if (tenant === undefined) {
    throw new TenantryError('TNY209', { params: { tenant: printable(label) }, tenantId })
  }
  if (tenant.status === 'moving') {
    throw new TenantryError('TNY108', {
      params: { tenant: tenant.key, reason: 'takes no statements meanwhile' },
      tenantId: tenant.id,
    })
  }
  if (tenant.status !== 'active') {
    throw new TenantryError('TNY211', {
      params: { tenant: tenant.key, status: tenant.status },
      tenantId: tenant.id,
    })
  }
  return tenant
}
