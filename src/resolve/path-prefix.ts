/** Tenants by the path: `/t/acme/orders` names the tenant `acme`, and routers see `/orders`. */
import { TenantryError } from '../core/errors.ts'
import { keyProblem } from '../core/tenant.ts'
import { decoded, splitTarget } from './request-path.ts'
import type { Resolver } from './resolver.ts'

/** Where tenants stand in a path. */
export interface PathPrefixOptions {
  /** What stands before the key: `/t`, or several segments such as `/api/t`. */
  readonly prefix: string
}

/** What a target says: a tenant and the target that is left for routers, or why it is refused. */
type Reading = { readonly key: string; readonly routed: string } | { readonly refusal: string }

const PREFIX = /^(\/[\w~-]+)+$/

/** What no plain path holds: another beginning, escapes, parameters, and what makes a path shorter or begins something else. */
const ODD = /^[^/]|[%\\;#\x00-\x20\x7f]|\/\/|\/\./

/** What programs do to a path before they look at it, each or none of them, in whatever order. */
const HABITS: readonly ((path: string) => string)[] = [
  decoded,
  // WHATWG URL.
  (path) => path.replaceAll(/[\x00-\x20\x7f]/g, ''),
  (path) => path.replaceAll('\\', '/'),
  (path) => path.split(/[?#]/, 1)[0] as string,
  // Java servers, to which `..;` is a step upwards.
  (path) => path.replaceAll(/[;?#][^/]*/g, ''),
  (path) => path.replaceAll(/\/{2,}/g, '/'),
]

/** A path with an escape, a parameter and two slashes has eight. */
const MAX_READINGS = 64
/** Of all readings, in characters: one path of 15,000 could have 64 long ones, and strangers send paths. */
const MAX_TEXT = 65_536

/**
 * Takes the path segment behind a prefix as the tenant's key. Routers see the rest: `/t/acme/orders?page=2` is
 * `/orders?page=2` to them, and `/t/acme` is `/`. Paths without the prefix are `'none'`. A path that some program on the
 * way could read as another tenant's, or as a tenant's at all, is refused: `//t/acme`, `/T/acme`, `/t/acme/../globex`.
 *
 * @throws TNY002 where the prefix is not a plain path
 * @example
 * pathPrefix({ prefix: '/t' })
 */
export function pathPrefix(options: PathPrefixOptions): Resolver {
  const { prefix } = options
  if (!PREFIX.test(prefix)) {
    const reason = `the prefix ${JSON.stringify(prefix)} is not a plain path such as '/t'`
    throw new TenantryError('TNY002', { params: { reason } })
  }
  const start = `${prefix}/`
  const folded = prefix.toLowerCase().slice(1).split('/')

  /** Whether some program might read the path as the prefix and something behind it. */
  function resembles(path: string): boolean {
    if (!ODD.test(path))
      return path.length > start.length && path.toLowerCase().startsWith(start.toLowerCase())
    const isNear = ({ segments }: Walk): boolean => {
      const named = segments.filter((segment) => segment !== '')
      return named.length > folded.length && folded.every((part, at) => part === named[at]?.toLowerCase())
    }
    return readings(path)?.some(isNear) ?? true
  }

  function read(target: string): Reading | undefined {
    const [origin, path, query] = splitTarget(target)
    if (!path.startsWith(start) || path === start) {
      return resembles(path) ? { refusal: `its path is near to ${start}…, and not spelled so` } : undefined
    }
    const slash = path.indexOf('/', start.length)
    const key = slash === -1 ? path.slice(start.length) : path.slice(start.length, slash)
    const problem = keyProblem(key)
    if (problem !== undefined) return { refusal: problem }

    const rest = slash === -1 ? '/' : path.slice(slash)
    // The key is plain here, so that only steps upwards could lead to another one.
    if (ODD.test(rest) && !staysInside(rest)) return { refusal: 'its path can be read in two ways' }
    // Whoever strips a second time would find a second tenant.
    if (resembles(rest)) return { refusal: 'its path names two tenants' }
    return { key, routed: origin + rest + query }
  }

  return Object.assign(
    ({ target }: { readonly target: string }) => {
      const reading = read(target)
      if (reading === undefined) return 'none' as const
      if ('refusal' in reading) throw new TenantryError('TNY102', { params: { reason: reading.refusal } })
      return { key: reading.key }
    },
    {
      rewrite(target: string) {
        const reading = read(target)
        return reading !== undefined && 'routed' in reading ? reading.routed : target
      },
    },
  )
}

/** Where a path leads, and whether it left its root on the way. */
interface Walk {
  readonly segments: readonly string[]
  readonly climbs: boolean
}

/** All that a path can be taken for; `undefined` where that is more than anybody writes by accident. */
function readings(path: string): Walk[] | undefined {
  const texts = new Set([path])
  let length = 0
  // The set grows while it is walked through; every habit makes a path shorter, or leaves it.
  for (const text of texts) {
    length += text.length
    for (const habit of HABITS) texts.add(habit(text))
    if (texts.size > MAX_READINGS || length > MAX_TEXT) return undefined
  }
  return [...texts].map(walk)
}

function walk(text: string): Walk {
  const segments: string[] = []
  let climbs = false
  for (const segment of text.replace(/^\//, '').split('/')) {
    if (segment === '..') climbs = segments.pop() === undefined || climbs
    else if (segment !== '.') segments.push(segment)
  }
  return { segments, climbs }
}

/** What routers get begins with one slash (two begin a host in a URL), and does not leave the tenant upwards. */
function staysInside(rest: string): boolean {
  return (
    !/^\/[\x00-\x20\x7f]*[/\\]|[\\#]/.test(rest) && readings(rest)?.every(({ climbs }) => !climbs) === true
  )
}
