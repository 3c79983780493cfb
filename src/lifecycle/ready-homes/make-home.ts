/** One home of nobody's: reserved, made, migrated, brought up to date, dropped. Each may be repeated after a crash anywhere. */
import {
  addReadyHome,
  findReadyHome,
  hasRoom,
  markMade,
  markReady,
  removeReadyHome,
  type TakenHome,
} from '../../catalog/ready-home-store.ts'
import { takeRolePair } from '../../catalog/role-pool.ts'
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import type { TenantMigrator } from '../../core/migrator.ts'
import type { Home } from '../../core/tenant.ts'
import { dropTenantRoles, dropTenantSchema, releaseTenantRoles } from '../../isolation/drop-tenant.ts'
import { createTenantSchema, opaqueName } from '../../isolation/tenant-roles.ts'
import { inTransaction, pinnedDatabase } from '../pinned-session.ts'
import { ensureRoles } from '../reserve.ts'

/** What a home is made with. */
export interface HomeTools {
  readonly db: AdminDatabase
  readonly migrator: TenantMigrator
}

/** Nobody is at work in it, so that this is never reached. */
const LOCK_TIMEOUT_MS = 2_000

/** A name for a home that is yet to be reserved. */
export function newHomeName(): string {
  return opaqueName('t')
}

/** Writes down a home that will be made. The caller holds its lock. @returns false where the pool has no room for it */
export async function reserveHome(
  session: Queryable,
  schema: string,
  { size, digest, runtimeLogin }: { size: number; digest: string; runtimeLogin: string },
): Promise<boolean> {
  for (;;) {
    const outcome = await inTransaction(session, async () => {
      if (!(await hasRoom(session, size, digest))) return 'full'
      const roles = await takeRolePair(session)
      if (roles === undefined) return 'no roles'
      await addReadyHome(session, { schema, ...roles })
      return 'reserved'
    })
    if (outcome !== 'no roles') return outcome === 'reserved'
    await ensureRoles(session, runtimeLogin)
  }
}

/**
 * Does what is left, whatever was begun. The caller holds the home's lock.
 * @returns false where a sign-up, or another fill, was faster.
 * @throws what a migration throws; it stays as it was then.
 */
export async function completeHome(
  session: Queryable,
  schema: string,
  digest: string,
  { db, migrator }: HomeTools,
): Promise<boolean> {
  const row = await findReadyHome(session, schema)
  if (row === undefined || row.digest === digest) return false
  const home = homeOf(row)
  // Schema and mark are one commit: what is there without it would be somebody else's.
  const begun = await inTransaction(session, async () => {
    if (row.state === 'reserved') await createTenantSchema(session, home)
    return markMade(session, schema)
  })
  if (!begun) return false
  try {
    await migrator.migrateHome(pinnedDatabase(session, db), home, `ready home ${schema}`)
  } catch (error) {
    // Behind, or of a newer release than this process: whoever has its migrations may still use it.
    if (row.digest !== undefined) await markReady(session, schema, row.digest)
    throw error
  }
  await markReady(session, schema, digest)
  return true
}

/**
 * Drops it, schema and roles, in one commit. Roles that another database uses stay. The caller holds the home's lock.
 * @returns false where it is there no more: a sign-up was faster.
 */
export async function dropHome(session: Queryable, schema: string): Promise<boolean> {
  return inTransaction(session, async () => {
    const row = await findReadyHome(session, schema)
    if (row === undefined || !(await removeReadyHome(session, schema))) return false
    await dropTenantSchema(session, homeOf(row), LOCK_TIMEOUT_MS)
    await (row.shared ? releaseTenantRoles(session, row) : dropTenantRoles(session, row))
    return true
  })
}

function homeOf({ schema, role, ownerRole }: TakenHome): Home {
  return { model: 'schema', tier: 'guarded', schema, role, ownerRole, epoch: 1 }
}
