/** What a tenancy is to an application: everything that `createTenancy` gives. */
import type { EventEmitter } from 'node:events'
import type { TenantFollower } from './catalog/follow-tenants.ts'
import type { ForEachTenantOptions, ForEachTenantReport } from './catalog/for-each-tenant.ts'
import type { CacheKeyPart } from './core/cache-key.ts'
import type { RunOptions, TenantContext } from './core/context.ts'
import type { Listener, TenancyEvents } from './core/events.ts'
import type { ApiKeyDirectory, TenantDirectory, TenantRuntime } from './core/runtime.ts'
import type { LogFields, MetricLabels, TraceAttributes } from './core/tenant-fields.ts'
import type { Tenant } from './core/tenant.ts'
import type { GatewayClient } from './gateway/pg-pool/gateway-client.ts'
import type { GatewayPool } from './gateway/pg-pool/gateway-pool.ts'
import type { SqlTag } from './gateway/pg-pool/sql-tag.ts'
import type { TransactionOptions } from './gateway/pg-pool/transact.ts'
import type { MigrationVersion, VersionRoutes } from './migrate/needed-version.ts'

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
  /**
   * The tenant of the context, where its tables are at this migration, or a later one; for code that needs them so while a
   * migration rolls out. The version is that of the record: a migration meanwhile is met by the next request.
   * @throws TNY431 (503, Retry-After) where they are older; TNY201, TNY432
   * @example
   * tenancy.requireVersion('1700000000005_split-name')
   */
  requireVersion(version: MigrationVersion): Tenant
  /**
   * One function out of several, by the version of the context's tenant at each call: a handler, a job, a repository's
   * method. The last to fit is `0`, for tenants of any version; without it the call throws TNY431.
   * @throws TNY432 at once; TNY201, TNY431 at the call
   * @example
   * app.get('/customers', tenancy.byVersion([[1700000000005, listByLastName], [0, listByName]]))
   */
  byVersion<F extends (...args: never) => unknown>(routes: VersionRoutes<F>): F
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
  on<K extends keyof TenancyEvents>(name: K, listener: Listener<K>): () => void
  /** Asks the database; never throws. */
  health(): Promise<TenancyHealth>
  /** Refuses new work, waits for statements in flight (10,000 ms by default), closes every connection. */
  close(options?: { readonly timeoutMs?: number }): Promise<void>
}
