/** The first commit of a tenant: key, id, roles and the name of its schema are its own from here on. */
import { startOperation } from '../catalog/operations.ts'
import { addRolePairs, type RolePair, takeRolePair } from '../catalog/role-pool.ts'
import type { Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import { MAX_KEY_LENGTH } from '../core/tenant.ts'
import { makeTenantRoles } from '../isolation/tenant-roles.ts'
import { sqlState, violatedConstraint } from '../sql/sql-state.ts'
import { inTransaction } from './pinned-session.ts'
import { settingsJson, type TenantInput } from './tenant-input.ts'

/** Pairs of roles made at once when none is left. */
const BATCH_OF_ROLES = 8

/**
 * Writes the tenant as `provisioning`, with its operation. Makes roles first where none is left.
 * @throws TNY301 where the key is taken, TNY307 where the id was used before.
 */
export async function reserve(
  session: Queryable,
  id: string,
  input: TenantInput,
  runtimeLogin: string,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      const done = await inTransaction(session, async () => {
        const roles = await takeRolePair(session)
        if (roles === undefined) return false
        await insertTenant(session, id, input, roles)
        return true
      })
      if (done) return
      await inTransaction(session, async () => {
        await addRolePairs(session, await makeTenantRoles(session, BATCH_OF_ROLES, runtimeLogin))
      })
    } catch (error) {
      const taken = sqlState(error) === '23505' ? violatedConstraint(error) : undefined
      if (taken === 'keys_pkey')
        throw new TenantryError('TNY301', { params: { key: input.key }, cause: error })
      if (taken === 'tenants_pkey') throw new TenantryError('TNY307', { params: { id }, cause: error })
      // Another sign-up chose the same schema at the same moment; the next attempt sees it.
      if (taken !== 'tenants_schema_name_key' || attempt >= 10) throw error
    }
  }
}

async function insertTenant(tx: Queryable, id: string, input: TenantInput, roles: RolePair): Promise<void> {
  const { key, name = key, plan = 'default', settings } = input
  const schema = await freeSchemaName(tx, key)
  await tx.query(
    `insert into tenantry.tenants
       (id, status, name, plan, settings, model, schema_name, role_name, owner_role, epoch)
     values ($1, 'provisioning', $2, $3, $4::jsonb, 'schema', $5, $6, $7, 1)`,
    [
      id,
      name,
      plan,
      settings === undefined ? '{}' : settingsJson(settings),
      schema,
      roles.role,
      roles.ownerRole,
    ],
  )
  await tx.query('insert into tenantry.keys (key, tenant_id) values ($1, $2)', [key, id])
  await startOperation(tx, 'create', id, ['reserve'])
}

/** What the resuming call says anew counts: nobody has seen the tenant yet. */
export async function updateReserved(session: Queryable, id: string, input: TenantInput): Promise<void> {
  const settings = input.settings === undefined ? null : settingsJson(input.settings)
  if (input.name === undefined && input.plan === undefined && settings === null) return
  await session.query(
    `update tenantry.tenants set name = coalesce($2, name), plan = coalesce($3, plan),
       settings = coalesce($4::jsonb, settings), updated_at = now()
     where id = $1 and status = 'provisioning'`,
    [id, input.name ?? null, input.plan ?? null, settings],
  )
}

/** `tenant_<key>` with underscores, or the first of its suffixed forms that nobody has. At most 63 bytes. */
export async function freeSchemaName(tx: Queryable, key: string): Promise<string> {
  if (key.length > MAX_KEY_LENGTH) throw new RangeError('the key was not checked')
  const base = `tenant_${key.replaceAll('-', '_')}`
  const names = [base, ...Array.from({ length: 99 }, (_, index) => `${base}_${index + 2}`)]
  const { rows } = await tx.query<{ name: string }>(
    `select c.name from unnest($1::text[]) with ordinality c (name, position)
     where not exists (select from pg_namespace n where n.nspname = c.name)
       and not exists (select from tenantry.tenants t where t.schema_name = c.name)
     order by position limit 1`,
    [names],
  )
  const name = rows[0]?.name
  if (name === undefined) throw new TenantryError('TNY301', { params: { key } })
  return name
}
