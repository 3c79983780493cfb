/** A sign-up that takes a home from the pool: one commit without DDL, whatever happens there is all of it or nothing. */
import { finishCreation, markSteps } from '../../catalog/operations.ts'
import { takeReadyHome } from '../../catalog/ready-home-store.ts'
import { newTenantId } from '../../catalog/tenant-id.ts'
import { findTenant, readProof } from '../../catalog/tenant-store.ts'
import type { Seed } from '../../core/config.ts'
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import type { TenantMigrator } from '../../core/migrator.ts'
import type { Tenant } from '../../core/tenant.ts'
import { sqlState, violatedConstraint } from '../../sql/sql-state.ts'
import { lockInTransaction } from '../pinned-session.ts'
import { insertTenant } from '../reserve.ts'
import { keepFailure, type OnStep } from '../run-steps.ts'
import { runSeed } from '../seed.ts'
import type { TenantInput } from '../tenant-input.ts'

/** What a sign-up brings, and what it takes from. */
export interface SignUp {
  readonly db: AdminDatabase
  readonly migrator: TenantMigrator | undefined
  readonly input: TenantInput
  readonly seed: Seed | undefined
  readonly onStep: OnStep | undefined
}

/** The steps of a creation; in a home from the pool those before the seed are done. */
const STEPS = ['reserve', 'home', 'migrate', 'seed', 'activate'] as const
const DONE_AHEAD = STEPS.slice(0, 3)

/** What a seed may leave in the session, which serves others next: DISCARD ALL, as far as a transaction may say it. */
const CLEAN_SESSION =
  'reset all; discard temp; deallocate all; close all; unlisten *; select pg_advisory_unlock_all()'

interface Outcome {
  readonly tenant: Tenant
  /** Why its seed failed: the tenant is kept as `provisioning`, for the next call to complete. */
  readonly failure?: Error
}

/**
 * Gives a home from the pool to a new tenant of the guarded schema model.
 * @returns `undefined` where there is none at the newest migration, or where the key needs a closer look: then nothing
 * happened, and the normal way is taken.
 * @throws TNY305 where another process works on the key or the id, TNY306 where the seed failed
 */
export async function takeHome({ db, migrator, input, seed, onStep }: SignUp): Promise<Tenant | undefined> {
  const { model = 'schema', tier = 'guarded' } = input
  if (model !== 'schema' || tier !== 'guarded') return undefined
  // What is wrong with the migrations the normal way tells, with the step.
  const digest = await migrator?.digest().catch(() => undefined)
  if (digest === undefined) return undefined
  let outcome: Outcome | undefined
  try {
    outcome = await db.transaction((tx) => signUp(tx, digest, input, seed))
  } catch (error) {
    const taken = sqlState(error) === '23505' ? violatedConstraint(error) : undefined
    // By a tenant, or by an attempt that ended early and is completed now.
    if (taken === 'keys_pkey' || taken === 'tenants_pkey') return undefined
    throw error
  }
  if (outcome?.failure !== undefined) throw outcome.failure
  if (outcome !== undefined) STEPS.forEach((step, index) => onStep?.(step, index + 1, STEPS.length))
  return outcome?.tenant
}

async function signUp(
  tx: Queryable,
  digest: string,
  input: TenantInput,
  seed: Seed | undefined,
): Promise<Outcome | undefined> {
  const { key, id = newTenantId() } = input
  const isOurs = await lockInTransaction(tx, [
    { on: 'key', name: key },
    { on: 'tenant', name: id },
  ])
  if (!isOurs) throw new TenantryError('TNY305', { params: { tenant: key } })
  const taken = await takeReadyHome(tx, digest)
  if (taken === undefined) return undefined
  const operation = await insertTenant(tx, {
    id,
    input,
    model: 'schema',
    home: { tier: 'guarded', ...taken },
    status: seed === undefined ? 'active' : 'provisioning',
    steps: seed === undefined ? STEPS : DONE_AHEAD,
  })
  if (seed === undefined) return { tenant: await requireTenant(tx, id) }
  const half = await requireTenant(tx, id)
  await tx.query('savepoint tenantry_seed')
  try {
    await runSeed(
      tx,
      half,
      seed,
      () => markSteps(tx, operation, ['seed', 'activate']),
      await readProof(tx, id),
    )
  } catch (error) {
    // Where this fails the connection is gone, and all of it with it.
    await tx.query(`rollback to tenantry_seed; ${CLEAN_SESSION}`)
    const failure = await keepFailure(tx, operation, { label: key, step: 'seed', finished: [], error })
    return { tenant: half, failure }
  }
  await finishCreation(tx, operation)
  await tx.query(CLEAN_SESSION)
  return { tenant: await requireTenant(tx, id) }
}

async function requireTenant(tx: Queryable, id: string): Promise<Tenant> {
  const tenant = await findTenant(tx, { id })
  if (tenant === undefined) throw new Error('a tenant is not there in the transaction that wrote it')
  return tenant
}
