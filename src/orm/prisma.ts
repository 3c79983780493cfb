/** Prisma over the gateway: one PrismaClient for all tenants, whose every statement reaches one of them. */
import { LRUCache } from 'lru-cache'
import type { TenantContext } from '../core/context.ts'
import type { Tenant } from '../core/tenant.ts'
import { type PrismaAdapter, prismaAdapter, type PrismaPool } from './prisma/adapter.ts'
import { type KeptApart, keepApart } from './prisma/keep-apart.ts'

export type { PrismaAdapter, PrismaPool, PrismaPoolClient } from './prisma/adapter.ts'

/** What of a tenancy this adapter uses. */
export interface PrismaTenancy {
  readonly context: TenantContext
  /** For the tenant of the context. */
  readonly pool: PrismaPool
  run<T>(tenant: string | Tenant, fn: () => T | Promise<T>): Promise<T>
}

/** One PrismaClient, and views of it by tenant. */
export interface PrismaForTenants<Client> {
  /** Follows the context: each query is for the tenant in whose context it is made. */
  readonly prisma: Client
  /**
   * The same client for a tenant, named by id, key or record, whatever the context is; without an argument, for the
   * tenant of the context. @throws TNY201 where there is none
   */
  forTenant(tenant?: string | Tenant): Client
}

/** Views that are kept: none holds a connection. */
const KEPT_VIEWS = 2_500

/**
 * Makes the one client. Extensions, logging and the like are up to `make`.
 *
 * @param make makes a PrismaClient with the adapter that it is given.
 * @throws TNY241 where the client is not one that tenants can be kept apart in.
 * @example
 * const { prisma, forTenant } = prismaForTenants(tenancy, (adapter) => new PrismaClient({ adapter }))
 * await tenancy.run('acme', () => prisma.order.findMany())
 * await forTenant('globex').order.findMany()
 */
export function prismaForTenants<Client extends object>(
  tenancy: PrismaTenancy,
  make: (adapter: PrismaAdapter) => Client,
): PrismaForTenants<Client> {
  const prisma = make(prismaAdapter(tenancy.pool))
  const apart = keepApart(prisma, tenancy.context)
  const views = new LRUCache<string, Client>({ max: KEPT_VIEWS })
  return {
    prisma,
    forTenant(tenant = tenancy.context.require()) {
      const name = typeof tenant === 'string' ? tenant : tenant.id
      const known = views.get(name)
      if (known !== undefined) return known
      const view = viewOf(prisma as Client & Extensible, name, tenancy, apart)
      views.set(name, view)
      return view
    },
  }
}

/** What a view changes of a PrismaClient. */
interface Extensible {
  $extends(extension: object): unknown
  $transaction(input: unknown, options?: unknown): unknown
}

/** What an extension would be, but that reaches transactions too. */
function viewOf<Client extends Extensible>(
  prisma: Client,
  tenant: string,
  { context, run }: PrismaTenancy,
  apart: KeptApart,
): Client {
  const view = prisma.$extends({ name: 'tenantry' }) as Client
  const { $transaction: transaction } = view
  return Object.assign(view, {
    _createPrismaPromise: apart.queriesIn((fn) => run(tenant, fn)),
    $transaction(input: unknown, options?: unknown) {
      const around = context.find()
      // The function is the caller's: what it does beside `tx` is for the tenant that the caller acts for.
      const callback =
        typeof input === 'function'
          ? (tx: unknown) => {
              const call = (): unknown => input(tx)
              return around === undefined ? context.exit(call) : context.run(around, call)
            }
          : input
      return run(tenant, () => Reflect.apply(transaction, view, [callback, options]))
    },
  })
}
