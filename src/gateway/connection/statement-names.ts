/** Which statements a connection has prepared under a name, for which tenant: bounded, and never shared by two. */
import { randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { RecentUses, slotOf } from './recent-uses.ts'

/** A named plan takes some 14 kB of a backend, so that 450 are 6 MB (FINDINGS 22). */
export const KEPT_NAMES = 450
/**
 * How much oftener a text must have come than one that has a name, to get it in its place. A named statement is planned
 * anew five times before its plan is kept, so that a name which soon goes to the next one costs more than none.
 */
const OFTENER = 1
/** Texts that a process remembers to have seen. */
const KEPT_TEXTS = 5_000
/** Longer texts are rarely sent twice, and would be kept here and on the server. */
const LONGEST_TEXT = 10_000
/** Statements that PostgreSQL plans; others gain nothing from a name. */
const PLANNED = /^\s*(select|insert|update|delete|with|merge|values)\b/i

/** A column of an answer, as node-postgres describes it. */
export interface Column {
  readonly name: string
  readonly dataTypeID: number
}

/** The columns of a statement's answers. */
export interface KnownColumns {
  readonly fields: readonly Column[]
  /** What node-postgres begins each row as; never changed. */
  readonly emptyRow: object | null
}

/** A statement that has a name on one connection. */
export interface PreparedStatement {
  readonly name: string
  /** True once the server has confirmed the name. */
  ready: boolean
  /**
   * The columns of its answers; `undefined` until they were asked for, `null` where it has none. They need not be asked
   * for again: PostgreSQL refuses to run a named statement whose columns have changed (0A000).
   */
  columns: KnownColumns | null | undefined
  /** Where its uses are counted. */
  readonly slot: number
}

/** Texts that came more than once, from whichever tenant: most with literals in them come once, and gain no name. */
export class RepeatedTexts {
  readonly #texts = new LRUCache<string, true>({ max: KEPT_TEXTS })

  /** Whether it is worth a name. The first time it is not. */
  has(text: string): boolean {
    if (this.#texts.get(text) === true) return true
    if (text.length <= LONGEST_TEXT && PLANNED.test(text)) this.#texts.set(text, true)
    return false
  }
}

/**
 * Names are per tenant and text. A name that two tenants shared would run one tenant's plan against the other's types
 * (FINDINGS 8), and its plan would be made anew at each change of role.
 */
export class StatementNames {
  readonly #repeated: RepeatedTexts
  readonly #statements: LRUCache<string, PreparedStatement>
  readonly #closing: string[] = []
  readonly #uses = new RecentUses()
  /** Behind a pooler that nobody told us of, another connection's name must be unknown, and not another text's. */
  readonly #prefix = randomBytes(6).toString('hex')
  #count = 0

  /** @param repeated is shared by connections, so that a text that one has seen has a name at once on the others. */
  constructor(repeated: RepeatedTexts) {
    this.#repeated = repeated
    this.#statements = new LRUCache({
      max: KEPT_NAMES,
      dispose: ({ name, ready }) => {
        if (ready) this.#closing.push(name)
      },
    })
  }

  /**
   * @param scope the tenant, and where else than in its own schema its text looks for tables (see `Binding`).
   * @returns the named statement to send this text as, or `undefined` to send it unnamed.
   */
  find(scope: string, text: string): PreparedStatement | undefined {
    const key = keyOf(scope, text)
    const known = this.#statements.get(key)
    if (known === undefined && !this.#repeated.has(text)) return undefined
    const slot = known?.slot ?? slotOf(key)
    this.#uses.add(slot)
    if (known !== undefined || !this.#mayEnter(slot)) return known
    const name = `tenantry_${this.#prefix}_${++this.#count}`
    const statement = { name, ready: false, columns: undefined, slot }
    this.#statements.set(key, statement)
    return statement
  }

  /** Whether a text comes often enough for a name that another has now: the one that was not used for longest. */
  #mayEnter(slot: number): boolean {
    if (this.#statements.size < KEPT_NAMES) return true
    const [oldest = ''] = this.#statements.rkeys()
    const rival = this.#statements.peek(oldest)
    if (rival === undefined || this.#uses.of(slot) > this.#uses.of(rival.slot) + OFTENER) return true
    // The next text is compared with another: one that was in great use once would be in the way of all.
    this.#statements.get(oldest)
    return false
  }

  /** Its plan does not fit any more, or the server does not know the name: the next time begins anew. */
  forget(scope: string, text: string): void {
    this.#statements.delete(keyOf(scope, text))
  }

  /**
   * A schema changed: parameters keep the types for which a statement was parsed, and a comparison of such a parameter
   * with a column that has another type since may silently be wrong.
   * @param tenantId whose schema; all of them, and what they share, where undefined.
   */
  forgetAll(tenantId: string | undefined): void {
    if (tenantId === undefined) this.#statements.clear()
    else {
      const prefix = keyOf(tenantId, '')
      for (const key of this.#statements.keys()) if (key.startsWith(prefix)) this.#statements.delete(key)
    }
  }

  /** Names that the server may drop, each once: to be closed ahead of the next flight. */
  takeClosing(): readonly string[] {
    return this.#closing.length === 0 ? NONE : this.#closing.splice(0)
  }
}

const NONE: readonly string[] = []

function keyOf(scope: string, text: string): string {
  return `${scope}\0${text}`
}
