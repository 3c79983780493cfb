/** Requests for resolvers, made by hand. */
import { TenantryError } from '../../src/core/errors.ts'
import { resolvableRequest } from '../../src/resolve/resolvable-request.ts'
import type { ResolvableRequest } from '../../src/resolve/resolvable-request.ts'
import type { Resolver } from '../../src/resolve/resolver.ts'
import { trustedProxies } from '../../src/resolve/trusted-proxies.ts'

/** A request with these header lines (name, value, name, value …), by default from a stranger. */
export function sampleRequest(
  rawHeaders: readonly string[],
  options: { raw?: object; target?: string; remoteAddress?: string; proxies?: readonly string[] } = {},
): ResolvableRequest {
  const { raw, target = '/', remoteAddress = '203.0.113.9', proxies = [] } = options
  return resolvableRequest({ raw, target, rawHeaders, remoteAddress }, trustedProxies(proxies))
}

/** What a resolver says of a request: its resolution, or the code of its refusal. */
export async function outcomeOf(resolve: Resolver, request: ResolvableRequest): Promise<unknown> {
  try {
    return await resolve(request)
  } catch (error) {
    if (error instanceof TenantryError) return error.code
    throw error
  }
}
