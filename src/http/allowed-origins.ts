/** Which pages may open a WebSocket: browsers let any page do so, with the cookies of its user. */
import type { IncomingMessage } from 'node:http'
import { TenantryError } from '../core/errors.ts'
import { printable } from '../core/tenant.ts'
import { canonicalHost } from '../resolve/canonical-host.ts'
import { type RequestParts, resolvableRequest } from '../resolve/resolvable-request.ts'
import { trustedProxies } from '../resolve/trusted-proxies.ts'

/** Origins as browsers write them (`https://app.example.com`, RFC 6454), or a decision of one's own. */
export type AllowedOrigins = readonly string[] | ((origin: string, request: IncomingMessage) => boolean)

/**
 * Lets in requests without an origin (programs), pages of the request's own host, and the origins that are allowed.
 * @throws by the returned function: TNY222 where the page may not, TNY102 where the host is in no valid form
 */
export function createOriginCheck(options: {
  readonly origins?: AllowedOrigins
  readonly trustedProxies?: readonly string[]
}): (parts: RequestParts<IncomingMessage>) => void {
  const { origins = [] } = options
  const isTrusted = trustedProxies(options.trustedProxies)
  const isAllowed =
    typeof origins === 'function' ? origins : (origin: string): boolean => origins.includes(origin)

  return (parts) => {
    const request = resolvableRequest(parts, isTrusted)
    const [origin, ...others] = request.header('origin')
    if (origin === undefined) return
    const isOwn = hostOf(origin) === request.host().name
    // A promise is no yes.
    if (others.length > 0 || !(isOwn || isAllowed(origin, parts.raw) === true)) {
      throw new TenantryError('TNY222', { params: { origin: printable(origin) } })
    }
  }
}

/** Ports and schemes are not compared: cookies do not know them either. `null` and the like have no host. */
function hostOf(origin: string): string | undefined {
  try {
    const { host } = new URL(origin)
    return host === '' ? undefined : canonicalHost(host).name
  } catch {
    return undefined
  }
}
