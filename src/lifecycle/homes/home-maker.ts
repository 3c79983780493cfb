/** What differs between the models in the life of a tenant: where its rows are made, filled and dropped. */
import type { RolePair } from '../../catalog/role-pool.ts'
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import type { TenantMigrator } from '../../core/migrator.ts'
import type { Seed } from '../../core/config.ts'
import type { Home, Tenant, TenantModel, TenantTier } from '../../core/tenant.ts'
import type { Entry } from '../../isolation/tenant-entry.ts'

/** What all models need. */
export interface HomeParts {
  /** For what is done in another database, or outside of the operation's connection. */
  readonly db: AdminDatabase
  readonly migrator: TenantMigrator | undefined
  readonly entry: Entry
}

/** What is asked for. */
export interface HomeWish {
  readonly key: string
  readonly tier: TenantTier
}

/** A home that has yet to be made, as the catalog stores it. */
export type ReservedHome = Omit<Home, 'model' | 'epoch'>

/**
 * Records that the step is done, in the transaction of its effect. A step that is safe to repeat may leave it out: it is
 * recorded with the next one then.
 */
export type Mark = () => Promise<void>

/**
 * `session` is one connection to the catalog's database, outside of a transaction unless it is called `tx`. Every step
 * may be repeated after a crash anywhere in it.
 */
export interface HomeMaker {
  /** What the first tenant of the model needs, made once. */
  prepare(session: Queryable): Promise<void>
  /**
   * Chooses name and roles. Its commit makes them the tenant's own.
   * @param takeRoles takes a pair of roles; `undefined` where some must be made first.
   * @returns `undefined` where roles must be made first.
   */
  reserve(
    tx: Queryable,
    wish: HomeWish,
    takeRoles: () => Promise<RolePair | undefined>,
  ): Promise<ReservedHome | undefined>
  /** Makes the place, and lets the gateway in. */
  make(session: Queryable, tenant: Tenant, mark: Mark): Promise<void>
  /** Brings it to the newest tenant migration. */
  fill(session: Queryable, tenant: Tenant, mark: Mark): Promise<void>
  /** Writes the first rows. */
  seed(session: Queryable, tenant: Tenant, seed: Seed, mark: Mark): Promise<void>
  /** Removes every row of the tenant, and the place where it is the tenant's alone. @throws Error where it is in use */
  drop(session: Queryable, tenant: Tenant, mark: Mark): Promise<void>
  /** Removes what the cluster still knows of it, in the transaction that forgets the tenant. */
  forget(tx: Queryable, tenant: Tenant): Promise<void>
}

/** The maker for each model. */
export type HomeMakers = Readonly<Record<TenantModel, HomeMaker>>
