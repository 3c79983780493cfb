/** The first commit of a tenant: key, id, roles and the name of its home are its own from here on. */
import { randomUUID } from 'node:crypto'
import type { Operation } from '../catalog/operations.ts'
import { addRolePairs, hasRolePair, takeRolePair } from '../catalog/role-pool.ts'
import type { Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import type { TenantModel } from '../core/tenant.ts'
import { makeTenantRoles } from '../isolation/tenant-roles.ts'
import { sqlState, violatedConstraint } from '../sql/sql-state.ts'
import type { HomeMaker, HomeWish, ReservedHome } from './homes/home-maker.ts'
import { inTransaction } from './pinned-session.ts'
import { settingsJson, type TenantInput } from './tenant-input.ts'

/** Pairs of roles made at once when none is left. */
const BATCH_OF_ROLES = 8

/** What kind of home is reserved, and by whom. */
export interface Reservation {
  readonly model: TenantModel
  readonly wish: HomeWish
  readonly maker: HomeMaker
  readonly runtimeLogin: string
}

/**
 * Writes the tenant as `provisioning`, with its operation. Makes roles first where none is left.
 * @throws TNY301 where the key is taken, TNY307 where the id was used before.
 */
export async function reserve(
  session: Queryable,
  id: string,
  input: TenantInput,
  { model, wish, maker, runtimeLogin }: Reservation,
): Promise<NewOperation> {
  await maker.prepare(session)
  for (let attempt = 1; ; attempt++) {
    try {
      const done = await inTransaction(session, async () => {
        const home = await maker.reserve(session, wish, () => takeRolePair(session))
        if (home === undefined) return undefined
        const steps = ['reserve']
        return insertTenant(session, { id, input, model, home, status: 'provisioning', steps })
      })
      if (done !== undefined) return done
      await ensureRoles(session, runtimeLogin)
    } catch (error) {
      const taken = sqlState(error) === '23505' ? violatedConstraint(error) : undefined
      if (taken === 'keys_pkey')
        throw new TenantryError('TNY301', { params: { key: input.key }, cause: error })
      if (taken === 'tenants_pkey') throw new TenantryError('TNY307', { params: { id }, cause: error })
      // Another sign-up chose the same place at the same moment; the next attempt sees it.
      if (!/^tenants_(schema|database)_name_key$/.test(taken ?? '') || attempt >= 10) throw error
    }
  }
}

/** Makes a batch of roles where none is left. */
export async function ensureRoles(session: Queryable, runtimeLogin: string): Promise<void> {
  await inTransaction(session, async () => {
    if (await hasRolePair(session)) return
    await addRolePairs(session, await makeTenantRoles(session, BATCH_OF_ROLES, runtimeLogin))
  })
}

/** As much of an operation as its first commit knows. */
export type NewOperation = Pick<Operation, 'id' | 'kind' | 'steps'>

/** A tenant as it is first written, and how far its creation is. */
export interface FirstRecord {
  readonly id: string
  readonly input: TenantInput
  readonly model: TenantModel
  readonly home: ReservedHome
  readonly status: 'provisioning' | 'active'
  /** Finished ones; with the last, the operation is done. */
  readonly steps: readonly string[]
}

/** Writes tenant, key and operation, in one statement: from the commit on the home is the tenant's. */
export async function insertTenant(
  tx: Queryable,
  { id, input, model, home, status, steps }: FirstRecord,
): Promise<NewOperation> {
  const operation = { id: randomUUID(), kind: 'create', steps } as const
  const { key, name = key, plan = 'default', settings } = input
  await tx.query(
    `with tenant as (
       insert into tenantry.tenants
         (id, status, name, plan, settings, model, tier, database_name, schema_name, role_name, owner_role, key_id, epoch)
       values ($1, $2, $3, $4, $5::jsonb, $6, $7, $8, $9, $10, $11, $12, 1)
       returning id, status
     ), key as (
       insert into tenantry.keys (key, tenant_id) select $13, id from tenant returning tenant_id
     )
     insert into tenantry.operations (id, kind, tenant_id, steps, state)
     select $14, 'create', id, $15::text[], case status when 'active' then 'done' else 'running' end
     from tenant join key on tenant_id = id`,
    [
      id,
      status,
      name,
      plan,
      settings === undefined ? '{}' : settingsJson(settings),
      model,
      home.tier,
      home.database ?? null,
      home.schema,
      home.role,
      home.ownerRole,
      home.keyId ?? null,
      key,
      operation.id,
      steps,
    ],
  )
  return operation
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
