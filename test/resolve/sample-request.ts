/** Requests for resolvers, made by hand. */
import { resolvableRequest } from '../../src/resolve/resolvable-request.ts'
import type { ResolvableRequest } from '../../src/resolve/resolvable-request.ts'
import { trustedProxies } from '../../src/resolve/trusted-proxies.ts'

/** A request with these header lines (name, value, name, value …), by default from a stranger. */
export function sampleRequest(
  rawHeaders: readonly string[],
  options: { target?: string; remoteAddress?: string; proxies?: readonly string[] } = {},
): ResolvableRequest {
  const { target = '/', remoteAddress = '203.0.113.9', proxies = [] } = options
  return resolvableRequest({ raw: undefined, target, rawHeaders, remoteAddress }, trustedProxies(proxies))
}
