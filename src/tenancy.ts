/** createTenancy: wires context, catalog, guard and gateway into what an application uses. */
import { ApiKeyCache } from './catalog/api-key-cache.ts'
import { findApiKey } from './catalog/api-key-store.ts'
import { readChange } from './catalog/catalog-change.ts'
import { CATALOG_CHANNEL } from './catalog/catalog-migrations.ts'
import { LookupLine } from './catalog/lookup-line.ts'
import { FollowedTenants } from './catalog/follow-tenants.ts'
import { forEachTenant } from './catalog/for-each-tenant.ts'
import { TenantCache } from './catalog/tenant-cache.ts'
import { requireCatalog } from './catalog/catalog-version.ts'
import { findProvenTenant, listTenants } from './catalog/tenant-store.ts'
import type { Queryable, Rows } from './core/database.ts'
import { cacheKey } from './core/cache-key.ts'
import { emitWithin } from './core/emit-within.ts'
import { createContext } from './core/context.ts'
import { TenantryError } from './core/errors.ts'
import type { StatementGuard } from './core/guard.ts'
import { createEvents } from './core/events.ts'
import { logFields, metricLabels, traceAttributes } from './core/tenant-fields.ts'
import type { Tenant } from './core/tenant.ts'
import { connectionConfig } from './gateway/connection/connection-config.ts'
import { DatabasePools } from './gateway/pool/database-pools.ts'
import { type Connections, Gateway, type Principal } from './gateway/gateway.ts'
import type { GatewayClient } from './gateway/pg-pool/gateway-client.ts'
import { GatewayPool } from './gateway/pg-pool/gateway-pool.ts'
import { Listener } from './gateway/listener.ts'
import { withSession } from './gateway/pg-pool/session.ts'
import { RepeatedTexts } from './gateway/connection/statement-names.ts'
import { transact } from './gateway/pg-pool/transact.ts'
import { TransactionScopes } from './gateway/pg-pool/transaction-scopes.ts'
import { createGuard } from './isolation/guard.ts'
import { readReachingFunctions } from './isolation/reaching-functions.ts'
import { createKeyring } from './isolation/master-key.ts'
import { CENTRAL, requireServed } from './isolation/principal.ts'
import { labelOf, Principals, refOf } from './isolation/principals.ts'
import { probeServer, requireSafeLogin } from './isolation/probe.ts'
import { requireTransactions } from './isolation/require-transactions.ts'
import { serverWarnings, type ServerWarning } from './isolation/server-warnings.ts'
import { requireTenantVersion, routeByVersion } from './migrate/needed-version.ts'
import type { Tenancy } from './tenancy-members.ts'
import { readBounds, readLimits, readTransactions, type TenancyOptions } from './tenancy-options.ts'

/** With answers at most this late, an entry in memory is at most a second old (THREATS I8). */
const HEARTBEAT_MS = 400
const TRUSTED_SILENCE_MS = 900
/**
 * How many unknown names are looked up at once: a quarter of the connections, so that a flood leaves the others. Two at
 * least: a pool for which nobody waits gives its connection up after each statement where other pools want one.
 */
const lookUpsAtOnce = (max: number): number => Math.max(2, Math.ceil(max / 4))
/** Names that no tenant is known by and that wait to be looked up; more are refused (TNY112). */
const MOST_STRANGERS = 1_000

/**
 * Opens nothing yet: the first statement, or `ready()`, connects.
 * @throws TNY001 where no connection is configured, TNY002 where an option is not valid.
 * @example
 * const tenancy = createTenancy({ connection: process.env.DATABASE_URL })
 * await tenancy.run('acme', () => tenancy.pool.query('select * from orders'))
 */
export function createTenancy(options: TenancyOptions = {}): Tenancy {
  return composeTenancy(options, ({ pool }) => pool)
}

/** What statements pass on their way to the connections, and what judges them. */
interface Way {
  readonly pool: Connections
  readonly guard: StatementGuard
}

/**
 * A tenancy whose statements go through what `between` gives: for the testing kit. Tenantry's own, which look up tenants,
 * go to the pool itself.
 */
export function composeTenancy(options: TenancyOptions, between: (way: Way) => Connections): Tenancy {
  const bounds = readBounds(options)
  const connection = options.connection ?? process.env['DATABASE_URL']
  const config = {
    ...connectionConfig(connection, 'connection', 'DATABASE_URL'),
    connectionTimeoutMillis: bounds.waitTimeoutMs,
  }
  const events = createEvents()
  const guard = createGuard({ policy: options.guard })
  const settings = {
    config,
    named: options.pooler === undefined,
    carried: options.pooler === 'pgbouncer-prepared',
    repeated: new RepeatedTexts(),
    forSharedTables: (text: string) => guard.shared(text),
    forCommonTables: (text: string) => guard.common(text),
    events,
    statementTimeoutMs: bounds.statementTimeoutMs,
  }
  const context = createContext()
  const scopes = new TransactionScopes<GatewayClient>(readTransactions(options), bounds.waitTimeoutMs)
  const pool = new DatabasePools(settings, bounds, events)
  const parts = { pool: between({ pool, guard }), guard, events, ready }
  const gateway = new Gateway(parts)
  // Tenantry's own statements need no guard, and run before "ready".
  const direct = new Gateway({ ...parts, pool })
  const own: Queryable = {
    query: <R>(text: string, values?: readonly unknown[]) =>
      direct.single(CENTRAL, { text, values }) as Promise<unknown> as Promise<Rows<R>>,
  }
  const central = new GatewayPool(gateway, {
    current: () => CENTRAL,
    signal: () => undefined,
    central: CENTRAL,
  })

  const listener = new Listener({
    config:
      options.direct === undefined
        ? config
        : connectionConfig(options.direct, 'direct connection', 'DATABASE_URL'),
    channel: CATALOG_CHANNEL,
    heartbeatMs: HEARTBEAT_MS,
    onNotification(payload) {
      const change = readChange(payload)
      directory.changed(change)
      apiKeys.changed(change)
      // A name that comes or goes changes no table.
      if (change.name === undefined) pool.forgetStatements(change.tenantId)
      events.emit('catalog:changed', { tenantId: change.tenantId })
    },
    onLost: (error) => events.emit('listener:lost', { error }),
    onListening() {
      directory.changed(readChange(''))
      apiKeys.changed(readChange(''))
      pool.forgetStatements(undefined)
      events.emit('listener:restored', {})
    },
  })
  /** Beside the records and not in them: what an application answers or logs of a tenant must not hold its proof. */
  const proofs = new WeakMap<Tenant, string>()
  const memory = {
    isCurrent: () => listener.silence < TRUSTED_SILENCE_MS,
    max: bounds.cacheSize,
    line: new LookupLine({ atOnce: lookUpsAtOnce(bounds.max), waiting: MOST_STRANGERS }),
  }
  const directory = new TenantCache({
    ...memory,
    async load(ref) {
      await ready()
      const found = await findProvenTenant(own, ref)
      if (found !== undefined) proofs.set(found.tenant, found.proof)
      return found?.tenant
    },
    movingTimeoutMs: bounds.movingTimeoutMs,
  })
  const apiKeys = new ApiKeyCache({
    ...memory,
    async load(hash) {
      await ready()
      return findApiKey(own, hash)
    },
  })

  let closing = false
  let checking: Promise<void> | undefined
  function ready(): Promise<void> {
    checking ??= check().catch((error: unknown) => {
      // The next statement tries again: the database may be there by then.
      checking = undefined
      throw error
    })
    return checking
  }
  let warnings: readonly ServerWarning[] = []
  async function check(): Promise<void> {
    await guard.load()
    await requireCatalog(own)
    const facts = await probeServer(own)
    requireSafeLogin(facts)
    guard.deny(await readReachingFunctions(own))
    await requireTransactions(pool)
    warnings = serverWarnings(facts)
    for (const warning of warnings) events.emit('server:warning', warning)
    // Without it every look-up of the first moments would ask the database.
    await listener.start()
  }

  const principals = new Principals({
    directory,
    keyring: createKeyring(options.masterKey ?? process.env['TENANTRY_MASTER_KEY']),
    proofOf: (tenant) => proofs.get(tenant) ?? '',
    limitsOf: (tenant) => readLimits(options.limits?.(tenant), bounds),
  })
  const ofContext = (): Principal | undefined => {
    const tenant = context.find()
    return tenant && principals.of(tenant)
  }
  const followed = new FollowedTenants({ directory, on: (name, listen) => events.on(name, listen) })
  const { signal } = context
  const contextTenant = (): string | undefined => context.find()?.id
  const ofTheContext = { signal, contextTenant, scopes, central: CENTRAL }
  const tenantPool = new GatewayPool(gateway, { current: ofContext, ...ofTheContext })
  const shared = new GatewayPool(gateway, {
    current() {
      const tenant = context.find()
      return tenant && principals.beforeSharedTables(tenant)
    },
    signal,
    contextTenant,
    central: CENTRAL,
  })

  return {
    directory,
    apiKeys,
    context,
    pool: tenantPool,
    sql: tenantPool.sql,
    central,
    shared,
    get closing() {
      return closing
    },
    ready,
    poolFor(tenant) {
      const principal = principals.of(tenant)
      return new GatewayPool(gateway, { current: () => principal, signal, scopes, central: CENTRAL })
    },
    async run(tenant, fn, runOptions) {
      const found = await directory.settled(refOf(tenant), runOptions?.signal ?? context.signal())
      const served = requireServed(found, labelOf(tenant))
      // Awaited inside: a query of an ORM runs only as somebody waits for it, for the tenant of whoever does.
      return context.run(served, async () => await fn(served), runOptions)
    },
    bind: (fn) => scopes.bind(context.bind(fn)),
    bindEmitter: (emitter) => emitWithin(emitter, scopes.bind(context.bind((emit) => emit()))),
    async forEachTenant(fn, forEachOptions) {
      const list = async (page: Parameters<typeof listTenants>[1]) => {
        await ready()
        return listTenants(own, page)
      }
      return forEachTenant({ context, directory, list }, fn, forEachOptions)
    },
    follow: (follower) => followed.follow(context.require().id, scopes.bind(context.bind(follower))),
    logFields: () => logFields(context.find()),
    traceAttributes: () => traceAttributes(context.find()),
    metricLabels: () => metricLabels(context.find()),
    requireTenant: () => context.require(),
    findTenant: () => context.find(),
    requireVersion(version) {
      const tenant = context.require()
      requireTenantVersion(tenant, version)
      return tenant
    },
    byVersion: (routes) => routeByVersion(context.require, routes),
    cacheKey: (...parts) => cacheKey(context.require().id, parts),
    async transaction(fn, transactionOptions) {
      const attempts = {
        around: <R>(attempt: () => R) => scopes.around(attempt),
        connect: () => tenantPool.connect(),
      }
      return transact(attempts, fn, transactionOptions)
    },
    transactionScope: (fn) => scopes.around(fn),
    findTransaction: () => scopes.open()?.[0],
    outsideTransaction: (fn) => scopes.outside(async () => await fn()),
    async session(fn) {
      if (options.pooler !== undefined) {
        throw new TenantryError('TNY210', {
          params: {
            what: 'session() behind a pooler in transaction mode',
            instead: 'The pooler hands each transaction to any server connection: use transaction().',
          },
        })
      }
      const principal = ofContext()
      if (principal === undefined) throw new TenantryError('TNY201')
      return withSession(parts, principal, fn, { contextSignal: signal, contextTenant })
    },
    on: (name, listen) => events.on(name, listen),
    async health() {
      const ok = await central.query('select 1').then(
        () => true,
        () => false,
      )
      const { total, idle, waiting } = pool
      return {
        ok,
        listening: listener.silence < TRUSTED_SILENCE_MS,
        connections: { total, idle, waiting },
        warnings: warnings.map(({ message }) => message),
      }
    },
    async close({ timeoutMs = 10_000 } = {}) {
      closing = true
      directory.close()
      await Promise.all([pool.end(timeoutMs), listener.close()])
    },
  }
}
