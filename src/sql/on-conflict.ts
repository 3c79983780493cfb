/** Completes ON CONFLICT (…) with `tenant_id`, by which shared tables tell tenants apart. */
import type { SqlParser, TreeFields } from './parser.ts'

/** The column that leads every unique constraint of a shared table. */
const TENANT_COLUMN = 'tenant_id'

/** Texts without the word need no parser. Keywords are ASCII, and cannot be escaped. */
const CANDIDATE = /conflict/i

/**
 * The same text with `tenant_id` added to the columns of every ON CONFLICT (…) of an INSERT, wherever in the statement
 * it stands. What infers no columns (ON CONSTRAINT, DO NOTHING alone), names `tenant_id` itself, or belongs to a table
 * named with its schema (one that users share on purpose) stays as it is.
 * @throws TNY213 where it is not PostgreSQL's syntax.
 * @example
 * completeOnConflict('insert into t (a) values (1) on conflict (a) do nothing', parser)
 * // 'insert into t (a) values (1) on conflict (tenant_id, a) do nothing'
 */
export function completeOnConflict(text: string, parser: SqlParser): string {
  if (!CANDIDATE.test(text)) return text
  const places = [...findPlaces(parser.parse(text), [])].sort((a, b) => a - b)
  if (places.length === 0) return text
  const bytes = Buffer.from(text)
  // The parser counts bytes, and says where the bracket opens.
  const parts = [0, ...places].map((from, index) => bytes.toString('utf8', from, places[index]))
  return parts.join(`${TENANT_COLUMN}, `)
}

function findPlaces(value: unknown, found: number[]): number[] {
  if (Array.isArray(value)) {
    for (const item of value) findPlaces(item, found)
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, child] of Object.entries(value)) {
      if (name === 'InsertStmt') {
        const place = placeOf(child as TreeFields)
        if (place !== undefined) found.push(place)
      }
      findPlaces(child, found)
    }
  }
  return found
}

interface Inference {
  readonly indexElems?: readonly { readonly IndexElem?: { readonly name?: string } }[]
  /** Of the bracket that opens the list, in bytes of UTF-8. */
  readonly location?: number
}

function placeOf(insert: TreeFields): number | undefined {
  const { schemaname } = (insert['relation'] ?? {}) as { schemaname?: string }
  const { infer } = (insert['onConflictClause'] ?? {}) as { infer?: Inference }
  const columns = infer?.indexElems
  if (schemaname !== undefined || infer?.location === undefined || columns === undefined) return undefined
  return columns.some(({ IndexElem }) => IndexElem?.name === TENANT_COLUMN) ? undefined : infer.location + 1
}
