/** Finds the tenant for `exec` and `psql` with the runtime login, and makes the environment that leads into it. */
import { findProvenTenant, type ProvenTenant } from '../catalog/tenant-store.ts'
import { TenantryError } from '../core/errors.ts'
import type { Tenant } from '../core/tenant.ts'
import { createAdminDatabase } from '../gateway/admin-database.ts'
import type { TenantLogin } from '../gateway/binding.ts'
import { createKeyring } from '../isolation/master-key.ts'
import { sqlState } from '../sql/sql-state.ts'
import { findConnections, requireConnection } from './connections.ts'
import type { Shell } from './shell.ts'
import { tenantEnvironment } from './tenant-environment.ts'

/**
 * The server refuses the runtime login the roles of suspended tenants, so there is no way to force it: resume first.
 * @throws TNY302, TNY036 where the tenant is not active, TNY005 where there is no catalog; for a sealed tenant TNY021,
 * TNY022.
 */
export async function enterTenant(shell: Shell, name: string): Promise<NodeJS.ProcessEnv> {
  const project = await shell.project()
  const spec = requireConnection(project, 'app')
  const db = createAdminDatabase(spec, 1)
  let found: ProvenTenant | undefined
  try {
    found = await findProvenTenant(db, { name })
  } catch (error) {
    // No such table, schema, column or function: there is no catalog, or an older one.
    if (['42P01', '3F000', '42703', '42883'].includes(sqlState(error) ?? ''))
      throw new TenantryError('TNY005', { cause: error })
    throw error
  } finally {
    await db.close()
  }
  if (found === undefined) throw new TenantryError('TNY302', { params: { tenant: name } })
  const { tenant, proof } = found
  if (tenant.status !== 'active') throw notActive(tenant)
  const login = loginOf(tenant, findConnections(project).masterKey)
  return tenantEnvironment(process.env, spec, tenant, { proof, login })
}

/** A sealed tenant's own. */
function loginOf({ id, home }: Tenant, masterKey: string | undefined): TenantLogin | undefined {
  if (home.keyId === undefined) return undefined
  return { user: home.role, password: createKeyring(masterKey).secretOf(id, home.keyId) }
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
