/** One nested transaction at a time: what ran beside it would be in its savepoint, and be undone with it. */
import { TenantryError } from '../../core/errors.ts'
import type { Beginner, TransactionScopes } from './transaction-scopes.ts'

/** The nested transaction that is open. */
interface Holder {
  readonly client: Beginner
  /** Whether a function holds it: then everything else can wait for its end without waiting for itself. */
  readonly scoped: boolean
  readonly ended: Promise<void>
}

/** The transactions nested in one client's transaction. */
export class Nesting {
  #holder: Holder | undefined

  /** Whether a nested transaction is open. */
  get isOpen(): boolean {
    return this.#holder !== undefined
  }

  /** Runs `fn` when no nested transaction is open, or at once where the running code is inside of it. @throws TNY233 */
  async beside<T>(scopes: TransactionScopes<Beginner>, fn: () => Promise<T>): Promise<T> {
    for (let holder = this.#holder; holder?.scoped === true; holder = this.#holder) {
      if (scopes.isInside(holder.client)) break
      await inTime(holder.ended, scopes.waitMs)
    }
    return fn()
  }

  /** Resolves when none is open. @throws TNY233 where the one that is open is nobody's function, or does not end. */
  async closed(scopes: TransactionScopes<Beginner>): Promise<void> {
    for (let holder = this.#holder; holder !== undefined; holder = this.#holder) {
      if (!holder.scoped || scopes.isInside(holder.client)) throw busy(0)
      await inTime(holder.ended, scopes.waitMs)
    }
  }

  /**
   * Opens one, when no other is open. The returned function ends it.
   * @throws TNY233 where the other one is nobody's function, or does not end.
   */
  async enter(scopes: TransactionScopes<Beginner>, client: Beginner, scoped: boolean): Promise<() => void> {
    // Looked at again, in the same turn of the loop: of two that waited one may have entered.
    while (this.isOpen) await this.closed(scopes)
    const { promise: ended, resolve } = Promise.withResolvers<void>()
    this.#holder = { client, scoped, ended }
    return () => {
      this.#holder = undefined
      resolve()
    }
  }
}

/** @throws TNY233 where it does not settle in time. */
export async function inTime<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(busy(ms)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

function busy(ms: number): TenantryError {
  return new TenantryError('TNY233', { params: { ms } })
}
