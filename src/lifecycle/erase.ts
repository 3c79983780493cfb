/** Erases a tenant as a resumable operation: archive, drop, forget. Nothing is left but a tombstone. */
import { findUnfinished, forgetOperations, startOperation } from '../catalog/operations.ts'
import type { Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import type { Tenant } from '../core/tenant.ts'
import { endTenantSessions, type Entry, shutTenant } from '../isolation/tenant-entry.ts'
import { lockStatus, setStatus } from './change-status.ts'
import type { HomeMaker, HomeMakers } from './homes/home-maker.ts'
import { inTransaction } from './pinned-session.ts'
import { runSteps, type Step } from './run-steps.ts'

/**
 * Erases the tenant, or goes on with an attempt that ended early. Sessions of a sealed tenant's own login are ended;
 * others that still use its tables are waited for, some ten seconds in all.
 * @throws TNY303 where the tenant is moving, TNY306
 */
export async function erase(
  session: Queryable,
  tenant: Tenant,
  entry: Entry,
  homes: HomeMakers,
): Promise<void> {
  const unfinished = await findUnfinished(session, tenant.id)
  if (unfinished?.kind !== 'delete') await archive(session, tenant, entry)
  await endTenantSessions(session, tenant)
  const operation = unfinished?.kind === 'delete' ? unfinished : await findUnfinished(session, tenant.id)
  if (operation === undefined) throw new TenantryError('TNY302', { params: { tenant: tenant.key } })
  await runSteps(
    session,
    operation,
    tenant.key,
    stepsOf(session, tenant, homes[tenant.home.model]),
    undefined,
  )
}

/** From this commit on the tenant is served nowhere; an unfinished creation is given up. */
async function archive(session: Queryable, tenant: Tenant, entry: Entry): Promise<void> {
  await inTransaction(session, async () => {
    await lockStatus(session, tenant, 'delete', ['active', 'suspended', 'provisioning', 'archived'])
    await setStatus(session, tenant.id, 'archived', undefined)
    await shutTenant(session, tenant, entry)
    await forgetOperations(session, tenant.id)
    await startOperation(session, 'delete', tenant.id, ['archive'])
  })
}

function stepsOf(session: Queryable, tenant: Tenant, maker: HomeMaker): Step[] {
  return [
    { name: 'archive', run: (mark) => mark() },
    { name: 'drop', run: (mark) => maker.drop(session, tenant, mark) },
    {
      name: 'forget',
      run: () =>
        inTransaction(session, async () => {
          await maker.forget(session, tenant)
          await forgetOperations(session, tenant.id)
          for (const table of ['keys', 'domains', 'api_keys', 'quarantine']) {
            await session.query(`delete from tenantry.${table} where tenant_id = $1`, [tenant.id])
          }
          await session.query(
            `update tenantry.tenants set status = 'erased', erased_at = now(), updated_at = now(),
               status_reason = null, name = null, plan = null, settings = null, model = null,
               tier = null, database_name = null, schema_name = null, role_name = null, owner_role = null,
               key_id = null, epoch = null
             where id = $1`,
            [tenant.id],
          )
        }),
    },
  ]
}
