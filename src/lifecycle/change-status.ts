/** Suspends and resumes tenants: the catalog's word and the database's own refusal are one commit. */
import { findTenant } from '../catalog/tenant-store.ts'
import type { Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import type { Tenant, TenantStatus } from '../core/tenant.ts'
import { admitTenant, endTenantSessions, type Entry, shutTenant } from '../isolation/tenant-entry.ts'
import { inTransaction } from './pinned-session.ts'

/**
 * From the commit on PostgreSQL itself refuses to act as the tenant, whatever caches say; sessions of a sealed one are
 * ended. Suspending a suspended tenant changes its reason at most.
 * @throws TNY303
 */
export async function suspend(
  session: Queryable,
  tenant: Tenant,
  entry: Entry,
  reason: string | undefined,
): Promise<void> {
  await inTransaction(session, async () => {
    await lockStatus(session, tenant, 'suspend', ['active', 'suspended'])
    await setStatus(session, tenant.id, 'suspended', reason)
    await shutTenant(session, tenant, entry)
  })
  await endTenantSessions(session, tenant)
}

/** @throws TNY303 */
export async function resume(session: Queryable, tenant: Tenant, entry: Entry): Promise<void> {
  await inTransaction(session, async () => {
    await lockStatus(session, tenant, 'resume', ['suspended', 'active'])
    await admitTenant(session, tenant, entry)
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

/**
 * The tenant is there to be given something, in whatever status but `archived`, and stays until the transaction ends.
 * @throws TNY302, TNY303
 */
export async function requireManaged(
  tx: Queryable,
  { id, key }: Pick<Tenant, 'id' | 'key'>,
  action: string,
): Promise<void> {
  const { rows } = await tx.query<{ status: TenantStatus }>(
    'select status from tenantry.tenants where id = $1 for share',
    [id],
  )
  const status = rows[0]?.status
  if (status === undefined || status === 'erased')
    throw new TenantryError('TNY302', { params: { tenant: key } })
  if (status === 'archived') {
    const needed = 'provisioning, active, suspended or moving'
    throw new TenantryError('TNY303', { params: { tenant: key, status, action, needed } })
  }
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
