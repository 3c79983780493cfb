/** The life of a schema of a tenant's own. */
import { setTimeout as sleep } from 'node:timers/promises'
import { readProof } from '../../catalog/tenant-store.ts'
import type { Queryable } from '../../core/database.ts'
import type { Tenant } from '../../core/tenant.ts'
import { dropTenantRoles, dropTenantSchema, sessionsUsing } from '../../isolation/drop-tenant.ts'
import { admitTenant } from '../../isolation/tenant-entry.ts'
import { createTenantSchema, expelLogin } from '../../isolation/tenant-roles.ts'
import { sqlState } from '../../sql/sql-state.ts'
import { inTransaction, pinnedDatabase } from '../pinned-session.ts'
import { runSeed } from '../seed.ts'
import { freeName } from './free-name.ts'
import type { HomeMaker, HomeParts } from './home-maker.ts'

/** How long one attempt to drop waits for transactions that use the tables, and how often it is made. */
const LOCK_TIMEOUT_MS = 2_000
const ATTEMPTS = 5

/** How tenants with a schema each are made and dropped. */
export function schemaHomes({ migrator, entry, db }: HomeParts): HomeMaker {
  return {
    prepare: async () => undefined,

    async reserve(tx, { key, tier }, takeRoles) {
      const keyId = tier === 'sealed' ? entry.keyring.newest : undefined
      const roles = await takeRoles()
      return roles && { tier, schema: await freeName(tx, 'schema', key), ...roles, keyId }
    },

    /** The schema and the step's mark in one commit: a schema that is there without the mark is somebody else's. */
    async make(session, tenant, mark) {
      let { home } = tenant
      for (let attempt = 1; ; attempt++) {
        try {
          await inTransaction(session, async () => {
            await createTenantSchema(session, home)
            if (home.tier === 'sealed') {
              await expelLogin(session, home.role, entry.runtimeLogin)
              await admitTenant(session, tenant, entry)
            }
            await mark()
          })
          return
        } catch (error) {
          if (sqlState(error) !== '42P06' || attempt >= 10) throw error
          home = { ...home, schema: await freeName(session, 'schema', tenant.key) }
          await session.query(
            'update tenantry.tenants set schema_name = $2, updated_at = now() where id = $1',
            [tenant.id, home.schema],
          )
        }
      }
    },

    /** Without the mark: what ran is known by its ledger, and a second time it is nothing. */
    async fill(session, { home, key }) {
      await migrator?.migrateHome(pinnedDatabase(session, db), home, key)
    },

    seed: (session, tenant, seed, mark) =>
      inTransaction(session, async () =>
        runSeed(session, tenant, seed, mark, await readProof(session, tenant.id)),
      ),

    async drop(session, tenant, mark) {
      for (let attempt = 1; ; attempt++) {
        try {
          await inTransaction(session, async () => {
            await dropTenantSchema(session, tenant.home, LOCK_TIMEOUT_MS)
            await mark()
          })
          return
        } catch (error) {
          // 55P03 lock_not_available, 40P01 deadlock_detected: somebody is at work in it.
          if (!['55P03', '40P01'].includes(sqlState(error) ?? '')) throw error
          if (attempt >= ATTEMPTS) throw await stillUsed(session, tenant, error)
          await sleep(50 + Math.random() * 200 * attempt)
        }
      }
    },

    forget: (tx, { home }) => dropTenantRoles(tx, home),
  }
}

async function stillUsed(session: Queryable, tenant: Tenant, cause: unknown): Promise<Error> {
  const pids = await sessionsUsing(session, tenant.home.schema)
  const who = pids.length === 0 ? '' : ` by the server processes ${pids.join(', ')}`
  return new Error(`its tables are still in use${who}`, { cause })
}
