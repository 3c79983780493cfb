/** The database part of `tenantry init`: both logins, hardening where it harms nobody, the catalog. */
import { createControlPlane } from '../control-plane.ts'
import type { ConnectionSpec } from '../core/config.ts'
import type { AdminDatabase } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import { createAdminDatabase } from '../gateway/admin-database.ts'
import { harden, loginsAffected } from '../isolation/harden.ts'
import { createLogins, withLogin, type CreatedLogin } from '../isolation/logins.ts'
import { probeServer } from '../isolation/probe.ts'
import type { Enforcement } from '../isolation/open-rights.ts'

export interface SetUpOptions {
  /** Of the database's owner; used now and stored nowhere. */
  readonly ownerUrl: string
  readonly rotate: boolean
  /** What was asked for: `database` hardens, `guard` does not, `undefined` hardens where no other login is affected. */
  readonly enforcement: Enforcement | undefined
  /** Whether to harden although these logins lose rights by it. */
  harmOthers(logins: readonly string[]): Promise<boolean>
  /** Told where the connection may not make the logins. */
  onRefused(): void
  /** Told where something failed after the logins got passwords that nobody has seen. */
  onPasswordsLost(): void
  /** The admin connection that is configured, for a catalog whose logins were made before. */
  readonly knownAdmin: ConnectionSpec | undefined
}

export interface SetUp {
  readonly admin: CreatedLogin
  readonly app: CreatedLogin
  /** What holds now, told by the server. */
  readonly enforcement: Enforcement
  /** What hardening took from everybody. */
  readonly closed: readonly string[]
  /** What is still open to everybody. */
  readonly open: readonly string[]
  /** Logins for whose sake the database was not hardened. */
  readonly spared: readonly string[]
  /** Catalog migrations that ran now; `undefined` where the admin's password is not known here. */
  readonly catalog: readonly string[] | undefined
}

/** @throws what `createLogins` and `install` throw; nothing is left half-made by a refusal. */
export async function setUpDatabase(options: SetUpOptions): Promise<SetUp> {
  const owner = createAdminDatabase(options.ownerUrl, 1)
  try {
    const { admin, app } = await createLogins(owner, { rotate: options.rotate }).catch((error: unknown) => {
      if (error instanceof TenantryError && error.code === 'TNY018') options.onRefused()
      throw error
    })
    try {
      const hardening = await hardenWhereAllowed(owner, options)
      const known = admin.password === undefined ? options.knownAdmin : withLogin(options.ownerUrl, admin)
      const catalog = known === undefined ? undefined : await installCatalog(known)
      return { admin, app, ...hardening, catalog }
    } catch (error) {
      if ((admin.password ?? app.password) !== undefined) options.onPasswordsLost()
      throw error
    }
  } finally {
    await owner.close()
  }
}

async function hardenWhereAllowed(
  owner: AdminDatabase,
  { enforcement, harmOthers }: SetUpOptions,
): Promise<Pick<SetUp, 'enforcement' | 'closed' | 'open' | 'spared'>> {
  const { login, enforcement: present } = await probeServer(owner)
  // The owner makes dumps and migrations today; it keeps what those need.
  const keep = login.superuser ? [] : [login.name]
  const affected = await loginsAffected(owner, { keep })
  const allowed =
    enforcement === 'guard'
      ? false
      : enforcement === 'database' || affected.length === 0 || (await harmOthers(affected))
  if (allowed) return { ...(await harden(owner, { keep })), spared: [] }
  return { enforcement: present, closed: [], open: [], spared: enforcement === 'guard' ? [] : affected }
}

async function installCatalog(connection: ConnectionSpec): Promise<readonly string[]> {
  const plane = createControlPlane({ connection })
  try {
    return (await plane.install()).applied
  } finally {
    await plane.close()
  }
}
