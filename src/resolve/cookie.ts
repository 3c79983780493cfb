/** Tenants by cookie, for sites on which people switch between the accounts that they belong to. */
import { TenantryError } from '../core/errors.ts'
import type { ResolvableRequest } from './resolvable-request.ts'
import type { Resolution, Resolver } from './resolver.ts'
import { keyOrId } from './resolver.ts'

/** What `cookie` may be told beside the name. */
export interface CookieOptions {
  /**
   * Takes the signature off a value, its percent escapes being decoded already. Whatever is no text (`undefined`, `false`,
   * `null`) counts as no cookie: so do the `unsign` of cookie-signature and of cookie-parser.
   */
  readonly unsign?: (value: string) => unknown
}

/** A name that cookies can have (RFC 6265, section 4.1.1). */
const NAME = /^[!#$%&'*+\-.^`|~\w]+$/

/**
 * Takes a cookie's value as the tenant's key or, where it is a uuid, as its id. Whoever sends a cookie chooses what is in
 * it: sign it, or put it beside another resolver in `allMustAgree`. The same cookie twice is refused.
 *
 * @param name in its exact case; `__Host-` in front keeps other subdomains from setting it
 * @throws TNY002 where no cookie can have the name
 * @example
 * cookie('__Host-tenant', { unsign: (value) => cookieParser.signedCookie(value, secret) })
 */
export function cookie(name: string, options: CookieOptions = {}): Resolver {
  requireCookieName(name)
  return (request): Resolution => {
    const value = readCookie(request, name)
    if (value === undefined) return 'none'
    if (options.unsign === undefined) return keyOrId(value)
    const unsigned = options.unsign(unescaped(value))
    return typeof unsigned === 'string' ? keyOrId(unsigned) : 'none'
  }
}

/** @throws TNY002 where no cookie can have the name */
export function requireCookieName(name: string): void {
  if (NAME.test(name)) return
  const reason = `${JSON.stringify(name)} is not the name of a cookie`
  throw new TenantryError('TNY002', { params: { reason } })
}

/**
 * The value of a cookie, without the quotes that it may stand in; `undefined` where it is not there. HTTP/2 spreads cookies
 * over several lines (RFC 9113, section 8.2.3).
 * @throws TNY102 where it is there twice: programs differ in which one they take
 */
export function readCookie(request: ResolvableRequest, name: string): string | undefined {
  let found: string | undefined
  for (const line of request.header('cookie')) {
    for (const pair of line.split(';')) {
      const equals = pair.indexOf('=')
      // Most are others: nothing is cut out of them.
      if (equals === -1 || !pair.includes(name)) continue
      if (trimmed(pair.slice(0, equals)) !== name) continue
      if (found !== undefined) {
        throw new TenantryError('TNY102', { params: { reason: `it has more than one ${name} cookie` } })
      }
      found = unquoted(trimmed(pair.slice(equals + 1)))
    }
  }
  return found
}

/** Spaces and tabs only: what else JavaScript trims is part of the name for others. */
function trimmed(text: string): string {
  let [start, end] = [0, text.length]
  while (start < end && isBlank(text[start])) start += 1
  while (end > start && isBlank(text[end - 1])) end -= 1
  return text.slice(start, end)
}

function isBlank(character: string | undefined): boolean {
  return character === ' ' || character === '\t'
}

function unquoted(value: string): string {
  return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value
}

/** As it came where its escapes are broken: no signature fits it then. */
function unescaped(value: string): string {
  try {
    return decodeURIComponent(value)
  } catch {
    return value
  }
}
