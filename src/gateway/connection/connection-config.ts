/** Turns a connection as users write it into node-postgres' configuration. */
import type { ClientConfig } from 'pg'
import type { ConnectionSpec } from '../../core/config.ts'
import { TenantryError } from '../../core/errors.ts'

/**
 * @param what names the connection in the error: 'runtime connection'.
 * @param variable the environment variable that the error proposes.
 * @throws TNY001 where nothing is configured, TNY002 where the URL cannot be read.
 */
export function connectionConfig(
  spec: ConnectionSpec | undefined,
  what: string,
  variable: string,
): ClientConfig {
  if (spec === undefined || spec === '') throw new TenantryError('TNY001', { params: { what, variable } })
  // Tenants' names must not show in pg_stat_activity (S20): one name for all connections.
  const base = { application_name: 'tenantry', keepAlive: true, keepAliveInitialDelayMillis: 10_000 }
  if (typeof spec !== 'string') return { ...base, ...spec }
  if (!/^postgres(ql)?:\/\//.test(spec) || !URL.canParse(spec)) {
    throw new TenantryError('TNY002', { params: { reason: `the ${what} is not a postgres:// URL` } })
  }
  return { ...base, connectionString: spec }
}
