/** Reads what PostgreSQL said from an error, whatever wraps it, without importing the driver. */

/**
 * What `tenantry.current_tenant()` raises where the gateway should look at the tenant again: it is not active, or its proof
 * is of a key that was retired.
 */
export const STALE_CONTEXT = 'TN001'

/** The SQLSTATE of an error that a server sent (`23505`), or `undefined`. Looks through `cause`. */
export function sqlState(error: unknown): string | undefined {
  return field(error, 'code', (code) => /^[0-9A-Z]{5}$/.test(code))
}

/** The constraint that an error names, or `undefined`. */
export function violatedConstraint(error: unknown): string | undefined {
  return field(error, 'constraint', (name) => name !== '')
}

function field(error: unknown, name: string, valid: (value: string) => boolean): string | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const value: unknown = Reflect.get(at, name)
    if (typeof value === 'string' && valid(value)) return value
  }
  return undefined
}
