/** Data loaders that never batch, nor remember, for two tenants together. */
import DataLoader from 'dataloader'
import type { TenantContext } from '../core/context.ts'
import { TenantryError } from '../core/errors.ts'

/** What of a tenancy this adapter uses. */
export interface LoaderTenancy {
  readonly context: TenantContext
}

/** DataLoader's own, but for a `cacheMap`: one for all tenants would serve one's rows to another. */
export type TenantLoaderOptions<K, V, C = K> = Omit<DataLoader.Options<K, V, C>, 'cacheMap'>

/** The loader of the context's tenant for a scope, which is any object: a request, a GraphQL context. @throws TNY201 */
export type LoaderFor<K, V, C = K> = (scope: object) => DataLoader<K, V, C>

/**
 * Defines a loader once, for the whole module. Each scope has one for each tenant, whose batches run in that tenant's
 * context, and which is gone with its scope.
 * @throws TNY002 for a `cacheMap`
 * @example
 * const orderLoader = loaderForTenants(tenancy, async (ids: readonly number[]) => ordersOf(ids))
 * const order = await orderLoader(req).load(7)
 */
export function loaderForTenants<K, V, C = K>(
  tenancy: LoaderTenancy,
  batch: DataLoader.BatchLoadFn<K, V>,
  options: TenantLoaderOptions<K, V, C> = {},
): LoaderFor<K, V, C> {
  if ('cacheMap' in options) {
    throw new TenantryError('TNY002', { params: { reason: 'one `cacheMap` would serve all tenants' } })
  }
  const { context } = tenancy
  const scopes = new WeakMap<object, Map<string, DataLoader<K, V, C>>>()
  return (scope) => {
    const tenant = context.require()
    const loaders = scopes.get(scope) ?? new Map<string, DataLoader<K, V, C>>()
    scopes.set(scope, loaders)
    const known = loaders.get(tenant.id)
    if (known !== undefined) return known
    // Whoever starts the batch: a schedule of one's own may serve several loaders at once.
    const bound = context.bind(batch)
    const loader = new DataLoader<K, V, C>(bound, options)
    loaders.set(tenant.id, loader)
    return loader
  }
}
