/** Finds the tenant for `exec` and `psql` with the runtime login alone, and makes the environment that leads into it. */
import { findTenant } from '../catalog/tenant-store.ts'
import { TenantryError } from '../core/errors.ts'
import type { Tenant } from '../core/tenant.ts'
import { createAdminDatabase } from '../gateway/admin-database.ts'
import { sqlState } from '../sql/sql-state.ts'
import { requireConnection } from './connections.ts'
import type { Shell } from './shell.ts'
import { tenantEnvironment } from './tenant-environment.ts'

/**
 * The server refuses the runtime login the roles of suspended tenants, so there is no way to force it: resume first.
 * @throws TNY302, TNY036 where the tenant is not active, TNY005 where there is no catalog.
 */
export async function enterTenant(shell: Shell, name: string): Promise<NodeJS.ProcessEnv> {
  const project = await shell.project()
  const spec = requireConnection(project, 'app')
  const db = createAdminDatabase(spec, 1)
  let tenant: Tenant | undefined
  try {
    tenant = await findTenant(db, { name })
  } catch (error) {
    if (['42P01', '3F000'].includes(sqlState(error) ?? ''))
      throw new TenantryError('TNY005', { cause: error })
    throw error
  } finally {
    await db.close()
  }
  if (tenant === undefined) throw new TenantryError('TNY302', { params: { tenant: name } })
  if (tenant.status !== 'active') throw notActive(tenant)
  return tenantEnvironment(process.env, spec, tenant)
}

function notActive({ key, status }: Tenant): TenantryError {
  const advice =
    status === 'suspended'
      ? `Resume it first: tenantry tenants resume ${key}.`
      : status === 'provisioning'
        ? `Finish it first: tenantry tenants create ${key}.`
        : 'Wait until it is active again.'
  return new TenantryError('TNY036', { params: { tenant: key, status, advice } })
}
