/** The composition root of the control plane: catalog, tenants' lives and migrations on the admin connection. */
import { resolve } from 'node:path'
import { prefixProblem } from './catalog/api-key-secret.ts'
import { retireContextKeys, rotateContextKey } from './catalog/context-keys.ts'
import { requireCatalog } from './catalog/catalog-version.ts'
import { installCatalog } from './catalog/install-catalog.ts'
import { listUnfinished, type Operation } from './catalog/operations.ts'
import { tenantHomes } from './catalog/tenant-store.ts'
import type { ConnectionSpec, MigrationConfig, Seed } from './core/config.ts'
import type { AdminDatabase } from './core/database.ts'
import { TenantryError } from './core/errors.ts'
import type { TenantMigrator } from './core/migrator.ts'
import { createEvents, type Events } from './core/events.ts'
import { createAdminDatabase } from './gateway/admin-database.ts'
import type { LintFinding } from './isolation/lint/finding.ts'
import type { LintOptions } from './isolation/lint/lint-database.ts'
import { lintInstallation } from './isolation/lint/lint-installation.ts'
import { ensureGroups } from './isolation/logins.ts'
import { createKeyring } from './isolation/master-key.ts'
import { type ApiKeyAdministration, createApiKeyAdministration } from './lifecycle/api-keys.ts'
import { createDomainAdministration, type DomainAdministration } from './lifecycle/domains.ts'
import { keepWarm, type KeepWarm } from './lifecycle/ready-homes/keep-warm.ts'
import {
  checkPoolSize,
  createReadyHomes,
  type FillReport,
  type ReadyHomes,
} from './lifecycle/ready-homes/ready-homes.ts'
import { createSecretAdministration, type SecretAdministration } from './lifecycle/rotate-secrets.ts'
import { createTenantAdministration, type TenantAdministration } from './lifecycle/tenant-administration.ts'
import { createMigrations, type Migrations } from './migrate/migrations.ts'
import { canonicalHost } from './resolve/canonical-host.ts'

export interface ControlPlaneOptions {
  /** The admin login, direct and not through a pooler; TENANTRY_ADMIN_URL by default. */
  readonly connection?: ConnectionSpec
  /** Absolute or relative to the working directory; `migrations/shared` and `migrations/tenant` by default. */
  readonly migrations?: MigrationConfig
  /** First rows of new tenants: a function, or the path of a SQL file. */
  readonly seed?: Seed | string
  /** The application's login; what the catalog says by default, else `tenantry_app`. */
  readonly runtimeLogin?: string
  /** As for `createTenancy`: needed to make sealed tenants. `TENANTRY_MASTER_KEY` by default. */
  readonly masterKey?: string | readonly string[] | undefined
  /** Hosts of the service's own: no tenant can claim one as its domain, nor a host below one. None by default. */
  readonly roots?: readonly string[]
  /** What secrets of API keys begin with: a-z and 0-9, in words with _ between. `tny` by default. */
  readonly apiKeyPrefix?: string
  /**
   * How many homes are kept ready for sign-ups: filled up in the background after each `tenants.create`. 0 by default:
   * what `pool.fill` or another process made is taken all the same. Needs two connections.
   */
  readonly warmPool?: number
  /** Connections at most; each operation at work holds one. 4 by default. */
  readonly max?: number
}

/** Facts that a control plane tells. */
export interface ControlPlaneEvents {
  /** Homes were made or brought up to date in the background, or some could not be. */
  'pool:filled': FillReport
  /** The pool could not be filled in the background; the next sign-up tries again. */
  'pool:failed': { readonly error: unknown }
}

/** Everything that changes which tenants there are and what their schemas look like. */
export interface ControlPlane {
  /**
   * Brings the catalog to this version; idempotent, and two at once are safe.
   * @throws TNY002, TNY008, TNY009
   */
  install(
    onProgress?: (done: number, total: number, name: string) => void,
  ): Promise<{ readonly applied: readonly string[] }>
  readonly tenants: TenantAdministration
  /** Domains of tenants' own. */
  readonly domains: DomainAdministration
  /** Keys that tenants' programs authenticate with. */
  readonly apiKeys: ApiKeyAdministration
  /** Homes made ahead, which `tenants.create` takes. */
  readonly pool: ReadyHomes
  readonly migrate: Omit<Migrations, keyof TenantMigrator>
  readonly secrets: SecretAdministration
  /** The key that tenants' contexts are proven with. */
  readonly context: {
    /** Makes a new one, and new proofs; those before it hold until they are retired. @returns its number */
    rotateKey(): Promise<number>
    /** Ends the former proofs, if the last rotation is so long ago. @returns how many tenants had one */
    retireKeys(options: { readonly olderThanMs: number }): Promise<number>
  }
  /**
   * Looks at your own tables, functions and grants for what lets tenants get at each other; changes nothing. Errors come
   * first. Databases of a tenant's own are looked into as well, a few at a time.
   */
  verify(options?: LintOptions): Promise<LintFinding[]>
  readonly operations: {
    /** Work that ended early: run its command again to complete it. The oldest first. */
    unfinished(): Promise<Operation[]>
  }
  /** Listens to an event; the returned function stops it. */
  on<K extends keyof ControlPlaneEvents>(
    name: K,
    listener: (event: ControlPlaneEvents[K]) => void,
  ): () => void
  /** Closes the connections; work in progress is waited for. */
  close(): Promise<void>
}

/**
 * Lazy: nothing is read or connected before the first use. Everything but `install` throws TNY005 where the catalog
 * is missing or older, TNY008 where it is newer, TNY001 where no connection is configured.
 * @example
 * const control = createControlPlane({ migrations: { tenant: 'migrations/tenant' } })
 * await control.install()
 * await control.tenants.create({ key: 'acme' })
 * await control.close()
 */
export function createControlPlane(options: ControlPlaneOptions = {}): ControlPlane {
  let parts: Parts | undefined
  let checked: Promise<void> | undefined
  const events = createEvents<ControlPlaneEvents>()

  function compose(): Parts {
    parts ??= composeParts(options, events)
    return parts
  }

  /** The parts, once the catalog was found to fit; a failed check is made again at the next use. */
  async function installed(): Promise<Parts> {
    const { db, ...rest } = compose()
    checked ??= requireCatalog(db)
    try {
      await checked
    } catch (error) {
      checked = undefined
      throw error
    }
    return { db, ...rest }
  }

  return {
    async install(onProgress) {
      const { db } = compose()
      await ensureGroups(db)
      const applied = await installCatalog(db, { runtimeLogin: options.runtimeLogin, onProgress })
      checked = undefined
      return { applied }
    },
    tenants: {
      async create(input) {
        const { tenants, warm } = await installed()
        const tenant = await tenants.create(input)
        warm?.refill()
        return tenant
      },
      get: async (tenant) => (await installed()).tenants.get(tenant),
      enforcement: async (tenant) => (await installed()).tenants.enforcement(tenant),
      list: async (page) => (await installed()).tenants.list(page),
      rename: async (tenant, to) => (await installed()).tenants.rename(tenant, to),
      suspend: async (tenant, why) => (await installed()).tenants.suspend(tenant, why),
      resume: async (tenant) => (await installed()).tenants.resume(tenant),
      delete: async (tenant, confirmation) => (await installed()).tenants.delete(tenant, confirmation),
    },
    domains: {
      add: async (tenant, domain) => (await installed()).domains.add(tenant, domain),
      verify: async (target, how) => (await installed()).domains.verify(target, how),
      list: async (tenant) => (await installed()).domains.list(tenant),
      remove: async (tenant, domain) => (await installed()).domains.remove(tenant, domain),
      recheck: async (how) => (await installed()).domains.recheck(how),
    },
    apiKeys: {
      create: async (tenant, input) => (await installed()).apiKeys.create(tenant, input),
      list: async (tenant) => (await installed()).apiKeys.list(tenant),
      revoke: async (id) => (await installed()).apiKeys.revoke(id),
    },
    pool: {
      async fill({ size = options.warmPool ?? 0, ...fillOptions } = {}) {
        return (await installed()).pool.fill({ size, ...fillOptions })
      },
      status: async () => (await installed()).pool.status(),
      drain: async (drainOptions) => (await installed()).pool.drain(drainOptions),
    },
    migrate: {
      async up(upOptions) {
        const { migrations, pool } = await installed()
        const report = await migrations.up(upOptions)
        const { dryRun = false, only, to } = upOptions ?? {}
        // What fails there keeps no tenant back: `pool.status()` shows what is behind.
        if (!dryRun && only === undefined && to === undefined) await pool.fill({ size: 0 })
        return report
      },
      down: async (downOptions) => (await installed()).migrations.down(downOptions),
      plan: async (planOptions) => (await installed()).migrations.plan(planOptions),
      // Files alone need no database.
      lint: async (lintOptions) =>
        (lintOptions?.pending === true ? await installed() : compose()).migrations.lint(lintOptions),
      status: async (statusOptions) => (await installed()).migrations.status(statusOptions),
      baseline: async (baselineOptions) => (await installed()).migrations.baseline(baselineOptions),
      compile: async () => (await installed()).migrations.compile(),
      diff: async (diffOptions) => (await installed()).migrations.diff(diffOptions),
    },
    secrets: {
      status: async () => (await installed()).secrets.status(),
      rotate: async (rotateOptions) => (await installed()).secrets.rotate(rotateOptions),
    },
    context: {
      rotateKey: async () => rotateContextKey((await installed()).db),
      retireKeys: async (retireOptions) => retireContextKeys((await installed()).db, retireOptions),
    },
    verify: async (lintOptions) => lintInstallation((await installed()).db, lintOptions),
    operations: { unfinished: async () => listUnfinished((await installed()).db) },
    on: (name, listen) => events.on(name, listen),
    async close() {
      const closing = parts
      parts = undefined
      checked = undefined
      await closing?.warm?.close()
      await closing?.db.close()
    },
  }
}

interface Parts {
  readonly db: AdminDatabase
  readonly tenants: TenantAdministration
  readonly domains: DomainAdministration
  readonly apiKeys: ApiKeyAdministration
  readonly migrations: Migrations
  readonly secrets: SecretAdministration
  readonly pool: ReturnType<typeof createReadyHomes>
  /** Where the pool is kept warm. */
  readonly warm: KeepWarm | undefined
}

function composeParts(options: ControlPlaneOptions, events: Events<ControlPlaneEvents>): Parts {
  const size = poolSize(options)
  const db = createAdminDatabase(options.connection ?? process.env['TENANTRY_ADMIN_URL'], options.max)
  const migrations = createMigrations({ db, homes: tenantHomes(db), folders: options.migrations })
  const seed = typeof options.seed === 'string' ? resolve(options.seed) : options.seed
  const keyring = createKeyring(options.masterKey ?? process.env['TENANTRY_MASTER_KEY'])
  const tenants = createTenantAdministration({ db, migrator: migrations, seed, keyring })
  const { get } = tenants
  const pool = createReadyHomes({ db, migrator: migrations })
  return {
    db,
    migrations,
    tenants,
    domains: createDomainAdministration({ db, get, roots: (options.roots ?? []).map(ownHost) }),
    apiKeys: createApiKeyAdministration({ db, get, prefix: keyPrefix(options.apiKeyPrefix ?? 'tny') }),
    secrets: createSecretAdministration(db, keyring),
    pool,
    warm:
      size === 0
        ? undefined
        : keepWarm({
            fill: (isStopped) => pool.fill({ size, isStopped }),
            onFilled: (report) => events.emit('pool:filled', report),
            onFailed: (error) => events.emit('pool:failed', { error }),
          }),
  }
}

/** @throws TNY002, TNY429 */
function poolSize({ warmPool = 0, max = 4 }: ControlPlaneOptions): number {
  if (warmPool === 0 || max > 1) return checkPoolSize(warmPool)
  // A fill would keep sign-ups from the only connection.
  throw new TenantryError('TNY002', {
    params: { reason: '`warmPool` needs a `max` of 2 connections or more' },
  })
}

/** As `subdomain()` takes it, with or without a port. @throws TNY002 */
function ownHost(root: string): string {
  try {
    return canonicalHost(root).name
  } catch (cause) {
    const reason = `\`roots\` holds ${JSON.stringify(root)}, which is not a host name`
    throw new TenantryError('TNY002', { params: { reason }, cause })
  }
}

/** @throws TNY002 */
function keyPrefix(prefix: string): string {
  const problem = prefixProblem(prefix)
  if (problem === undefined) return prefix
  throw new TenantryError('TNY002', { params: { reason: `\`apiKeyPrefix\` ${problem}` } })
}
