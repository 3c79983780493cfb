/** How a request comes to name a tenant: the one contract of all resolvers. */
import { TenantryError } from '../core/errors.ts'
import type { TenantRef } from '../core/runtime.ts'
import { keyProblem } from '../core/tenant.ts'
import type { ResolvableRequest } from './resolvable-request.ts'

/**
 * What a resolver found.
 * - a `TenantRef`: the request names this tenant (whether there is one is looked up later);
 * - a list of them: the request names it several times, and all must be the same tenant;
 * - `'central'`: the address is the service's own and belongs to no tenant: the bare root, an IP address;
 * - `'foreign'`: the address is none of this service;
 * - `'none'`: there is nothing to go by, such as a header that is not there.
 */
export type Resolution = TenantRef | readonly TenantRef[] | 'central' | 'foreign' | 'none'

/**
 * Reads from a request which tenant it names. A plain function, so that your own is as good as ours; it throws
 * `TenantryError` `TNY102` where the request names a tenant in an invalid way.
 *
 * @example
 * const byApiKey: Resolver = async (request) => {
 *   const [key] = request.header('x-api-key')
 *   return key === undefined ? 'none' : { id: await ownerOfApiKey(key) }
 * }
 */
export interface Resolver<R = unknown> {
  (request: ResolvableRequest<R>): Resolution | Promise<Resolution>
  /**
   * The request target that routers see, where a part of it names the tenant: `/t/acme/orders` becomes `/orders`. Pure, and the
   * same for every request, since some routers choose their route before anything else runs. Targets without that part stay.
   */
  readonly rewrite?: (target: string) => string
}

/** Ids that applications brought along may be of any kind, but not of any size. */
const ID = /^[\x21-\x7e]{1,200}$/

/**
 * Checks what a resolver named, before anything is looked up.
 * @throws TNY102
 */
export function requireRef(ref: TenantRef): TenantRef {
  const problem = refProblem(ref)
  if (problem === undefined) return ref
  throw new TenantryError('TNY102', { params: { reason: problem } })
}

function refProblem(ref: TenantRef): string | undefined {
  if ('key' in ref) return keyProblem(ref.key)
  return idProblem('id' in ref ? ref.id : 'name' in ref ? ref.name : ref.domain)
}

function idProblem(id: unknown): string | undefined {
  return typeof id === 'string' && ID.test(id) ? undefined : 'the id is not valid'
}

/** Two refs of one text name one tenant; other pairs may still do so (a key and its alias, a key and an id). */
export function distinctRefs(refs: readonly TenantRef[]): readonly TenantRef[] {
  if (refs.length < 2) return refs
  const byText = new Map(refs.map((ref) => [JSON.stringify(ref), ref]))
  return [...byText.values()]
}
