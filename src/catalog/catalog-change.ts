/** What a notification of the catalog says: whom a change concerns, and which name it gave or took. */

/** One change of the catalog. */
export interface CatalogChange {
  /** `undefined`: all tenants may be concerned. */
  readonly tenantId: string | undefined
  /**
   * A key or a domain that began or ceased to name the tenant, or the id of an API key of its own. `undefined`: the
   * tenant's record changed, or what is in its schema.
   */
  readonly name: string | undefined
}

/**
 * Reads a payload of the channel: nothing, `<tenant id>`, or `<tenant id> <name>`. Ids hold no space.
 * @example
 * readChange('0190f5a2-7c1b-7d3e-8a4f-5b6c7d8e9f00 acme') // { tenantId: '0190f5a2-…', name: 'acme' }
 */
export function readChange(payload: string): CatalogChange {
  if (payload === '') return { tenantId: undefined, name: undefined }
  const space = payload.indexOf(' ')
  if (space === -1) return { tenantId: payload, name: undefined }
  return { tenantId: payload.slice(0, space), name: payload.slice(space + 1) }
}
