/** Keeps the queries of a PrismaClient apart by tenant, which it would gather into one from whoever asks at the moment. */
import type { TenantContext } from '../../core/context.ts'
import { TenantryError } from '../../core/errors.ts'
import { loaderByTenant, type PrismaLoader } from './loader-by-tenant.ts'

/** Runs a function where a query belongs. */
export type Enter = <T>(fn: () => T) => T | Promise<T>

/** Where the queries of the client itself belong. */
export interface Surroundings {
  readonly context: TenantContext
  /** Beside the context of the moment that a query was made in. */
  readonly enter: Enter
  /** Around each transaction: what its function calls is part of it. */
  readonly scope: <T>(fn: () => T) => T
  /** The transaction of the moment. */
  readonly transaction: () => object | undefined
}

/** A client whose tenants are kept apart. */
export interface KeptApart {
  /** The client again, with queries and transactions that belong where `enter` leads. */
  viewIn(enter: Enter): object
}

/** Each query of a batch is told of it, and gets the same lock. */
interface Batch {
  readonly lock?: object
}
type MakePromise = (run: (batch?: Batch) => unknown, operation?: unknown) => unknown
type Transact = (this: unknown, input: unknown, options?: unknown) => unknown

/** What is used of a PrismaClient (7.10); but for `$…` undocumented, and all of it is looked for first. */
interface Internals {
  $transaction: Transact
  _createPrismaPromise: MakePromise
  readonly _requestHandler: {
    dataloader: PrismaLoader
    request(params: unknown): Promise<unknown>
  }
}

/**
 * A query belongs to the tenant in whose context it was made, though Prisma begins it only when it is awaited; and one
 * tenant's queries are not gathered with another's.
 *
 * @throws TNY241 where the client is not made as expected.
 */
export function keepApart(prisma: object, surroundings: Surroundings): KeptApart {
  const { context, enter, scope, transaction } = surroundings
  const client = internalsOf(prisma)
  const { _createPrismaPromise: make, $transaction: transact, _requestHandler: handler } = client
  const requireOneTenant = createBatchCheck(context)

  function queriesIn(enterNow: () => Enter): MakePromise {
    return (run, operation) => {
      const enterThere = enterNow()
      return make((batch) => {
        return enterThere(() => {
          if (batch?.lock !== undefined) requireOneTenant(batch.lock)
          return run(batch)
        })
      }, operation)
    }
  }
  function transactionsIn(enterThere: Enter): Transact {
    return function (input, options) {
      const around = context.find()
      // The function is the caller's: what it does beside `tx` is for the tenant that the caller acts for.
      const callback =
        typeof input === 'function'
          ? (tx: unknown) => {
              const call = (): unknown => enter(() => input(tx) as unknown)
              return around === undefined ? context.exit(call) : context.run(around, call)
            }
          : input
      return scope(() => enterThere(() => Reflect.apply(transact, this, [callback, options])))
    }
  }
  client._createPrismaPromise = queriesIn(() => {
    const bound = context.find() === undefined ? enter : context.bind(enter)
    return (fn) => bound(fn) as never
  })
  client.$transaction = transactionsIn(enter)
  handler.dataloader = loaderByTenant(handler.dataloader, context, transaction)
  const request = handler.request.bind(handler)
  handler.request = (params) => request(params).catch((error: unknown) => Promise.reject(withCause(error)))

  return {
    viewIn(enterThere) {
      const view = (prisma as { $extends(extension: object): object }).$extends({ name: 'tenantry' })
      return Object.assign(view, {
        _createPrismaPromise: queriesIn(() => enterThere),
        $transaction: transactionsIn(enterThere),
      })
    },
  }
}

function internalsOf(prisma: object): Internals {
  const client = (prisma as { _originalClient?: Partial<Internals> })._originalClient
  const loader = client?._requestHandler?.dataloader
  const known =
    typeof client?._createPrismaPromise === 'function' &&
    typeof client.$transaction === 'function' &&
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

/** Prisma's own error class has no cause, but what the adapter gave it as `meta`. */
function withCause(error: unknown): unknown {
  const cause = (error as { meta?: { cause?: unknown } } | undefined)?.meta?.cause
  return cause instanceof TenantryError ? Object.assign(error as object, { cause }) : error
}
