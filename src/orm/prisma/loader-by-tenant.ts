/** Prisma's loader, once for each tenant: what it gathers in a tick is sent from where the first of it was asked. */
import type { TenantContext } from '../../core/context.ts'

/** What is used of Prisma's loader (7.10, runtime/DataLoader). */
export interface PrismaLoader {
  readonly batches: object
  readonly tickActive: boolean
  request(params: unknown): Promise<unknown>
}

/** Whose queries it gathers. Of two requests of a tenant only one may be given up, or be inside of a transaction. */
interface OwnLoader {
  readonly tenant: string | undefined
  readonly signal: AbortSignal | undefined
  readonly transaction: object | undefined
  readonly loader: PrismaLoader
}

/**
 * The loader of a client makes one query of several `findUnique`, and sends them, batches too, from where the first of
 * the tick was asked: two tenants would read each other's rows (seen with 7.10). Each gets a loader of its own.
 */
export function loaderByTenant(
  loader: PrismaLoader,
  context: TenantContext,
  transaction: () => object | undefined,
): PrismaLoader {
  /** Those of this tick: hardly ever more than there are tenants in it. */
  let loaders: OwnLoader[] = []
  const derive = (parts: Partial<PrismaLoader>): PrismaLoader =>
    Object.assign(Object.create(Object.getPrototypeOf(loader) as object) as PrismaLoader, loader, parts)

  function ownLoader(): PrismaLoader {
    const owner = { tenant: context.find()?.id, signal: context.signal(), transaction: transaction() }
    const known = loaders.find(
      (other) =>
        other.tenant === owner.tenant &&
        other.signal === owner.signal &&
        other.transaction === owner.transaction,
    )
    if (known !== undefined) return known.loader
    const own = { ...owner, loader: derive({ batches: {} }) }
    loaders.push(own)
    // Before the loader's own: what is asked while it sends makes another tick, and another loader.
    process.nextTick(() => (loaders = loaders.filter((other) => other !== own)))
    return own.loader
  }
  return derive({ request: (params: unknown) => ownLoader().request(params) })
}
