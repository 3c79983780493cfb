/** Keeps a test from changing the roles of a template's tenants, which belong to the server and so to every clone. */
import type { ControlPlane } from '../control-plane.ts'
import { TenantryError } from '../core/errors.ts'
import type { Tenant } from '../core/tenant.ts'

/** The same control plane, but for what lets tenants in and out. */
export function guardTemplateTenants(plane: ControlPlane, shared: readonly Tenant[]): ControlPlane {
  /** @throws TNY041 */
  function requireOwn(tenant: string, what: string): void {
    if (!shared.some(({ id, key, aliases }) => [id, key, ...aliases].includes(tenant))) return
    const reason = `"${tenant}" shares its roles with the other test files, and ${what} would take them from all`
    const instead = 'Make a tenant for this in the test: await db.controlPlane.tenants.create({ key }).'
    throw new TenantryError('TNY041', { params: { reason, instead } })
  }
  const { tenants } = plane
  return {
    ...plane,
    tenants: {
      ...tenants,
      async suspend(tenant, why) {
        requireOwn(tenant, 'suspending it')
        return tenants.suspend(tenant, why)
      },
      async resume(tenant) {
        requireOwn(tenant, 'resuming it')
        return tenants.resume(tenant)
      },
      async delete(tenant, confirmation) {
        requireOwn(tenant, 'deleting it')
        return tenants.delete(tenant, confirmation)
      },
    },
    secrets: {
      ...plane.secrets,
      rotate() {
        const reason = 'the secrets of sealed tenants are the server’s, and other test files use them'
        const instead = 'Test the rotation on a server of its own.'
        throw new TenantryError('TNY041', { params: { reason, instead } })
      },
    },
  }
}
