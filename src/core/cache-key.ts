/** Keys for caches that tenants share: none is equal to another tenant's. */

/** What a key is made of, beside the tenant. */
export type CacheKeyPart = string | number

/**
 * The tenant's id, a space, and the parts: no two tenants, and no two lists of parts, have a key in common (A4). `1` and
 * `'1'` differ.
 * @throws TypeError for a part that is neither a string nor a finite number.
 */
export function cacheKey(tenantId: string, parts: readonly CacheKeyPart[]): string {
  for (const part of parts) {
    // JSON would write others as null, or leave them to their own toJSON.
    if (typeof part !== 'string' && !Number.isFinite(part))
      throw new TypeError(`a part of a cache key is a string or a finite number, not ${String(part)}`)
  }
  // Ids hold no space (the catalog checks it), so that the first one ends the id.
  return `${tenantId} ${JSON.stringify(parts)}`
}
