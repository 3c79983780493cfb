/** createTenancy: wires context, catalog, guard and gateway into what an application uses. */
import type { EventEmitter } from 'node:events'
import { ApiKeyCache } from './catalog/api-key-cache.ts'
import { findApiKey } from './catalog/api-key-store.ts'
import { readChange } from './catalog/catalog-change.ts'
import { CATALOG_CHANNEL } from './catalog/catalog-migrations.ts'
import { LookupLine } from './catalog/lookup-line.ts'
import { FollowedTenants, type TenantFollower } from './catalog/follow-tenants.ts'
import {
  forEachTenant,
  type ForEachTenantOptions,
  type ForEachTenantReport,
} from './catalog/for-each-tenant.ts'
import { TenantCache } from './catalog/tenant-cache.ts'
import { requireCatalog } from './catalog/catalog-version.ts'
import { findProvenTenant, listTenants } from './catalog/tenant-store.ts'
import type { Queryable, Rows } from './core/database.ts'
import { cacheKey, type CacheKeyPart } from './core/cache-key.ts'
import { emitWithin } from './core/emit-within.ts'
import { createContext, type RunOptions, type TenantContext } from './core/context.ts'
import { TenantryError } from './core/errors.ts'
import type { StatementGuard } from './core/guard.ts'
import { createEvents, type Listener as EventListener, type TenancyEvents } from './core/events.ts'
import type { ApiKeyDirectory, TenantDirectory, TenantRef, TenantRuntime } from './core/runtime.ts'
import {
  logFields,
  type LogFields,
  metricLabels,
  type MetricLabels,
  traceAttributes,
  type TraceAttributes,
} from './core/tenant-fields.ts'
import type { Tenant } from './core/tenant.ts'
import { type Binding, bindingOf, ofSharedTables } from './gateway/binding.ts'
import { connectionConfig } from './gateway/connection/connection-config.ts'
import { DatabasePools } from './gateway/pool/database-pools.ts'
import { type Connections, Gateway, type Principal } from './gateway/gateway.ts'
import type { GatewayClient } from './gateway/pg-pool/gateway-client.ts'
import { GatewayPool } from './gateway/pg-pool/gateway-pool.ts'
import { Listener } from './gateway/listener.ts'
import type { SqlTag } from './gateway/pg-pool/sql-tag.ts'
import { withSession } from './gateway/pg-pool/session.ts'
import { RepeatedTexts } from './gateway/connection/statement-names.ts'
import { transact, type TransactionOptions } from './gateway/pg-pool/transact.ts'
import { TransactionScopes } from './gateway/pg-pool/transaction-scopes.ts'
import { createGuard } from './isolation/guard.ts'
import { readReachingFunctions } from './isolation/reaching-functions.ts'
import { createKeyring } from './isolation/master-key.ts'
import { CENTRAL, type Locate, requireServed, tenantPrincipal } from './isolation/principal.ts'
import { probeServer, requireSafeLogin } from './isolation/probe.ts'
import { requireTransactions } from './isolation/require-transactions.ts'
import { serverWarnings, type ServerWarning } from './isolation/server-warnings.ts'
import { readBounds, readLimits, readTransactions, type TenancyOptions } from './tenancy-options.ts'

/** What `health()` says. */
export interface TenancyHealth {
  readonly ok: boolean
  /** True while catalog changes are heard; while false, each look-up asks the database. */
  readonly listening: boolean
  readonly connections: { readonly total: number; readonly idle: number; readonly waiting: number }
  /** What the start-up check found that does not keep it from serving: known holes of the server, too many roles. */
  readonly warnings: readonly string[]
}

/** One application's way to its tenants. */
export interface Tenancy extends TenantRuntime {
  readonly directory: TenantDirectory
  /** API keys by their secret, for resolvers and for your own authentication. */
  readonly apiKeys: ApiKeyDirectory
  readonly context: TenantContext
  readonly closing: boolean
  /** A `pg.Pool` for the tenant of the context; throws TNY201 where there is none. */
  readonly pool: GatewayPool
  /**
   * Statements of the context's tenant as templates, whose values never become SQL: rows of
   * `await tenancy.sql<Order>`select * from orders where id = ${id}``. @throws TNY201, TNY235
   */
  readonly sql: SqlTag
  /**
   * A `pg.Pool` for work without a tenant: shared tables, login, webhooks. Runs as the runtime login itself. The
   * context's signal does not stop it: what is written here (audit, usage) is not for the client who left.
   */
  readonly central: GatewayPool
  /**
   * A `pg.Pool` for the tables that all tenants share, as the tenant of the context: its role, its policies, in the
   * database of the catalog. For tenants with a database of their own the one way to them: nothing joins the two.
   */
  readonly shared: GatewayPool
  /** A `pg.Pool` for one tenant, named by id, key or record, whatever the context is. */
  poolFor(tenant: string | Tenant): GatewayPool
  /** Connects and checks that the login is safe; without it, the first statement does. @throws TNY005 to TNY007, TNY023, TNY202 */
  ready(): Promise<void>
  /**
   * Runs `fn` for a tenant; `{ signal }` stops its statements. While the tenant is being moved it waits first.
   * @throws TNY209 where the tenant does not exist, TNY211 where it is not active, TNY108 where its move takes too long.
   */
  run<T>(
    tenant: string | Tenant,
    fn: (tenant: Tenant) => T | PromiseLike<T>,
    options?: RunOptions,
  ): Promise<T>
  /** Ties `fn` to the present tenant, for callbacks that are called from elsewhere. @throws TNY201 */
  bind<A extends unknown[], R>(fn: (...args: A) => R): (...args: A) => R
  /**
   * Ties all listeners of an emitter to the present tenant, those that libraries add to it later too: for uploads, whose
   * parsers listen to the request. Returns the emitter. @throws TNY201
   */
  bindEmitter<E extends EventEmitter>(emitter: E): E
  /**
   * Runs `fn` once for each active tenant, in its context; one that throws does not keep the others from their turn.
   * @throws TNY002, TNY202 where the catalog cannot be read
   * @example
   * const { done, failures } = await tenancy.forEachTenant(sendDigest, { concurrency: 8 })
   */
  forEachTenant(fn: (tenant: Tenant) => unknown, options?: ForEachTenantOptions): Promise<ForEachTenantReport>
  /**
   * For what outlives a request: hears the record of the context's tenant whenever it has changed, and `undefined` once it
   * is served no longer, within about a second. The returned function stops it. @throws TNY201
   */
  follow(follower: TenantFollower): () => void
  /** The tenant of the context as fields of a log line; empty without one. */
  logFields(): LogFields
  /** The same as attributes of a span. */
  traceAttributes(): TraceAttributes
  /** Its plan and model, as labels of a metric: few values, however many tenants there are. */
  metricLabels(): MetricLabels
  /** The tenant of the context. @throws TNY201 */
  requireTenant(): Tenant
  /** The tenant of the context, or `undefined`. */
  findTenant(): Tenant | undefined
  /** A key for caches and data loaders that no other tenant and no other parts have (A4). @throws TNY201, TypeError */
  cacheKey(...parts: CacheKeyPart[]): string
  /**
   * One transaction of the context's tenant; COMMIT when `fn` resolves, ROLLBACK when it throws. What `fn` calls is part
   * of it, also by `tenancy.pool` and by ORMs (`transactions: 'join'`); inside another one it is a savepoint.
   */
  transaction<T>(fn: (client: GatewayClient) => Promise<T>, options?: TransactionOptions): Promise<T>
  /**
   * Runs `fn`, which begins a transaction in a way of its own (an ORM's): what it calls meanwhile is part of that, as it
   * is with `transaction`. The adapters of Tenantry do so by themselves.
   */
  transactionScope<T>(fn: () => T): T
  /** What identifies the transaction that the running code is in: for what gathers the work of several callers. */
  findTransaction(): object | undefined
  /** Runs `fn` outside of every transaction: what it writes stays, also where the transaction around it rolls back. */
  outsideTransaction<T>(fn: () => T | PromiseLike<T>): Promise<T>
  /**
   * Work of the context's tenant on one connection, for several transactions on one backend; as many sessions as
   * connections leave none for the others. @throws TNY201, TNY210 behind a pooler in transaction mode
   */
  session<T>(fn: (client: GatewayClient) => Promise<T>): Promise<T>
  /** Listens to an event; the returned function stops it. */
  on<K extends keyof TenancyEvents>(name: K, listener: EventListener<K>): () => void
  /** Asks the database; never throws. */
  health(): Promise<TenancyHealth>
  /** Refuses new work, waits for statements in flight (10,000 ms by default), closes every connection. */
  close(options?: { readonly timeoutMs?: number }): Promise<void>
}

/** With answers at most this late, an entry in memory is at most a second old (THREATS I8). */
const HEARTBEAT_MS = 400
const TRUSTED_SILENCE_MS = 900
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
  const keyring = createKeyring(options.masterKey ?? process.env['TENANTRY_MASTER_KEY'])
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
    line: new LookupLine({ atOnce: Math.ceil(bounds.max / 4), waiting: MOST_STRANGERS }),
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

  /** By record: the catalog cache gives the same one until the tenant changes. */
  const bindings = new WeakMap<Tenant, Binding>()
  function bind(tenant: Tenant): Binding {
    const known = bindings.get(tenant)
    if (known !== undefined) return known
    const { id, home } = tenant
    const password = home.keyId === undefined ? undefined : keyring.secretOf(id, home.keyId)
    const login = password === undefined ? undefined : { user: home.role, password }
    const credentials = { proof: proofs.get(tenant) ?? '', login }
    const binding = bindingOf(tenant, readLimits(options.limits?.(tenant), bounds), credentials)
    bindings.set(tenant, binding)
    return binding
  }
  const sharedBindings = new WeakMap<Binding, Binding>()
  function bindShared(tenant: Tenant): Binding {
    const own = bind(tenant)
    const known = sharedBindings.get(own) ?? ofSharedTables(own)
    sharedBindings.set(own, known)
    return known
  }
  function principalOf(tenant: string | Tenant, how = bind): Principal {
    const ref = refOf(tenant)
    const locate: Locate = (fresh) => directory[fresh ? 'refresh' : 'locate'](ref)
    return tenantPrincipal(labelOf(tenant), locate, how, typeof tenant === 'string' ? undefined : tenant.id)
  }
  function ofContext(how = bind): Principal | undefined {
    const tenant = context.find()
    return tenant === undefined ? undefined : principalOf(tenant, how)
  }
  const followed = new FollowedTenants({ directory, on: (name, listen) => events.on(name, listen) })
  const { signal } = context
  const contextTenant = (): string | undefined => context.find()?.id
  const ofTheContext = { signal, contextTenant, scopes, central: CENTRAL }
  const tenantPool = new GatewayPool(gateway, { current: () => ofContext(), ...ofTheContext })
  const shared = new GatewayPool(gateway, { current: () => ofContext(bindShared), signal, central: CENTRAL })

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
      const principal = principalOf(tenant)
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
    cacheKey: (...parts) => cacheKey(context.require().id, parts),
    async transaction(fn, transactionOptions) {
      return scopes.around(async () => transact(await tenantPool.connect(), fn, transactionOptions))
    },
    transactionScope: (fn) => scopes.around(fn),
    findTransaction: () => scopes.open(),
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

function refOf(tenant: string | Tenant): TenantRef {
  return typeof tenant === 'string' ? { name: tenant } : { id: tenant.id }
}

function labelOf(tenant: string | Tenant): string {
  return typeof tenant === 'string' ? tenant : tenant.key
}
