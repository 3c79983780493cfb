/** Which statements a connection has prepared under a name, for which tenant: bounded, and never shared by two. */
import { randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'

/** A named plan takes some 14 kB of a backend, so that 300 are 4 MB (FINDINGS 22). */
const KEPT_NAMES = 300
/** Longer texts are rarely sent twice, and would be kept here and on the server. */
const LONGEST_TEXT = 10_000
/** Statements that PostgreSQL plans; others gain nothing from a name. */
const PLANNED = /^\s*(select|insert|update|delete|with|merge|values)\b/i

interface Entry {
  /** Undefined until the text comes for the second time: most texts with literals in them come once. */
  name: string | undefined
}

/**
 * Names are per tenant and text. A name that two tenants shared would run one tenant's plan against the other's types
 * (FINDINGS 8), and its plan would be made anew at each change of role.
 */
export class StatementNames {
  readonly #entries: LRUCache<string, Entry>
  readonly #closing: string[] = []
  /** Behind a pooler that nobody told us of, another connection's name must be unknown, and not another text's. */
  readonly #prefix = randomBytes(6).toString('hex')
  #count = 0

  constructor() {
    this.#entries = new LRUCache({
      max: KEPT_NAMES,
      dispose: ({ name }) => {
        if (name !== undefined) this.#closing.push(name)
      },
    })
  }

  /** The name to send this text under, or `undefined` to send it unnamed. */
  find(tenantId: string, text: string): string | undefined {
    if (text.length > LONGEST_TEXT || !PLANNED.test(text)) return undefined
    const key = keyOf(tenantId, text)
    const entry = this.#entries.get(key)
    if (entry === undefined) {
      this.#entries.set(key, { name: undefined })
      return undefined
    }
    entry.name ??= `tenantry_${this.#prefix}_${++this.#count}`
    return entry.name
  }

  /** Its plan does not fit any more, or the server does not know the name: the next time begins anew. */
  forget(tenantId: string, text: string): void {
    this.#entries.delete(keyOf(tenantId, text))
  }

  /** Names that the server may drop, each once: to be closed ahead of the next flight. */
  takeClosing(): readonly string[] {
    return this.#closing.splice(0)
  }
}

function keyOf(tenantId: string, text: string): string {
  return `${tenantId}\0${text}`
}
