/** The one tenancy of this process, on DATABASE_URL, and how requests name their tenant. */
import { createTenancy, subdomain, type Tenancy } from 'tenantry'

declare global {
  var tenancy: Tenancy | undefined
}

// Kept where reloading does not reach: `next dev` evaluates this module again after each change.
export const tenancy = (globalThis.tenancy ??= createTenancy())

export const byHost = {
  resolve: subdomain({ root: process.env['ROOT_HOST'] ?? 'localhost' }),
  // The URL of a request has Next's own idea of the host.
  host: 'header',
} as const
