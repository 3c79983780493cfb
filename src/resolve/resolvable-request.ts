/** A request as resolvers see it: free of any framework, and with one host only. */
import type { CanonicalHost } from './canonical-host.ts'
import { requestHost } from './request-host.ts'
import type { IsTrustedProxy } from './trusted-proxies.ts'

/** What an adapter hands over, taken from the wire and not from what a framework made of it. */
export interface RequestParts<R = unknown> {
  /** The framework's own request. */
  readonly raw: R
  /** The request target as it came: `/orders?page=2`. */
  readonly target: string
  /** Names and values in turn, as `rawHeaders` of node:http: there, duplicates are neither joined nor dropped. */
  readonly rawHeaders: readonly string[]
  /** The peer of the socket, never a forwarded address. */
  readonly remoteAddress: string | undefined
}

/** What a resolver may look at. */
export interface ResolvableRequest<R = unknown> {
  /** The framework's own request, for resolvers of your own. */
  readonly raw: R
  /** The request target as it came: `/orders?page=2`. */
  readonly target: string
  /** The host that the client asked for, in its one form. @throws TNY102 */
  host(): CanonicalHost
  /** All values of a header, one for each line that came. */
  header(name: string): readonly string[]
}

function headerValues(rawHeaders: readonly string[], name: string): string[] {
  const wanted = name.toLowerCase()
  const values: string[] = []
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const found = rawHeaders[index] as string
    if (found.length === wanted.length && found.toLowerCase() === wanted) {
      values.push(rawHeaders[index + 1] as string)
    }
  }
  return values
}

/** Wraps what an adapter handed over; the host is worked out once, when a resolver first asks for it. */
export function resolvableRequest<R>(
  parts: RequestParts<R>,
  isTrusted: IsTrustedProxy,
): ResolvableRequest<R> {
  const { raw, target, rawHeaders, remoteAddress } = parts
  let host: CanonicalHost | undefined

  return {
    raw,
    target,
    header: (name) => headerValues(rawHeaders, name),
    host: () =>
      (host ??= requestHost({
        hosts: hostLines(rawHeaders),
        target,
        forwarded: isTrusted(remoteAddress) ? headerValues(rawHeaders, 'x-forwarded-host') : [],
      })),
  }
}

/** HTTP/2 sends `:authority` in place of Host; a request with both counts as having two hosts unless they are equal. */
function hostLines(rawHeaders: readonly string[]): readonly string[] {
  const [hosts, authority]: [string[], string[]] = [[], []]
  // In one walk: every request with a host comes here.
  for (let index = 0; index + 1 < rawHeaders.length; index += 2) {
    const { length } = rawHeaders[index] as string
    if (length !== 4 && length !== 10) continue
    const name = (rawHeaders[index] as string).toLowerCase()
    if (name === 'host') hosts.push(rawHeaders[index + 1] as string)
    else if (name === ':authority') authority.push(rawHeaders[index + 1] as string)
  }
  if (authority.length === 0) return hosts
  return hosts.length === 1 && hosts[0] === authority[0] ? authority : [...authority, ...hosts]
}
