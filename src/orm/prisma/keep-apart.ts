/** Keeps the queries of a PrismaClient apart by tenant, which it would gather into one from whoever asks at the moment. */
import type { TenantContext } from '../../core/context.ts'
import { TenantryError } from '../../core/errors.ts'

/** Runs a function where a query belongs. */
export type Enter = <T>(fn: () => T) => T | Promise<T>

/** Each query of a batch is told of it, and gets the same lock. */
interface Batch {
  readonly lock?: object
}
type MakePromise = (run: (batch?: Batch) => unknown, operation?: unknown) => unknown

interface Loader {
  readonly batches: object
  readonly tickActive: boolean
  request(params: unknown): Promise<unknown>
}
interface RequestHandler {
  dataloader: Loader
  request(params: unknown): Promise<unknown>
}
/** What is used of a PrismaClient (7.10); none of it is documented, and all of it is looked for first. */
interface Internals {
  _createPrismaPromise: MakePromise
  readonly _requestHandler: RequestHandler
}

/** A client whose tenants are kept apart. */
export interface KeptApart {
  /** In place of `_createPrismaPromise`, for queries that belong where `enter` leads. */
  queriesIn(enter: Enter): MakePromise
}

/**
 * A query belongs to the tenant in whose context it was made, though Prisma begins it only when it is awaited. And the
 * loader of a client gathers `findUnique` queries and batches of one tick, and sends all of them from where the first was
 * made: two tenants would read each other's rows (seen with 7.10). So each tenant gets a loader of its own.
 *
 * @throws TNY241 where the client is not made as expected.
 */
export function keepApart(prisma: object, context: TenantContext): KeptApart {
  const client = internalsOf(prisma)
  const handler = client._requestHandler
  const make = client._createPrismaPromise
  const requireOneTenant = createBatchCheck(context)

  function owned(enterNow: () => Enter): MakePromise {
    return (run, operation) => {
      const enter = enterNow()
      return make((batch) => {
        return enter(() => {
          if (batch?.lock !== undefined) requireOneTenant(batch.lock)
          return run(batch)
        })
      }, operation)
    }
  }
  client._createPrismaPromise = owned(() =>
    context.find() === undefined ? (fn) => fn() : context.bind((fn) => fn()),
  )
  handler.dataloader = loaderByTenant(handler.dataloader, context)
  const request = handler.request.bind(handler)
  handler.request = (params) => request(params).catch((error: unknown) => Promise.reject(withCause(error)))
  return { queriesIn: (enter) => owned(() => enter) }
}

function internalsOf(prisma: object): Internals {
  const client = (prisma as { _originalClient?: Partial<Internals> })._originalClient
  const loader = client?._requestHandler?.dataloader
  const known =
    typeof client?._createPrismaPromise === 'function' &&
    typeof client._requestHandler?.request === 'function' &&
    typeof loader?.request === 'function' &&
    typeof loader.batches === 'object' &&
    loader.tickActive === false
  if (known) return client as Internals
  throw new TenantryError('TNY241', {
    params: { orm: 'PrismaClient', reason: 'its parts are not those of Prisma 7' },
  })
}

/** Asked before a batch is sent: while one of its queries is missing, Prisma waits with the others. @throws TNY242 */
function createBatchCheck(context: TenantContext): (lock: object) => void {
  const owners = new WeakMap<object, string | undefined>()
  return (lock) => {
    const id = context.find()?.id
    if (owners.has(lock) && owners.get(lock) !== id) throw new TenantryError('TNY242')
    owners.set(lock, id)
  }
}

function loaderByTenant(loader: Loader, context: TenantContext): Loader {
  /** Those of this tick. By signal too: of two requests of a tenant, only one may have been given up. */
  const loaders = new Map<string, Map<AbortSignal | undefined, Loader>>()
  const derive = (parts: object): Loader =>
    Object.assign(Object.create(Object.getPrototypeOf(loader) as object) as Loader, loader, parts)

  function loaderOf(id: string, signal: AbortSignal | undefined): Loader {
    const ofTenant = loaders.get(id) ?? new Map<AbortSignal | undefined, Loader>()
    const known = ofTenant.get(signal)
    if (known !== undefined) return known
    const own = derive({ batches: {} })
    loaders.set(id, ofTenant.set(signal, own))
    // Before the loader's own: what is asked while it sends makes another tick, and another loader.
    process.nextTick(() => {
      ofTenant.delete(signal)
      if (ofTenant.size === 0) loaders.delete(id)
    })
    return own
  }
  return derive({
    request: (params: unknown) => loaderOf(context.find()?.id ?? '', context.signal()).request(params),
  })
}

/** Prisma's own error class has no cause, but what the adapter gave it as `meta`. */
function withCause(error: unknown): unknown {
  const cause = (error as { meta?: { cause?: unknown } } | undefined)?.meta?.cause
  return cause instanceof TenantryError ? Object.assign(error as object, { cause }) : error
}
