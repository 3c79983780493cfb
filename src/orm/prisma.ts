/** Prisma over the gateway: one PrismaClient for all tenants, whose every statement reaches one of them. */
import { AsyncLocalStorage } from 'node:async_hooks'
import { LRUCache } from 'lru-cache'
import type { Tenant } from '../core/tenant.ts'
import type { ForTenants, OrmTenancy } from './for-tenants.ts'
import { type PrismaAdapter, prismaAdapter, type PrismaPool } from './prisma/adapter.ts'
import { keepApart } from './prisma/keep-apart.ts'

export type { PrismaAdapter, PrismaPool, PrismaPoolClient } from './prisma/adapter.ts'

/** What of a tenancy this adapter uses. */
export interface PrismaTenancy extends OrmTenancy<PrismaPool> {
  run<T>(tenant: string | Tenant, fn: () => T | PromiseLike<T>): Promise<T>
  /** What identifies the transaction that the running code is in. */
  findTransaction(): object | undefined
}

/**
 * The client of a tenant, or, as `db`, the one for the tenant of the context: each of its queries belongs to the tenant in
 * whose context it is made, wherever it is awaited.
 */
export type PrismaForTenant<Client> = ForTenants<Client>

/** Views of named tenants that are kept. None holds a connection. */
const KEPT_VIEWS = 2_500

/**
 * Makes the one client. Extensions, logging and the like are up to `make`.
 *
 * @param make makes a PrismaClient with the adapter that it is given.
 * @throws TNY241 where the client is not one that tenants can be kept apart in.
 * @example
 * const prismaForTenant = prismaForTenants(tenancy, (adapter) => new PrismaClient({ adapter }))
 * const orders = await prismaForTenant('acme').order.findMany()
 * const { db: prisma } = prismaForTenant // for the tenant of the context
 */
export function prismaForTenants<Client extends object>(
  tenancy: PrismaTenancy,
  make: (adapter: PrismaAdapter) => Client,
): PrismaForTenant<Client> {
  /** Set while Prisma works for a tenant that was named. */
  const named = new AsyncLocalStorage<PrismaPool | undefined>()
  const pool = (): PrismaPool => named.getStore() ?? tenancy.pool
  const prisma = make(
    prismaAdapter({ query: (config) => pool().query(config), connect: () => pool().connect() }),
  )
  const apart = keepApart(prisma, {
    context: tenancy.context,
    enter: (fn) => named.run(undefined, fn),
    scope: (fn) => tenancy.transactionScope(fn),
    transaction: () => tenancy.findTransaction(),
  })

  const views = new LRUCache<string, Client>({ max: KEPT_VIEWS })
  const prismaForTenant = (tenant: string | Tenant = tenancy.context.require()): Client => {
    const name = typeof tenant === 'string' ? tenant : tenant.id
    const known = views.get(name)
    if (known !== undefined) return known
    const own = tenancy.poolFor(name)
    // In its context too: what is gathered is so by the context's tenant, and extensions may ask for it.
    const view = apart.viewIn((fn) => tenancy.run(name, () => named.run(own, fn))) as Client
    views.set(name, view)
    return view
  }
  return Object.assign(prismaForTenant, { db: prisma })
}
