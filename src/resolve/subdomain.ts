/** Tenants by subdomain: `acme.example.com` names the tenant `acme`. */
import { TenantryError } from '../core/errors.ts'
import { canonicalHost } from './canonical-host.ts'
import type { Resolver } from './resolver.ts'
import { requireRef } from './resolver.ts'

/** Where tenants live in the name space. */
export interface SubdomainOptions {
  /** The host above the tenants, or several: `example.com`. A port is allowed and ignored. */
  readonly root: string | readonly string[]
}

/**
 * Takes the one label below a root as the tenant's key. The root itself and IP addresses are `'central'`; other
 * hosts and deeper labels (`a.b.example.com`) are `'foreign'`. A root below another one (`eu.example.com` beside
 * `example.com`) is never read as a tenant.
 *
 * @throws TNY002 where a root is not a host name
 * @example
 * subdomain({ root: 'example.com' })
 * subdomain({ root: ['example.com', 'www.example.com', 'localhost:3000'] })
 */
export function subdomain(options: SubdomainOptions): Resolver {
  const roots = new Set([options.root].flat().map(rootName))
  if (roots.size === 0) throw invalidRoot('subdomain() needs a root')

  return (request) => {
    const { name, isAddress } = request.host()
    if (isAddress || roots.has(name)) return 'central'
    const dot = name.indexOf('.')
    if (dot === -1 || !roots.has(name.slice(dot + 1))) return 'foreign'
    return requireRef({ key: name.slice(0, dot) })
  }
}

function rootName(root: string): string {
  let host
  try {
    host = canonicalHost(root)
  } catch (cause) {
    throw invalidRoot(`the root ${JSON.stringify(root)} is not a host name`, cause)
  }
  if (host.isAddress)
    throw invalidRoot(`the root ${JSON.stringify(root)} is an IP address, which has no subdomains`)
  return host.name
}

function invalidRoot(reason: string, cause?: unknown): TenantryError {
  return new TenantryError('TNY002', { params: { reason }, cause })
}
