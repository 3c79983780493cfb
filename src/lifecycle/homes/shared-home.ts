/** The life of a tenant in tables that tenants share: its home is there already, it brings but its rows. */
import { takeRolePair } from '../../catalog/role-pool.ts'
import { addSharedHome, findSharedHome, readProof } from '../../catalog/tenant-store.ts'
import type { Queryable } from '../../core/database.ts'
import type { SharedHome } from '../../core/homes.ts'
import { dropTenantRoles } from '../../isolation/drop-tenant.ts'
import { copyPattern } from '../../isolation/shared-form/copy-pattern.ts'
import { deleteTenantRows } from '../../isolation/shared-form/delete-rows.ts'
import { createSharedSchemas, lockShared, shareRights } from '../../isolation/shared-form/shared-schemas.ts'
import { waitForWriters } from '../../isolation/shared-form/wait-for-writers.ts'
import { admitTenant } from '../../isolation/tenant-entry.ts'
import { expelLogin, ownerRoleOf } from '../../isolation/tenant-roles.ts'
import { inTransaction, pinnedDatabase } from '../pinned-session.ts'
import { ensureRoles } from '../reserve.ts'
import { runSeed } from '../seed.ts'
import type { HomeMaker, HomeParts } from './home-maker.ts'

/** No tenant can have it for its own: `shared` is a reserved key. */
const SCHEMA = 'tenant_shared'

/** How tenants of the shared model come and go. */
export function sharedHomes({ migrator, entry, db }: HomeParts): HomeMaker {
  async function requireShared(session: Queryable): Promise<SharedHome> {
    const home = await findSharedHome(session)
    if (home === undefined) throw new Error('the catalog has lost its shared home')
    return home
  }

  return {
    async prepare(session) {
      while ((await findSharedHome(session)) === undefined) {
        await ensureRoles(session, entry.runtimeLogin)
        await inTransaction(session, async () => {
          await lockShared(session)
          if ((await findSharedHome(session)) !== undefined) return
          const roles = await takeRolePair(session)
          // Taken meanwhile by a sign-up.
          if (roles === undefined) return
          const home = { schema: SCHEMA, pattern: `${SCHEMA}_pattern`, ...roles }
          await createSharedSchemas(session, home)
          await addSharedHome(session, home)
        })
      }
    },

    async reserve(tx, { tier }, takeRoles) {
      const { schema, role, ownerRole } = await requireShared(tx)
      if (tier === 'guarded') return { tier, schema, role, ownerRole }
      const keyId = entry.keyring.newest
      const own = await takeRoles()
      return own && { tier, schema, role: own.role, ownerRole, keyId }
    },

    async make(session, tenant, mark) {
      await inTransaction(session, async () => {
        if (tenant.home.tier === 'sealed') {
          await expelLogin(session, tenant.home.role, entry.runtimeLogin)
          await shareRights(session, (await requireShared(session)).role, tenant.home.role)
          await admitTenant(session, tenant, entry)
        }
        await mark()
      })
    },

    async fill(session, tenant, mark) {
      const shared = await requireShared(session)
      await migrator?.migrateShared(pinnedDatabase(session, db), shared)
      await inTransaction(session, async () => {
        // A migration meanwhile either has this tenant among those that share, or is copied with the pattern.
        await lockShared(session)
        await copyPattern(session, shared, tenant.id)
        await mark()
      })
    },

    seed: (session, tenant, seed, mark) =>
      inTransaction(session, async () =>
        runSeed(session, tenant, seed, mark, await readProof(session, tenant.id)),
      ),

    async drop(session, tenant, mark) {
      const shared = await requireShared(session)
      await waitForWriters(session, shared)
      await inTransaction(session, async () => {
        // A migration meanwhile would write rows for a tenant whose rows are gone.
        await lockShared(session)
        await deleteTenantRows(session, shared, tenant.id)
        await mark()
      })
    },

    async forget(tx, { home }) {
      // The owner of its pair was never used: the shared one's owns the tables.
      const { role, tier } = home
      if (tier === 'sealed') await dropTenantRoles(tx, { role, ownerRole: ownerRoleOf(role) })
    },
  }
}
