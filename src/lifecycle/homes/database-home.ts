/** The life of a database of a tenant's own. */
import { readSettings } from '../../catalog/settings.ts'
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import type { Home, Tenant } from '../../core/tenant.ts'
import { dropTenantRoles } from '../../isolation/drop-tenant.ts'
import {
  createTenantDatabase,
  dropTenantDatabase,
  isSeeded,
  letConnect,
  markSeeded,
  type TenantDatabase,
} from '../../isolation/tenant-database.ts'
import { type Installation, type Within, withTemplate } from '../../isolation/template-database.ts'
import { admitTenant } from '../../isolation/tenant-entry.ts'
import { createTenantSchema, expelLogin } from '../../isolation/tenant-roles.ts'
import { inTransaction, pinnedDatabase } from '../pinned-session.ts'
import { runSeed } from '../seed.ts'
import { freeName } from './free-name.ts'
import type { HomeMaker, HomeParts } from './home-maker.ts'

/** What tenants' tables are in, where the home is made here; an adopted one may have them elsewhere. */
const SCHEMA = 'tenant'

const ATTEMPTS = 10

/**
 * How tenants with a database each are made and dropped. Databases are neither made nor dropped in a transaction, and a
 * transaction reaches one database alone: so each effect is safe to repeat, and its mark follows it.
 */
export function databaseHomes({ migrator, entry, db }: HomeParts): HomeMaker {
  /** Closed at once: a connection that rests in a database keeps it from being copied and dropped. */
  const within: Within = (name, fn) =>
    db.inDatabase(name).session((session) => fn(pinnedDatabase(session, db)))

  const template = { app: entry.runtimeLogin, within }

  return {
    async prepare(session) {
      await withTemplate(session, await readInstallation(session), template, async () => undefined)
    },

    async reserve(tx, { key, tier }, takeRoles) {
      const keyId = tier === 'sealed' ? entry.keyring.newest : undefined
      const roles = await takeRoles()
      return roles && { tier, database: await freeName(tx, 'database', key), schema: SCHEMA, ...roles, keyId }
    },

    async make(session, tenant, mark) {
      const database = await withTemplate(session, await readInstallation(session), template, (name) =>
        makeDatabase(session, tenant, name),
      )
      await within(database.name, (inside) => makeSchema(inside, tenant.home))
      await inTransaction(session, async () => {
        const { role, tier } = tenant.home
        const sealed = tier === 'sealed'
        await letConnect(session, database.name, sealed ? role : entry.runtimeLogin)
        if (sealed) {
          await expelLogin(session, role, entry.runtimeLogin)
          await admitTenant(session, tenant, entry)
        }
        await mark()
      })
    },

    async fill(_session, { home, key }, mark) {
      await migrator?.migrateHome(db.inDatabase(requireDatabase(home)), home, key)
      await mark()
    },

    async seed(session, tenant, seed, mark) {
      const database = await databaseOf(session, tenant)
      if (!(await isSeeded(session, database))) {
        await within(database.name, (inside) =>
          inside.transaction((tx) => runSeed(tx, tenant, seed, () => markSeeded(tx, database))),
        )
      }
      await mark()
    },

    async drop(session, tenant, mark) {
      const { role, ownerRole } = tenant.home
      const users = { role, ownerRole, runtimeLogin: entry.runtimeLogin }
      await dropTenantDatabase(session, await databaseOf(session, tenant), users)
      await mark()
    },

    forget: (tx, { home }) => dropTenantRoles(tx, home),
  }
}

/** Makes it under the name that the catalog has, or, where somebody else was faster, under another. */
async function makeDatabase(session: Queryable, tenant: Tenant, template: string): Promise<TenantDatabase> {
  let database = await databaseOf(session, tenant)
  for (let attempt = 1; !(await createTenantDatabase(session, database, template)); attempt++) {
    if (attempt >= ATTEMPTS) throw new TenantryError('TNY301', { params: { key: tenant.key } })
    const name = await freeName(session, 'database', tenant.key)
    await session.query('update tenantry.tenants set database_name = $2, updated_at = now() where id = $1', [
      tenant.id,
      name,
    ])
    database = { ...database, name }
  }
  return database
}

/** In one transaction: a schema of the owner role's is whole. */
async function makeSchema(inside: AdminDatabase, home: Home): Promise<void> {
  await inside.transaction(async (tx) => {
    const { rows } = await tx.query(
      `select from pg_namespace n join pg_roles r on r.oid = n.nspowner where n.nspname = $1 and r.rolname = $2`,
      [home.schema, home.ownerRole],
    )
    if (rows.length === 0) await createTenantSchema(tx, home)
  })
}

async function readInstallation(session: Queryable): Promise<Installation> {
  const { installationId } = await readSettings(session)
  const { rows } = await session.query<{ name: string }>('select current_database()::text as name')
  if (installationId === undefined || rows[0] === undefined) throw new TenantryError('TNY005')
  return { id: installationId, database: rows[0].name }
}

async function databaseOf(session: Queryable, { id, home }: Tenant): Promise<TenantDatabase> {
  return { name: requireDatabase(home), tenantId: id, installation: await readInstallation(session) }
}

function requireDatabase({ database }: Home): string {
  if (database === undefined) throw new Error('the home is not in a database of its own')
  return database
}
