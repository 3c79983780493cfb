/** What stands between a test's tenancy and its connections: it tells who sends what, and keeps a test in one transaction. */
import type { StatementGuard } from '../core/guard.ts'
import type { Connections, Link } from '../gateway/gateway.ts'
import type { Asker } from '../gateway/pool/connection-pool.ts'
import { LastingTransaction } from './lasting-transaction.ts'
import { TestLink } from './test-link.ts'
import { WatchedLink, type Watcher } from './watched-link.ts'

/** The connections of a test's tenancy. */
export class TestConnections implements Connections {
  readonly #pool: Connections
  readonly #guard: StatementGuard
  readonly #watchers = new Set<Watcher>()
  /** In the transaction of a test: one for each database and login. */
  #test: Map<string, LastingTransaction> | undefined

  constructor(pool: Connections, guard: StatementGuard) {
    this.#pool = pool
    this.#guard = guard
  }

  get max(): number {
    return this.#pool.max
  }
  get total(): number {
    return this.#pool.total
  }
  get idle(): number {
    return this.#pool.idle
  }
  get waiting(): number {
    return this.#pool.waiting
  }
  get inTransaction(): boolean {
    return this.#test !== undefined
  }

  tryAcquire(asker?: Asker): Link | undefined {
    if (this.#test !== undefined) return this.#watched(this.#testLink(this.#test, asker))
    const link = this.#pool.tryAcquire(asker)
    return link === undefined ? undefined : this.#watched(link)
  }

  async acquire(asker?: Asker, signal?: AbortSignal): Promise<Link> {
    return this.tryAcquire(asker) ?? this.#watched(await this.#pool.acquire(asker, signal))
  }

  release(link: Link): void {
    const { inner } = link as WatchedLink
    if (inner instanceof TestLink) inner.leave()
    else this.#pool.release(inner)
  }

  /** Tells of each statement, until the returned function is called. */
  watch(watcher: Watcher): () => void {
    this.#watchers.add(watcher)
    return () => this.#watchers.delete(watcher)
  }

  /** From now on all statements are in one transaction. */
  begin(): void {
    this.#test = new Map()
  }

  /** Undoes them all. */
  async rollback(): Promise<void> {
    const test = this.#test
    this.#test = undefined
    await Promise.all([...(test?.values() ?? [])].map((each) => each.end()))
  }

  #testLink(test: Map<string, LastingTransaction>, asker: Asker | undefined): TestLink {
    const place = `${asker?.database ?? ''}\0${asker?.login?.user ?? ''}`
    let transaction = test.get(place)
    if (transaction === undefined) {
      const pool = this.#pool
      transaction = new LastingTransaction(
        async () => pool.tryAcquire(asker) ?? (await pool.acquire(asker)),
        (link) => pool.release(link),
      )
      test.set(place, transaction)
    }
    return new TestLink(transaction, this.#guard)
  }

  #watched(link: Link): Link {
    return new WatchedLink(link, (seen) => {
      for (const watcher of this.#watchers) watcher(seen)
    })
  }
}
