/** GET /me: what the tenant may know of itself. */
import { tenantFetch } from 'tenantry/fetch'
import { byHost, tenancy } from '../../tenancy.ts'

export const GET = tenantFetch(tenancy, byHost, () => {
  const { key, name, plan } = tenancy.requireTenant()
  return Response.json({ key, name, plan })
})
