/** The life of tenants as the control plane offers it: create, get, list, rename, suspend, resume, delete. */
import { requireRuntimeLogin } from '../catalog/settings.ts'
import { findTenant, listTenants } from '../catalog/tenant-store.ts'
import type { Seed } from '../core/config.ts'
import type { AdminDatabase, Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import type { TenantMigrator } from '../core/migrator.ts'
import { printable, type Tenant, type TenantStatus } from '../core/tenant.ts'
import type { Enforcement } from '../isolation/open-rights.ts'
import { findEnforcement } from '../isolation/tenant-enforcement.ts'
import type { Entry } from '../isolation/tenant-entry.ts'
import type { Keyring } from '../isolation/master-key.ts'
import { resume, suspend } from './change-status.ts'
import { erase } from './erase.ts'
import { databaseHomes } from './homes/database-home.ts'
import type { HomeMakers } from './homes/home-maker.ts'
import { schemaHomes } from './homes/schema-home.ts'
import { sharedHomes } from './homes/shared-home.ts'
import { withLock } from './pinned-session.ts'
import { provision } from './provision.ts'
import { takeHome } from './ready-homes/take-home.ts'
import { checkRename, rename, type RenameTo } from './rename.ts'
import type { OnStep } from './run-steps.ts'
import { loadSeed } from './seed.ts'
import { checkReason, checkTenantInput, type TenantInput } from './tenant-input.ts'

export interface CreateTenant extends TenantInput {
  /** First rows, instead of the configured seed; `false` for none. */
  readonly seed?: Seed | string | false
  /** Told after each step. */
  readonly onStep?: OnStep
}

export interface ListTenants {
  readonly status?: TenantStatus
  /** Only keys after this one: the last key of the page before. */
  readonly after?: string
  /** 1 to 1000; 100 by default. */
  readonly limit?: number
}

/** Tenants by name are given as a key, an alias or an id. */
export interface TenantAdministration {
  /**
   * Makes a tenant that answers at once: roles, schema, migrations, first rows. Where an earlier attempt for the key
   * ended early it is completed instead: same id, same schema, nothing twice.
   * @throws TNY105, TNY308, TNY309 before any SQL; TNY301 where the key is taken, TNY305, TNY306, TNY307
   * @example
   * const tenant = await control.tenants.create({ key: 'acme', name: 'Acme Ltd.', plan: 'pro' })
   */
  create(input: CreateTenant): Promise<Tenant>
  /** @throws TNY302 */
  get(tenant: string): Promise<Tenant>
  /**
   * Who refuses what would leave the tenant, if the SQL guard let it through: `database` (the server, but for SET ROLE
   * of a guarded tenant) or `guard` (nobody else). Read from the server, never remembered.
   * @throws TNY302
   */
  enforcement(tenant: string): Promise<Enforcement>
  /** A page in the order of keys; erased tenants never. @throws TNY308 */
  list(options?: ListTenants): Promise<Tenant[]>
  /**
   * Gives another key or display name; schema and roles stay. The old key goes on resolving unless `keepAlias` is false.
   * @throws TNY105, TNY308 before any SQL; TNY301, TNY302, TNY303, TNY305
   */
  rename(tenant: string, to: RenameTo): Promise<Tenant>
  /**
   * From the commit on the server itself refuses the runtime login to enter it.
   * @param options.reason for operators, up to 200 characters; kept until the tenant is resumed.
   * @throws TNY302, TNY303, TNY305, TNY308
   */
  suspend(tenant: string, options?: { readonly reason?: string }): Promise<Tenant>
  /** @throws TNY302, TNY303, TNY305 */
  resume(tenant: string): Promise<Tenant>
  /**
   * Erases the tenant: schema, roles, keys and settings. Only its id, status and times stay. Can be repeated until it
   * succeeds.
   * @param options.confirm the tenant's current key again.
   * @throws TNY304 where it differs; TNY302, TNY303, TNY305, TNY306
   */
  delete(tenant: string, options: { readonly confirm: string }): Promise<void>
}

export interface AdministrationParts {
  readonly db: AdminDatabase
  readonly migrator?: TenantMigrator | undefined
  /** For tenants whose `create` names no seed of its own. */
  readonly seed?: Seed | string | undefined
  /** Where sealed tenants' secrets come from. */
  readonly keyring: Keyring
}

/** Works on an installed catalog (see `installCatalog`). */
export function createTenantAdministration(parts: AdministrationParts): TenantAdministration {
  const { db, migrator, keyring } = parts

  async function makersFor(session: Queryable): Promise<{ entry: Entry; homes: HomeMakers }> {
    const entry = { runtimeLogin: await requireRuntimeLogin(session), keyring }
    const homeParts = { db, migrator, entry }
    const homes = {
      shared: sharedHomes(homeParts),
      schema: schemaHomes(homeParts),
      database: databaseHomes(homeParts),
    }
    return { entry, homes }
  }

  async function get(name: string): Promise<Tenant> {
    const tenant = typeof name === 'string' ? await findTenant(db, { name }) : undefined
    if (tenant === undefined) throw new TenantryError('TNY302', { params: { tenant: printable(name) } })
    return tenant
  }

  /** Finds the tenant and works on it under its lock. */
  async function change(
    name: string,
    work: (session: Queryable, tenant: Tenant, makers: { entry: Entry; homes: HomeMakers }) => Promise<void>,
  ): Promise<Tenant> {
    const { id, key } = await get(name)
    return db.session((session) =>
      withLock(session, { on: 'tenant', name: id }, key, async () => {
        // Read again: until the lock was ours it may have changed.
        const tenant = await findTenant(session, { id })
        if (tenant === undefined) throw new TenantryError('TNY302', { params: { tenant: key } })
        await work(session, tenant, await makersFor(session))
        return (await findTenant(session, { id })) ?? tenant
      }),
    )
  }

  return {
    async create(input) {
      checkTenantInput(input)
      const chosen = input.seed ?? parts.seed
      const seed = chosen === undefined || chosen === false ? undefined : await loadSeed(chosen)
      const ready = await takeHome({ db, migrator, input, seed, onStep: input.onStep })
      if (ready !== undefined) return ready
      return db.session(async (session) => {
        const { entry, homes } = await makersFor(session)
        const { runtimeLogin: login } = entry
        return provision(session, input, { runtimeLogin: login, homes, seed, onStep: input.onStep })
      })
    },

    get,

    enforcement: async (name) => findEnforcement(db, (await get(name)).home),

    async list({ status, after, limit = 100 } = {}) {
      if (!Number.isInteger(limit) || limit < 1 || limit > 1000) {
        throw new TenantryError('TNY308', { params: { reason: 'limit is a whole number from 1 to 1000' } })
      }
      if (after?.includes('\0') === true) return []
      return listTenants(db, { statuses: status === undefined ? undefined : [status], after, limit })
    },

    async rename(name, to) {
      checkRename(to)
      return change(name, (session, tenant) => rename(session, tenant, to))
    },

    async suspend(name, { reason } = {}) {
      if (reason !== undefined) checkReason(reason)
      return change(name, (session, tenant, { entry }) => suspend(session, tenant, entry, reason))
    },

    resume: (name) => change(name, (session, tenant, { entry }) => resume(session, tenant, entry)),

    async delete(name, { confirm }) {
      await change(name, async (session, tenant, { entry, homes }) => {
        if (confirm !== tenant.key) throw new TenantryError('TNY304', { params: { tenant: tenant.key } })
        await erase(session, tenant, entry, homes)
      })
    },
  }
}
