/** Which schema running code needs, and which it meets: while a migration rolls out, tenants differ for a while. */
import { TenantryError } from '../core/errors.ts'
import { printable, type Tenant } from '../core/tenant.ts'
import { versionOf } from './files/migration-version.ts'

/** A migration, by the number that its name begins with, or by its name: `1700000000005_split-name`. */
export type MigrationVersion = number | string

/** From which version on which function is used. */
export type VersionRoutes<F> = readonly (readonly [from: MigrationVersion, use: F])[]

/** A deployment migrates tenants for seconds to hours: whoever comes back later finds it done, or another refusal. */
const RETRY_AFTER_SECONDS = 5

/** The number that tenants' versions are compared with. @throws TNY432 */
export function versionNumber(version: MigrationVersion): number {
  if (typeof version === 'string') {
    const number = versionOf(version)
    if (number > 0) return number
    throw invalid(version, 'it holds no number')
  }
  if (Number.isSafeInteger(version) && version >= 0) return version
  throw invalid(version, 'it is not a whole number')
}

/** @throws TNY431 where the tenant is older; TNY432 */
export function requireTenantVersion(tenant: Tenant, version: MigrationVersion): void {
  const needed = versionNumber(version)
  if (tenant.version >= needed) return
  throw new TenantryError('TNY431', {
    params: { tenant: tenant.key, version: tenant.version, needed },
    retryAfter: RETRY_AFTER_SECONDS,
    tenantId: tenant.id,
  })
}

/**
 * One function out of several: each call goes to the newest that the tenant of the moment is far enough for.
 * @param current the tenant of the context; throws where there is none.
 * @throws TNY432 at once, where the routes are not valid
 */
export function routeByVersion<F extends (...args: never) => unknown>(
  current: () => Tenant,
  routes: VersionRoutes<F>,
): F {
  const ordered = routes
    .map(([from, use]) => ({ from: versionNumber(from), use }))
    .sort((one, other) => other.from - one.from)
  const oldest = ordered.at(-1)
  if (oldest === undefined) throw invalid('an empty list', 'there is nothing to choose from')
  const twice = ordered.find(({ from }, index) => ordered[index + 1]?.from === from)
  if (twice !== undefined) throw invalid(twice.from, 'two functions are for it')
  const { from, use } = oldest
  function routed(this: unknown, ...args: unknown[]): unknown {
    const tenant = current()
    const route = ordered.find((each) => tenant.version >= each.from)
    if (route === undefined) requireTenantVersion(tenant, from)
    return Reflect.apply(route?.use ?? use, this, args)
  }
  return routed as unknown as F
}

function invalid(version: MigrationVersion, reason: string): TenantryError {
  return new TenantryError('TNY432', { params: { version: printable(version), reason } })
}
