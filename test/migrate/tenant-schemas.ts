/** Tenants' schemas and roles as provisioning makes them, without a catalog. */
import type { AdminDatabase } from '../../src/core/database.ts'
import type { TenantHome, TenantHomes } from '../../src/core/homes.ts'
import type { TenantStatus } from '../../src/core/tenant.ts'
import { createTenantSchema, makeTenantRoles } from '../../src/isolation/tenant-roles.ts'

/** Makes empty schemas, each with its two roles. */
export async function makeTenants(admin: AdminDatabase, keys: readonly string[]): Promise<TenantHome[]> {
  return admin.transaction(async (tx) => {
    const roles = await makeTenantRoles(tx, keys.length, 'tenantry_app')
    const tenants: TenantHome[] = []
    for (const [index, key] of keys.entries()) {
      const { role, ownerRole } = roles[index] ?? { role: '', ownerRole: '' }
      const schema = `tenant_${key.replaceAll('-', '_')}`
      const home = { model: 'schema', tier: 'guarded', schema, role, ownerRole, epoch: 1 } as const
      await createTenantSchema(tx, home)
      tenants.push({ id: key, key, status: 'active', home })
    }
    return tenants
  })
}

export function homesOf(tenants: readonly TenantHome[]): TenantHomes {
  return {
    async *list() {
      yield* tenants
    },
    findShared: async () => undefined,
    listSharing: async () => [],
  }
}

export function withStatus(tenant: TenantHome, status: TenantStatus): TenantHome {
  return { ...tenant, status }
}
