/** Which statements a `-- tenantry: ignore` is for. */
import type { IgnoredRule, Migration } from '../files/migration.ts'

/** A statement's place, and that of the DO block that it stands in. */
interface Place {
  readonly line: number | undefined
  readonly inside: unknown
}

/**
 * Directly above a statement an ignore is for that one; inside of one, for it; at the head of the file, with an empty line
 * below or above the marker, for all of them.
 */
export function coverOf(
  { up, line: firstLine, lines }: Pick<Migration, 'up' | 'line' | 'lines'>,
  { line: at }: IgnoredRule,
  statements: readonly Place[],
): (place: Place) => boolean {
  // Lines of code are not those of the SQL that it gives: nothing can be told apart.
  if (lines !== undefined || at < firstLine) return () => true
  const next = statements.find(({ line = 0 }) => line > at)
  const before = statements.findLast(({ line = 0, inside }) => line <= at && inside === undefined)
  const between = up.split('\n').slice(at - firstLine + 1, (next?.line ?? at) - firstLine)
  const above = next !== undefined && between.every((text) => /^\s*--/.test(text))
  if (before === undefined && !above) return () => true
  const first = above ? next : before
  const from = first?.line ?? 0
  // The statements of a DO block lie between it and the next one.
  const end = statements.find(({ line = 0, inside }) => line > from && inside === undefined)?.line ?? Infinity
  return ({ line = 0 }) => line >= from && line < (first?.inside === undefined ? end : from + 1)
}
