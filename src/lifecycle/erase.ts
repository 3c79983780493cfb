/** Erases a tenant as a resumable operation: archive, drop, forget. Nothing is left but a tombstone. */
import { setTimeout as sleep } from 'node:timers/promises'
import {
  findUnfinished,
  forgetOperations,
  markStep,
  type Operation,
  startOperation,
} from '../catalog/operations.ts'
import type { Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import type { Tenant } from '../core/tenant.ts'
import { dropTenantRoles, dropTenantSchema, sessionsUsing } from '../isolation/drop-tenant.ts'
import { expelLogin } from '../isolation/tenant-roles.ts'
import { sqlState } from '../sql/sql-state.ts'
import { lockStatus, setStatus } from './change-status.ts'
import { inTransaction } from './pinned-session.ts'
import { runSteps, type Step } from './run-steps.ts'

/** How long one attempt to drop waits for transactions that use the tables, and how often it is made. */
const LOCK_TIMEOUT_MS = 2_000
const ATTEMPTS = 5

/**
 * Erases the tenant, or goes on with an attempt that ended early. Sessions that still use its tables are waited for,
 * some ten seconds in all, and never ended.
 * @throws TNY303 where the tenant is moving, TNY306
 */
export async function erase(session: Queryable, tenant: Tenant, runtimeLogin: string): Promise<void> {
  const unfinished = await findUnfinished(session, tenant.id)
  if (unfinished?.kind !== 'delete') await archive(session, tenant, runtimeLogin)
  const operation = unfinished?.kind === 'delete' ? unfinished : await findUnfinished(session, tenant.id)
  if (operation === undefined) throw new TenantryError('TNY302', { params: { tenant: tenant.key } })
  await runSteps(session, operation, tenant.key, stepsOf(session, tenant, operation), undefined)
}

/** From this commit on the tenant is served nowhere; an unfinished creation is given up. */
async function archive(session: Queryable, tenant: Tenant, runtimeLogin: string): Promise<void> {
  await inTransaction(session, async () => {
    await lockStatus(session, tenant, 'delete', ['active', 'suspended', 'provisioning', 'archived'])
    await setStatus(session, tenant.id, 'archived', undefined)
    await expelLogin(session, tenant.home.role, runtimeLogin)
    await forgetOperations(session, tenant.id)
    await startOperation(session, 'delete', tenant.id, ['archive'])
  })
}

function stepsOf(session: Queryable, tenant: Tenant, operation: Operation): Step[] {
  return [
    { name: 'archive', run: (mark) => mark() },
    { name: 'drop', run: () => drop(session, tenant, operation) },
    {
      name: 'forget',
      run: () =>
        inTransaction(session, async () => {
          await dropTenantRoles(session, tenant.home)
          await forgetOperations(session, tenant.id)
          await session.query('delete from tenantry.keys where tenant_id = $1', [tenant.id])
          await session.query(
            `update tenantry.tenants set status = 'erased', erased_at = now(), updated_at = now(),
               status_reason = null, name = null, plan = null, settings = null, model = null,
               schema_name = null, role_name = null, owner_role = null, epoch = null
             where id = $1`,
            [tenant.id],
          )
        }),
    },
  ]
}

async function drop(session: Queryable, tenant: Tenant, operation: Operation): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await inTransaction(session, async () => {
        await dropTenantSchema(session, tenant.home, LOCK_TIMEOUT_MS)
        await markStep(session, operation, 'drop')
      })
      return
    } catch (error) {
      // 55P03 lock_not_available, 40P01 deadlock_detected: somebody is at work in it.
      if (!['55P03', '40P01'].includes(sqlState(error) ?? '')) throw error
      if (attempt >= ATTEMPTS) throw await stillUsed(session, tenant, error)
      await sleep(50 + Math.random() * 200 * attempt)
    }
  }
}

async function stillUsed(session: Queryable, tenant: Tenant, cause: unknown): Promise<Error> {
  const pids = await sessionsUsing(session, tenant.home.schema)
  const who = pids.length === 0 ? '' : ` by the server processes ${pids.join(', ')}`
  return new Error(`its tables are still in use${who}`, { cause })
}
