/** Gives a tenant another key or display name. Schema and roles stay: the home is stored, never derived. */
import type { Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import { requireNewKey, type Tenant } from '../core/tenant.ts'
import { sqlState } from '../sql/sql-state.ts'
import { lockStatus } from './change-status.ts'
import { inTransaction } from './pinned-session.ts'
import { checkName } from './tenant-input.ts'

export interface RenameTo {
  /** The new key; one of the tenant's own aliases is allowed, and is swapped. */
  readonly key?: string
  readonly name?: string
  /** Let the old key go on resolving; `true` by default. */
  readonly keepAlias?: boolean
}

/** @throws TNY105, TNY308 before any SQL. */
export function checkRename({ key, name }: RenameTo): void {
  if (key !== undefined) requireNewKey(key)
  if (name !== undefined) checkName(name)
  if (key === undefined && name === undefined) {
    throw new TenantryError('TNY308', { params: { reason: 'neither key nor name is given' } })
  }
}

/** @throws TNY301, TNY303 */
export async function rename(session: Queryable, tenant: Tenant, to: RenameTo): Promise<void> {
  await inTransaction(session, async () => {
    await lockStatus(session, tenant, 'rename', ['active', 'suspended'])
    if (to.key !== undefined) await moveKey(session, tenant.id, to.key, to.keepAlias ?? true)
    await session.query(
      'update tenantry.tenants set name = coalesce($2, name), updated_at = now() where id = $1',
      [tenant.id, to.name ?? null],
    )
  })
}

async function moveKey(tx: Queryable, id: string, key: string, keepAlias: boolean): Promise<void> {
  const { rows } = await tx.query<{ key: string }>(
    'select key from tenantry.keys where tenant_id = $1 and not is_alias',
    [id],
  )
  const former = rows[0]?.key
  if (former === key) return
  await tx.query(
    keepAlias
      ? 'update tenantry.keys set is_alias = true where tenant_id = $1 and key = $2'
      : 'delete from tenantry.keys where tenant_id = $1 and key = $2',
    [id, former],
  )
  const own = await tx.query(
    'update tenantry.keys set is_alias = false where tenant_id = $1 and key = $2 returning key',
    [id, key],
  )
  if (own.rows.length > 0) return
  try {
    await tx.query('insert into tenantry.keys (key, tenant_id) values ($1, $2)', [key, id])
  } catch (error) {
    if (sqlState(error) !== '23505') throw error
    throw new TenantryError('TNY301', { params: { key }, cause: error })
  }
}
