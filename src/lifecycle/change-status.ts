/** Suspends and resumes tenants: the catalog's word and the database's own refusal are one commit. */
import { findTenant } from '../catalog/tenant-store.ts'
import type { Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import type { Tenant, TenantStatus } from '../core/tenant.ts'
import { admitLogin, expelLogin } from '../isolation/tenant-roles.ts'
import { inTransaction } from './pinned-session.ts'

/**
 * From the commit on, PostgreSQL itself refuses the runtime login to enter the tenant, whatever caches say.
 * Suspending a suspended tenant changes its reason at most.
 * @throws TNY303
 */
export async function suspend(
  session: Queryable,
  tenant: Tenant,
  runtimeLogin: string,
  reason: string | undefined,
): Promise<void> {
  await inTransaction(session, async () => {
    await lockStatus(session, tenant, 'suspend', ['active', 'suspended'])
    await setStatus(session, tenant.id, 'suspended', reason)
    await expelLogin(session, tenant.home.role, runtimeLogin)
  })
}

/** @throws TNY303 */
export async function resume(session: Queryable, tenant: Tenant, runtimeLogin: string): Promise<void> {
  await inTransaction(session, async () => {
    await lockStatus(session, tenant, 'resume', ['suspended', 'active'])
    await admitLogin(session, tenant.home.role, runtimeLogin)
    await setStatus(session, tenant.id, 'active', undefined)
  })
}

/** Locks the tenant's row and checks its status as it is now. @throws TNY302, TNY303 */
export async function lockStatus(
  tx: Queryable,
  tenant: Tenant,
  action: string,
  needed: readonly TenantStatus[],
): Promise<TenantStatus> {
  await tx.query('select from tenantry.tenants where id = $1 for update', [tenant.id])
  const status = (await findTenant(tx, { id: tenant.id }))?.status
  if (status === undefined) throw new TenantryError('TNY302', { params: { tenant: tenant.key } })
  if (!needed.includes(status)) {
    const params = { tenant: tenant.key, status, action, needed: needed.join(' or ') }
    throw new TenantryError('TNY303', { params })
  }
  return status
}

/** Writes a status; the caller holds the row's lock. */
export async function setStatus(
  tx: Queryable,
  id: string,
  status: TenantStatus,
  reason: string | undefined,
): Promise<void> {
  await tx.query(
    'update tenantry.tenants set status = $2, status_reason = $3, updated_at = now() where id = $1',
    [id, status, reason ?? null],
  )
}
