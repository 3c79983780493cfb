/** Tenants by request header, for services behind a gateway that sets it and for tests. */
import { TenantryError } from '../core/errors.ts'
import type { Resolver } from './resolver.ts'
import { keyOrId } from './resolver.ts'

/**
 * Takes a header's value as the tenant's key or, where it is a uuid, as its id. Whoever can send the header chooses
 * the tenant: put it behind authentication, or beside another resolver in `allMustAgree`.
 *
 * @param name the header's name, in any case
 * @example
 * header('x-tenant')
 */
export function header(name: string): Resolver {
  return (request) => {
    const values = request.header(name)
    const [value] = values
    if (value === undefined) return 'none'
    if (values.length > 1) {
      throw new TenantryError('TNY102', { params: { reason: `it has more than one ${name} header` } })
    }
    return keyOrId(value)
  }
}
