/** The public entry `tenantry/testing`: a database with tenants for a test file, and what tests do with it. */
import { listTenants } from '../catalog/tenant-store.ts'
import { type ControlPlane, createControlPlane } from '../control-plane.ts'
import type { Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import type { Tenant } from '../core/tenant.ts'
import type { Tenancy } from '../tenancy-members.ts'
import { composeTenancy } from '../tenancy.ts'
import { type CloneSource, dropClone, makeClone, newCloneName, sweep } from './clone.ts'
import { Expectations, type ExpectOnlyOptions } from './expect-only.ts'
import { fingerprintOf } from './fingerprint.ts'
import { guardTemplateTenants } from './template-tenants.ts'
import { TestConnections } from './test-connections.ts'
import { readOptions, type TestDatabaseOptions } from './test-options.ts'
import { openTestServer, type TestServer } from './test-server.ts'

export type { ExpectOnlyOptions } from './expect-only.ts'
export type { TestDatabaseOptions } from './test-options.ts'
export type { TenantInput } from '../lifecycle/tenant-input.ts'

/** A database of one test file's own. */
export interface TestDatabase {
  /** What the application under test gets: what is said of transactions and `expectOnly` holds for this one alone. */
  readonly tenancy: Tenancy
  /** On the admin login. What it changes is committed, also within `inTransaction`. */
  readonly controlPlane: ControlPlane
  /** By key, as they were made. */
  readonly tenants: Readonly<Record<string, Tenant>>
  /** For DATABASE_URL, where the application makes its own tenancy. */
  readonly appUrl: string
  /** For TENANTRY_ADMIN_URL. */
  readonly adminUrl: string
  /** For TENANTRY_MASTER_KEY, where there are sealed tenants. */
  readonly masterKey: string
  /** Runs `fn` for a tenant, as `tenancy.run`. @throws TNY209, TNY211 */
  asTenant<T>(tenant: string | Tenant, fn: (tenant: Tenant) => T | Promise<T>): Promise<T>
  /**
   * A test whose statements are all undone: those of every tenant, of `central` and `shared`, and of requests that the
   * application serves in this process. Its transactions become savepoints, one after the other.
   * @throws by what it returns: TNY044 where another one is under way, TNY045, TNY046
   * @example
   * test('adds an order', db.inTransaction(async () => { … }))
   */
  inTransaction<A extends unknown[], T>(fn: (...args: A) => T | Promise<T>): (...args: A) => Promise<T>
  /** The same for hooks: `beforeEach(() => db.begin())`. @throws TNY044 */
  begin(): Promise<void>
  /** Undoes what ran since `begin`: `afterEach(() => db.rollback())`. Without it, nothing. */
  rollback(): Promise<void>
  /**
   * Fails where anything else than this tenant's statements ran while `fn` did, or a row with another tenant's id came
   * back; and where nothing ran at all.
   * @throws TNY042, TNY043, TNY209, and what `fn` throws
   */
  expectOnly<T>(tenant: string | Tenant, fn: () => T | Promise<T>, options?: ExpectOnlyOptions): Promise<T>
  /** The database as it was at first, for tests that commit. The URLs and the tenancy stay. @throws TNY044 */
  reset(): Promise<void>
  /** Closes everything and drops the database. */
  drop(): Promise<void>
}

/**
 * Makes a database with these tenants, for one test file: the first time from migrations and seed, then as a clone of
 * that, in a fraction of a second. What runs of tests leave behind when they are killed is removed by later ones.
 * @throws TNY002, TNY041 for the options; TNY040, TNY202 where there is no server; what migrations and seed throw
 * @example
 * const db = await createTestDatabase({ tenants: ['acme', 'globex'], migrations: { tenant: 'migrations/tenant' } })
 */
export async function createTestDatabase(options: TestDatabaseOptions): Promise<TestDatabase> {
  const input = readOptions(options)
  const server = await openTestServer(options.server)
  try {
    const fingerprint = fingerprintOf(input, await versionOf(server.session))
    return await openDatabase(server, { fingerprint, input }, options)
  } catch (error) {
    await server.close()
    throw error
  }
}

async function openDatabase(
  server: TestServer,
  source: CloneSource,
  options: TestDatabaseOptions,
): Promise<TestDatabase> {
  const { masterKey } = server.logins
  const name = newCloneName(server, source.fingerprint)
  const appUrl = server.urlOf(name, 'app')
  const adminUrl = server.urlOf(name, 'admin')
  let connections: TestConnections | undefined
  const tenancy = composeTenancy({ ...options.tenancy, connection: appUrl, masterKey }, ({ pool, guard }) => {
    // Its parser takes as long as the clone does.
    void guard.load().catch(() => undefined)
    return (connections = new TestConnections(pool, guard))
  })
  const test = connections as TestConnections
  const { roles, tenants } = await fillTenancy(server, name, source, tenancy)
  const controlPlane = guardTemplateTenants(
    createControlPlane({
      connection: adminUrl,
      runtimeLogin: server.logins.app,
      masterKey,
      ...(options.migrations === undefined ? {} : { migrations: options.migrations }),
      ...(options.seed === undefined ? {} : { seed: options.seed }),
    }),
    Object.values(tenants),
  )
  const expectations = new Expectations()

  function begin(): Promise<void> {
    if (test.inTransaction) return Promise.reject(impossible('another test is in one'))
    test.begin()
    return Promise.resolve()
  }
  return {
    tenancy,
    controlPlane,
    tenants,
    appUrl,
    adminUrl,
    masterKey,
    asTenant: (tenant, fn) => expectations.scoped(() => tenancy.run(tenant, fn)),
    inTransaction:
      (fn) =>
      async (...args) => {
        await begin()
        try {
          return await expectations.scoped(() => fn(...args))
        } finally {
          await test.rollback()
        }
      },
    begin,
    rollback: () => test.rollback(),
    async expectOnly(tenant, fn, expectOptions = {}) {
      const ref = typeof tenant === 'string' ? { name: tenant } : { id: tenant.id }
      const expected = await tenancy.directory.find(ref)
      if (expected === undefined) throw new TenantryError('TNY209', { params: { tenant: nameOf(tenant) } })
      const others = Object.values(tenants).filter(({ id }) => id !== expected.id)
      const sight = {
        watch: test.watch.bind(test),
        onRefused: (listener: (tenantId: string | undefined, error: TenantryError) => void) =>
          tenancy.on('statement:refused', (event) => listener(event.tenantId, event.error)),
      }
      return expectations.expectOnly(expected, others, sight, async () => fn(), expectOptions)
    },
    async reset() {
      if (test.inTransaction) throw impossible('reset() would take its database away')
      await dropClone(server, name, roles)
      await makeClone(server, name, source)
    },
    async drop() {
      try {
        await test.rollback()
        await Promise.all([tenancy.close({ timeoutMs: 1_000 }), controlPlane.close()])
        await dropClone(server, name, roles)
        await sweep(server, source.fingerprint, name)
      } finally {
        await server.close()
      }
    },
  }
}

/** @throws what cloning or connecting throws, with nothing left behind */
async function fillTenancy(
  server: TestServer,
  name: string,
  source: CloneSource,
  tenancy: Tenancy,
): Promise<{ roles: readonly string[]; tenants: Record<string, Tenant> }> {
  let roles: readonly string[] | undefined
  try {
    roles = await makeClone(server, name, source)
    await tenancy.ready()
    const tenants = await readTenants(tenancy.central)
    return { roles, tenants: Object.fromEntries(tenants.map((tenant) => [tenant.key, tenant])) }
  } catch (error) {
    await tenancy.close({ timeoutMs: 1_000 })
    if (roles !== undefined) await dropClone(server, name, roles).catch(() => undefined)
    throw error
  }
}

async function readTenants(db: Queryable): Promise<Tenant[]> {
  const tenants: Tenant[] = []
  for (;;) {
    const page = await listTenants(db, { after: tenants.at(-1)?.key, limit: 1_000 })
    tenants.push(...page)
    if (page.length < 1_000) return tenants
  }
}

async function versionOf(db: Queryable): Promise<string> {
  const { rows } = await db.query<{ version: string }>(
    "select current_setting('server_version_num') as version",
  )
  return rows[0]?.version ?? ''
}

function nameOf(tenant: string | Tenant): string {
  return typeof tenant === 'string' ? tenant : tenant.key
}

function impossible(reason: string): TenantryError {
  return new TenantryError('TNY044', { params: { reason } })
}
