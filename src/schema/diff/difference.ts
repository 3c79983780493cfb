/** What differs between two schemas, for people and as SQL. */

/** One thing in which the first schema is not as the second. */
export interface Difference {
  /** `table orders`, `column orders.note`. */
  readonly object: string
  /** What the first schema is like: it lacks the object, has one too many, or has another. */
  readonly is: 'missing' | 'extra' | 'different'
  /** Of one that is different: in what, as the facts of a description name it, with both values. */
  readonly aspects?: Readonly<Record<string, { readonly is: unknown; readonly wants: unknown }>>
}

/** A statement that brings the first schema nearer to the second. */
export interface Repair {
  /** Run it behind `insideSchema`, through `forSchema`, each statement by itself. */
  readonly sql: string
  /** What is lost by it. */
  readonly loses?: string
}

export interface SchemaDiff {
  readonly differences: readonly Difference[]
  /** In order. What `unsupported` names is not among them. */
  readonly statements: readonly Repair[]
  /** Differences that no statement is known for. */
  readonly unsupported: readonly string[]
}

/** A difference as a line: `column orders.note: type is text, not varchar(20)`. */
export function tellDifference({ object, is, aspects = {} }: Difference): string {
  if (is === 'missing') return `${object} is missing`
  if (is === 'extra') return `${object} is there only`
  const words = Object.entries(aspects).map(
    ([aspect, each]) => `${aspect} is ${tellValue(each.is)}, not ${tellValue(each.wants)}`,
  )
  return `${object}: ${words.join('; ')}`
}

/** Texts of functions and views are shown by what they begin with. */
const MOST = 120

function tellValue(value: unknown): string {
  if (value === undefined) return 'absent'
  const text = (typeof value === 'string' ? value : JSON.stringify(value)).replaceAll(/\s+/g, ' ').trim()
  return text.length > MOST ? `${text.slice(0, MOST)}…` : text
}
