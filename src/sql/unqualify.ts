/** Takes one schema's name away from in front of what it qualifies, and touches nothing else of a text of SQL. */

/** A token that no identifier of ours can begin inside of; comments of `/*` nest, and are read by hand. */
const TOKEN = new RegExp(
  [
    // An escape string goes on after a line break, still with escapes.
    /[eE]'(?:[^'\\]|\\[^]|''|'(?:[ \t\f\v]|--[^\n\r]*)*[\n\r](?:\s|--[^\n\r]*[\n\r])*')*(?:'|$)/,
    /[uU]&"(?:[^"]|"")*(?:"|$)/,
    /'(?:[^']|'')*(?:'|$)/,
    /"(?:[^"]|"")*(?:"|$)/,
    /--[^\n\r]*/,
    /\/\*/,
    // Words whole, or their last letter would make an escape string of a plain one.
    /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/,
    // Numbers with their dots, after which a name is no part of another.
    /0[xXoObB]\w*|(?:\d[\d_]*(?:\.(?!\.)[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?/,
    /\$(?<tag>(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?)\$(?:[^]*?\$\k<tag>\$|[^]*$)/,
    /\$\d+/,
    /\.\./,
    /[^]/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'gy',
)
const COMMENT_EDGE = /\/\*|\*\//g
/** White space and comments may stand between a schema's name and its dot; Prisma writes none. */
const DOT = /\s*\.(?![.\d])/y

/**
 * `"s"."orders"` becomes `"orders"`, wherever `"s"` stands quoted, first in its name and outside of strings and comments.
 *
 * @param schema must be written as PostgreSQL would fold it: what stands between the quotes.
 * @example
 * unqualify(`select "s"."orders"."id" from "s"."orders" where note = '"s".'`, 's')
 * // select "orders"."id" from "orders" where note = '"s".'
 */
export function unqualify(text: string, schema: string): string {
  const qualifier = `"${schema.replaceAll('"', '""')}"`
  if (!text.includes(qualifier)) return text
  let result = ''
  let taken = 0
  let afterDot = false
  TOKEN.lastIndex = 0
  while (TOKEN.lastIndex < text.length) {
    const start = TOKEN.lastIndex
    const token = TOKEN.exec(text)?.[0] ?? ''
    if (token === '/*') {
      TOKEN.lastIndex = endOfComment(text, start)
      continue
    }
    if (/^\s/.test(token) || token.startsWith('--')) continue
    DOT.lastIndex = TOKEN.lastIndex
    if (token === qualifier && !afterDot && DOT.test(text)) {
      result += text.slice(taken, start)
      taken = TOKEN.lastIndex = DOT.lastIndex
      afterDot = true
    } else afterDot = token === '.'
  }
  return result + text.slice(taken)
}

function endOfComment(text: string, start: number): number {
  COMMENT_EDGE.lastIndex = start
  let depth = 0
  for (let edge = COMMENT_EDGE.exec(text); edge !== null; edge = COMMENT_EDGE.exec(text)) {
    depth += edge[0] === '/*' ? 1 : -1
    if (depth === 0) return COMMENT_EDGE.lastIndex
  }
  return text.length
}
