/** Tenants by a domain of their own: `shop.acme.com` names the tenant that has proven it. */
import { domainProblem } from '../core/domain.ts'
import type { Resolver } from './resolver.ts'

/**
 * Takes the whole host as a tenant's domain; only one that was verified names a tenant. IP addresses are `'central'`, hosts
 * that can be no domain `'foreign'`. Meant to come last: it knows nothing of the service's own hosts, and in `firstOf` does
 * not speak where a resolver before it has found that the address is one of them.
 *
 * @example
 * firstOf(subdomain({ root: 'example.com' }), customDomain())
 */
export function customDomain(): Resolver {
  return (request) => {
    const { name, isAddress } = request.host()
    if (isAddress) return 'central'
    return domainProblem(name) === undefined ? { domain: name } : 'foreign'
  }
}
