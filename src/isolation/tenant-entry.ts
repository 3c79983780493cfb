/** Who may act as a tenant, and how that is ended so that the server itself refuses: by its tier. */
import type { Queryable } from '../core/database.ts'
import type { Tenant } from '../core/tenant.ts'
import type { Keyring } from './master-key.ts'
import { endSessions } from './end-sessions.ts'
import { openLogin, shutLogin } from './sealed-login.ts'
import { admitLogin, expelLogin } from './tenant-roles.ts'

/** Whom a tenant's role is opened to. */
export interface Entry {
  /** The application's login, which enters guarded tenants. */
  readonly runtimeLogin: string
  /** Holds the secrets of sealed tenants' own logins. */
  readonly keyring: Keyring
}

/** Lets the gateway act as the tenant. @throws TNY021, TNY022, TNY312 */
export async function admitTenant(tx: Queryable, tenant: Tenant, entry: Entry): Promise<void> {
  const { home } = tenant
  if (home.keyId !== undefined) {
    await openLogin(tx, home.role, entry.keyring.secretOf(tenant.id, home.keyId))
  } else if (home.model !== 'shared') await admitLogin(tx, home.role, entry.runtimeLogin)
}

/**
 * Shuts the tenant, to the commit of its status: the server refuses a guarded tenant's role, and a sealed one's login.
 * Guarded tenants of the shared model have their role together; `tenantry.current_tenant()` asks for their status.
 */
export async function shutTenant(tx: Queryable, tenant: Tenant, entry: Entry): Promise<void> {
  const { home } = tenant
  if (home.tier === 'sealed') await shutLogin(tx, home.role)
  else if (home.model !== 'shared') await expelLogin(tx, home.role, entry.runtimeLogin)
}

/**
 * Ends what a tenant still has open after the commit that shut it. Of a sealed tenant these are its own sessions; the
 * runtime login's, which serve guarded tenants, are others' too, and cannot enter it any more.
 * @param session one connection outside of a transaction.
 */
export async function endTenantSessions(session: Queryable, { home }: Tenant): Promise<void> {
  if (home.tier === 'sealed') await endSessions(session, home.role)
}
