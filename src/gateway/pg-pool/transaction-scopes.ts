/** Which transaction the running code is in: that of the function around it, carried by AsyncLocalStorage. */
import { AsyncLocalStorage } from 'node:async_hooks'

/**
 * What a statement does that is made inside the function of a transaction, for the same tenant, but not by its client.
 * `join`: it is part of the transaction. `refuse`: it fails with TNY230. `separate`: it runs beside the transaction, on
 * another connection, and neither sees nor shares what was written there.
 */
export type TransactionPolicy = 'join' | 'refuse' | 'separate'

/** What may begin a transaction: a client. */
export interface Beginner {
  readonly isInTransaction: boolean
  /** Another one for each of its transactions. */
  readonly nesting: object
}

/** One function that runs a transaction. It has a client from BEGIN on. */
interface Scope<Client> {
  readonly outer: Scope<Client> | undefined
  client: Client | undefined
  /** Which of its client's transactions it is: a client may be kept, and begin another one. */
  transaction: object | undefined
}

/** The scopes of one tenancy. */
export class TransactionScopes<Client extends Beginner> {
  readonly policy: TransactionPolicy
  /** How long a statement waits for its turn in a transaction that another one holds, in milliseconds. */
  readonly waitMs: number
  readonly #storage = new AsyncLocalStorage<Scope<Client> | undefined>()

  constructor(policy: TransactionPolicy, waitMs: number) {
    this.policy = policy
    this.waitMs = waitMs
  }

  /** Runs `fn`. The first client that begins a transaction in it is from then on that of everything `fn` calls. */
  around<T>(fn: () => T): T {
    if (this.policy === 'separate') return fn()
    let outer = this.#storage.getStore()
    // Work that plans its next turn inside of a transaction would else hold all that went before, for ever.
    while (outer?.client !== undefined && !isOpen(outer)) outer = outer.outer
    return this.#storage.run({ outer, client: undefined, transaction: undefined }, fn)
  }

  /** Runs `fn` outside of every transaction. */
  outside<T>(fn: () => T): T {
    return this.#storage.run(undefined, fn)
  }

  /** Ties `fn` to the present scope: whoever calls it may be in another one. */
  bind<A extends unknown[], R>(fn: (...args: A) => R): (...args: A) => R {
    const scope = this.#storage.getStore()
    return (...args) => this.#storage.run(scope, () => fn(...args))
  }

  /** A client begins, here. True where it is the one that the scope was waiting for. */
  began(client: Client): boolean {
    const scope = this.#storage.getStore()
    if (scope === undefined) return false
    scope.client ??= client
    if (scope.client !== client) return false
    scope.transaction = client.nesting
    return true
  }

  /** The clients of the transactions around the running code that are open, the innermost first; undefined: none. */
  open(): readonly Client[] | undefined {
    let clients: Client[] | undefined
    for (let scope = this.#storage.getStore(); scope !== undefined; scope = scope.outer) {
      if (scope.client !== undefined && isOpen(scope)) (clients ??= []).push(scope.client)
    }
    return clients
  }

  /** Whether the running code is inside of this client's transaction. */
  isInside(client: Client): boolean {
    for (let scope = this.#storage.getStore(); scope !== undefined; scope = scope.outer) {
      if (scope.client === client) return true
    }
    return false
  }
}

function isOpen({ client, transaction }: Scope<Beginner>): boolean {
  return client?.isInTransaction === true && client.nesting === transaction
}
