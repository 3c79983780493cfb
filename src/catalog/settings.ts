/** The installation's own settings in the catalog. */
import type { Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'

/** What the catalog says about itself. */
export interface CatalogSettings {
  /** Tells installations apart, for instance a restored copy from its original. */
  readonly installationId: string | undefined
  /** The login that tenant roles are granted to. */
  readonly runtimeLogin: string | undefined
}

/** Reads all settings; needs the admin login. */
export async function readSettings(db: Queryable): Promise<CatalogSettings> {
  const { rows } = await db.query<{ name: string; value: string }>(
    "select name, value #>> '{}' as value from tenantry.settings",
  )
  const values = new Map(rows.map(({ name, value }) => [name, value]))
  return { installationId: values.get('installation_id'), runtimeLogin: values.get('runtime_login') }
}

/** The login that tenant roles are granted to. @throws TNY005 */
export async function requireRuntimeLogin(db: Queryable): Promise<string> {
  const { runtimeLogin } = await readSettings(db)
  if (runtimeLogin === undefined) throw new TenantryError('TNY005')
  return runtimeLogin
}
