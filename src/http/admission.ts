/** What happens to a request: which tenant it is served for, none, or which refusal. Framework-free. */
import { TenantryError } from '../core/errors.ts'
import type { TenantRef, TenantRuntime } from '../core/runtime.ts'
import type { Tenant } from '../core/tenant.ts'
import { type MigrationVersion, requireTenantVersion, versionNumber } from '../migrate/needed-version.ts'
import { resolvableRequest } from '../resolve/resolvable-request.ts'
import type { RequestParts } from '../resolve/resolvable-request.ts'
import { distinctRefs, requireRef } from '../resolve/resolver.ts'
import type { Resolver } from '../resolve/resolver.ts'
import { trustedProxies } from '../resolve/trusted-proxies.ts'
import { pathRules } from './path-rules.ts'

/** How requests are told apart; the same for every framework. `R` is the framework's request. */
export interface AdmissionOptions<R> {
  /** Reads from a request which tenant it names: `subdomain(…)`, `header(…)`, a function of your own. */
  readonly resolve: Resolver<R>
  /** Paths served without a tenant on every host, such as probes: `/healthz`, or `/assets/*` for all below. */
  readonly except?: readonly string[]
  /** Paths served without a tenant on hosts that name none (the bare root), and on no tenant's host: `/signup`. */
  readonly central?: readonly string[]
  /** Addresses and CIDR ranges of one's own proxies, whose X-Forwarded-Host is believed. None by default. */
  readonly trustedProxies?: readonly string[]
  /**
   * Whether the sender belongs to a tenant that is not active, and so may learn its status (403) where a stranger
   * gets the 404 of an unknown tenant. By default nobody does. Decide from the request alone, such as a signed
   * token: a slow answer here tells strangers that the tenant exists. One that throws counts as no.
   */
  readonly isMember?: (request: R, tenant: Tenant) => boolean | Promise<boolean>
  /**
   * The migration that all tenants served here must be at, as its number or its name: others get a 503 with Retry-After
   * until `migrate up` has reached them. For a release that no longer knows older tables.
   */
  readonly requireVersion?: MigrationVersion
}

/**
 * The tenant to serve a request for, or `undefined` where it is served without one.
 * @param signal ends the wait for a tenant that is being moved.
 * @throws TNY101 to TNY104, TNY106; TNY108 where a move takes too long; TNY431 where its tables are older; TNY202 where the catalog cannot be asked
 */
export type Admit<R> = (parts: RequestParts<R>, signal?: AbortSignal) => Promise<Tenant | undefined>

/**
 * Builds the decision that every adapter makes.
 * @throws TNY002 or TNY432 where an option is not valid
 */
export function createAdmission<R>(runtime: TenantRuntime, options: AdmissionOptions<R>): Admit<R> {
  const except = pathRules('except', options.except)
  const central = pathRules('central', options.central)
  const isTrusted = trustedProxies(options.trustedProxies)
  const version = options.requireVersion === undefined ? 0 : versionNumber(options.requireVersion)

  async function isMember(request: R, tenant: Tenant): Promise<boolean> {
    if (options.isMember === undefined) return false
    try {
      return (await runtime.context.exit(() => options.isMember?.(request, tenant))) === true
    } catch (error) {
      // An answer of its own for this failure would show that the tenant exists.
      process.emitWarning(error instanceof Error ? error : String(error), { type: 'TenantryIsMemberFailed' })
      return false
    }
  }

  /** The tenant that all of the names mean. */
  async function findCommon(refs: readonly TenantRef[]): Promise<Tenant | undefined> {
    const [first, ...others] = await Promise.all(refs.map((ref) => runtime.directory.find(ref)))
    return others.every((other) => other?.id === first?.id) ? first : undefined
  }

  /** A tenant that is not active, or none: waits for the end of a move, or says no. */
  async function requireServed(
    request: R,
    met: Tenant | undefined,
    refs: readonly TenantRef[],
    signal?: AbortSignal,
  ): Promise<Tenant> {
    // Its users see a slow request and no error. Whoever asks: that it exists, an active tenant shows as well.
    const tenant = met?.status === 'moving' ? await runtime.directory.settled({ id: met.id }, signal) : met
    if (tenant?.status === 'active') {
      requireTenantVersion(tenant, version)
      return tenant
    }
    if (tenant !== undefined && (await isMember(request, tenant))) {
      throw new TenantryError('TNY103', {
        params: { status: tenant.status, why: tenant.statusReason ? `: ${tenant.statusReason}` : '' },
      })
    }
    // Several names that meet in no served tenant get one answer, or trying pairs would show which of them exist.
    throw new TenantryError(refs.length > 1 ? 'TNY104' : 'TNY101')
  }

  return async (parts, signal) => {
    if (runtime.closing) throw new TenantryError('TNY106')
    // What routers see; where the path names a tenant it is shorter, and no address of the service's own.
    const routed = options.resolve.rewrite?.(parts.target) ?? parts.target
    const isPlain = routed === parts.target
    if (isPlain && except.grants(parts.target)) return undefined

    const resolving = options.resolve(resolvableRequest(parts, isTrusted))
    // Most resolvers know at once.
    const resolution = typeof resolving === 'object' && 'then' in resolving ? await resolving : resolving
    if (resolution === 'foreign') throw new TenantryError('TNY101')
    if (resolution === 'central' || resolution === 'none') {
      if (isPlain && central.grants(parts.target)) return undefined
      throw new TenantryError('TNY101')
    }

    const refs = isList(resolution) ? distinctRefs(resolution).map(requireRef) : [requireRef(resolution)]
    const isCentral = central.resembles(parts.target) || (!isPlain && central.resembles(routed))
    if (refs.length === 0 || isCentral) throw new TenantryError('TNY101')
    const found = refs.length === 1 ? runtime.directory.locate(refs[0] as TenantRef) : findCommon(refs)
    const tenant = found instanceof Promise ? await found : found
    if (tenant?.status !== 'active') return requireServed(parts.raw, tenant, refs, signal)
    // Nearly always.
    requireTenantVersion(tenant, version)
    return tenant
  }
}

/** `Array.isArray` does not know lists that are read-only. */
function isList(resolution: TenantRef | readonly TenantRef[]): resolution is readonly TenantRef[] {
  return Array.isArray(resolution)
}
