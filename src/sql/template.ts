/** SQL as a tagged template: texts that were written in the program, and values that never become part of them. */
import { TenantryError } from '../core/errors.ts'
import { quoteIdent } from './quote.ts'

/** Values of one statement that PostgreSQL's protocol can count. */
const MOST_VALUES = 65_535

/**
 * A piece of SQL, or all of a statement. Its values stay values: they travel beside the text. It has the shape of
 * node-postgres' query configuration, so that any client takes it: `client.query(fragment)`.
 */
export class SqlFragment {
  readonly #strings: readonly string[]
  readonly #parts: readonly unknown[]
  #statement: { readonly text: string; readonly values: readonly unknown[] } | undefined

  /**
   * @param strings one more than there are parts; what is in them is sent as it is.
   * @param parts values, and fragments to be put in.
   * @throws TNY235 for a part that is neither
   */
  constructor(strings: readonly string[], parts: readonly unknown[]) {
    for (const part of parts) requirePart(part)
    this.#strings = strings
    this.#parts = parts
  }

  /** With `$1` … for the values. @throws TNY235 where there are more of them than PostgreSQL takes */
  get text(): string {
    return this.#built().text
  }

  get values(): readonly unknown[] {
    return this.#built().values
  }

  #built(): { readonly text: string; readonly values: readonly unknown[] } {
    this.#statement ??= build(this)
    return this.#statement
  }

  /** True for what was made here, and for nothing that only looks like it: a request's JSON for one. */
  static is(value: unknown): value is SqlFragment {
    return typeof value === 'object' && value !== null && #strings in value
  }

  /** Strings and parts by turns. */
  static pieces(fragment: SqlFragment): {
    readonly strings: readonly string[]
    readonly parts: readonly unknown[]
  } {
    return { strings: fragment.#strings, parts: fragment.#parts }
  }
}

/** Without recursion: conditions are often added one by one, each around the last. */
function build(root: SqlFragment): { text: string; values: unknown[] } {
  const values: unknown[] = []
  let text = ''
  const open: ({ readonly text: string } | { readonly part: unknown })[] = [{ part: root }]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    if ('text' in next) text += next.text
    else if (SqlFragment.is(next.part)) {
      const { strings, parts } = SqlFragment.pieces(next.part)
      for (let at = strings.length - 1; at >= 0; at -= 1) {
        if (at < parts.length) open.push({ part: parts[at] })
        open.push({ text: strings[at] ?? '' })
      }
    } else {
      values.push(next.part)
      text += `$${values.length}`
    }
  }
  if (values.length > MOST_VALUES) {
    throw unbuildable(`it has ${values.length} values`, 'Send columns as arrays: select * from unnest(…).')
  }
  return { text, values }
}

function requirePart(part: unknown): void {
  if (SqlFragment.is(part)) return
  if (part === undefined) throw unbuildable('a value is undefined', 'Use null for NULL.')
  if (typeof part === 'function' || typeof part === 'symbol') {
    throw unbuildable(`a value is a ${typeof part}`, 'Call it, or leave it out.')
  }
  if (Array.isArray(part)) {
    if (part.some((item) => SqlFragment.is(item))) {
      throw unbuildable('a value is an array of SQL', 'Join it: sql.join(fragments).')
    }
  } else if (typeof part === 'object' && part !== null && 'then' in part) {
    throw unbuildable('a value is a promise', 'Await it first.')
  }
}

function unbuildable(reason: string, advice: string): TenantryError {
  return new TenantryError('TNY235', { params: { reason, advice } })
}

/** What builds fragments; the same on every tag. */
export interface SqlBuilders {
  /**
   * A name, quoted; several are joined by dots: `sql.ident('public', 'plans')`. Any text becomes a name and nothing else:
   * whether it may be that name is for the caller to know. @throws TNY235 for what cannot be a name
   */
  ident(...names: readonly [string, ...string[]]): SqlFragment
  /** Fragments and values in a row, by a comma or by what is given. @throws TNY235 where there are none */
  join(items: readonly unknown[], separator?: SqlFragment): SqlFragment
  /**
   * Values in parentheses: `where id in ${sql.list(ids)}`. Each length is another statement to PostgreSQL; one and the
   * same, and right for none at all too, is `where id = any(${ids})`. @throws TNY235 where there are none
   */
  list(values: readonly unknown[]): SqlFragment
}

/** `sql` without a connection: builds fragments for the tags that have one. */
export interface SqlBuilder extends SqlBuilders {
  (strings: TemplateStringsArray, ...parts: readonly unknown[]): SqlFragment
}

/** Reads what a tag was called with. @throws TNY235 where it was called as a function */
export function readTemplate(strings: TemplateStringsArray): readonly string[] {
  // Typed callers cannot, but a text from elsewhere would be sent as SQL.
  if (!Array.isArray(strings) || !Array.isArray(strings.raw)) {
    throw unbuildable('it was called as a function', 'Write it as a template: sql`select …`.')
  }
  if (strings.some((text) => text === undefined)) {
    throw unbuildable('the template has an escape that JavaScript does not know', 'Double the backslash.')
  }
  return strings
}

const COMMA = new SqlFragment([', '], [])

/** What every tag has beside itself. */
export const BUILDERS: SqlBuilders = {
  ident(...names) {
    try {
      return new SqlFragment([names.map((name) => quoteIdent(name)).join('.')], [])
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error)
      throw unbuildable(reason, 'Check names against those that you know before they get here.')
    }
  },
  join(items, separator = COMMA) {
    if (items.length === 0)
      throw unbuildable('there is nothing to join', 'Leave that part of the statement out.')
    const parts = items.flatMap((item, at) => (at === 0 ? [item] : [separator, item]))
    return new SqlFragment(
      Array.from({ length: parts.length + 1 }, () => ''),
      parts,
    )
  },
  list(values) {
    if (values.length === 0)
      throw unbuildable('the list is empty', 'Use = any(array), which holds for none too.')
    return new SqlFragment(['(', ')'], [BUILDERS.join(values)])
  },
}

/**
 * Builds SQL from templates; what is put in becomes a value, or is itself built by `sql`.
 * @example
 * const paid = sql`amount > ${10} and status = ${'paid'}`
 * await tenancy.sql`select * from orders where ${paid}`
 */
export const sql: SqlBuilder = Object.assign(
  (strings: TemplateStringsArray, ...parts: readonly unknown[]) =>
    new SqlFragment(readTemplate(strings), parts),
  BUILDERS,
)
