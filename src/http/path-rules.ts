/** Paths with a rule of their own (`except`, `central`), compared so that no spelling slips in or out. */
import { TenantryError } from '../core/errors.ts'
import { decoded, pathOf } from '../resolve/request-path.ts'

/** A set of paths, asked in the two directions in which a wrong answer can hurt. */
export interface PathRules {
  /** True only for a plainly spelled path of the set: to serve it without a tenant is safe. */
  grants(target: string): boolean
  /** True for any spelling that some router might take for a path of the set. */
  resembles(target: string): boolean
}

/** `//`, `\`, `.` and `..` segments, escapes of these, and broken escapes: what routers read differently. */
const DEVIOUS = /\/\/|\\|#|\/\.{1,2}(?:\/|$)|%(?:2e|2f|5c|25|00)|%(?![0-9a-f]{2})/i

/** A path that everybody reads alike, as nearly all are: to take it apart costs more than everything else here. */
const PLAIN = /^(\/[\w~-][\w.~-]*)+\/?$/

/** A path as it stands in a request line: printable ASCII, here without `*` and `?`. */
const PATTERN = /^\/[!-)+->@-~]*$/

/**
 * Compiles paths: exact ones (`/healthz`), and `/webhooks/*` for `/webhooks` and everything below it. Like
 * Express, the comparison ignores case and one slash at the end.
 *
 * @throws TNY002 where a pattern has another form
 */
export function pathRules(option: string, patterns: readonly string[] = []): PathRules {
  for (const pattern of patterns) {
    const stem = pattern.endsWith('/*') ? pattern.slice(0, -1) : pattern
    if (!PATTERN.test(stem) || DEVIOUS.test(stem)) throw invalidPattern(option, pattern)
  }
  if (patterns.length === 0) return { grants: () => false, resembles: () => false }
  const isListed = matcher(patterns)
  const isListedDecoded = matcher(patterns.map(decoded))

  return {
    grants(target) {
      const path = pathOf(target)
      return isListed(path) && path.startsWith('/') && !DEVIOUS.test(path)
    },
    resembles(target) {
      const path = pathOf(target)
      return isListedDecoded(PLAIN.test(path) ? path : plain(path))
    },
  }
}

function matcher(patterns: readonly string[]): (path: string) => boolean {
  const below = patterns.filter((pattern) => pattern.endsWith('/*'))
  const exact = new Set(patterns.filter((pattern) => !below.includes(pattern)).map(fold))
  const prefixes = below.map((pattern) => pattern.slice(0, -1).toLowerCase())
  return (path) => {
    const folded = fold(path)
    return exact.has(folded) || prefixes.some((prefix) => `${folded}/`.startsWith(prefix))
  }
}

function invalidPattern(option: string, pattern: string): TenantryError {
  const reason = `${option} holds ${JSON.stringify(pattern)}; write '/path', or '/path/*' for all that is below it`
  return new TenantryError('TNY002', { params: { reason } })
}

function fold(path: string): string {
  const lower = path.toLowerCase()
  return lower.length > 1 && lower.endsWith('/') ? lower.slice(0, -1) : lower
}

/** What the most forgiving router would make of a path: decoded, without `//`, `.`, `..` and fragment. */
function plain(path: string): string {
  const segments: string[] = []
  const text = decoded(path).replaceAll('\\', '/').split('#', 1)[0] as string
  for (const segment of text.split('/')) {
    if (segment === '..') segments.pop()
    else if (segment !== '' && segment !== '.') segments.push(segment)
  }
  return `/${segments.join('/')}`
}
