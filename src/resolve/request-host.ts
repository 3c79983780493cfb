/** Which of a request's addresses counts: one host, or a refusal where it names several. */
import { TenantryError } from '../core/errors.ts'
import { canonicalHost } from './canonical-host.ts'
import type { CanonicalHost } from './canonical-host.ts'

/** The places where an HTTP request can say which host it wants. */
export interface HostClaims {
  /** Values of `Host` and `:authority`, each line as it came. */
  readonly hosts: readonly string[]
  /** The request target: `/orders`, or in absolute form `http://acme.example.com/orders`. */
  readonly target: string
  /** Values of X-Forwarded-Host; empty unless the peer is a trusted proxy. */
  readonly forwarded: readonly string[]
}

const ABSOLUTE = /^[a-z][a-z0-9+.-]*:\/\/([^/?#]*)/i

function refuse(reason: string): never {
  throw new TenantryError('TNY102', { params: { reason } })
}

/**
 * The host that the client asked for. The last value of X-Forwarded-Host is what the nearest proxy saw; everything
 * left of it was written by others (RFC 7239, section 7.4 has the same rule).
 *
 * @throws TNY102 where there is no host, more than one, or one in no valid form
 */
export function requestHost(claims: HostClaims): CanonicalHost {
  const [first, ...others] = claims.hosts
  if (first === undefined) refuse('it has no Host header')
  if (others.length > 0) refuse('it has more than one Host header')
  const host = canonicalHost(first)

  // A server may follow either (RFC 9112, section 3.2.2), so that two differing ones reach two tenants somewhere.
  const authority = claims.target.startsWith('/') ? undefined : ABSOLUTE.exec(claims.target)?.[1]
  if (authority !== undefined && canonicalHost(authority).name !== host.name) {
    refuse('its target and its Host header differ')
  }

  const nearest = claims.forwarded.at(-1)
  return nearest === undefined ? host : canonicalHost((nearest.split(',').at(-1) as string).trim())
}
