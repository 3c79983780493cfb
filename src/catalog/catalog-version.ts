/** Which version of the catalog a database holds, and whether this code can work with it. */
import type { Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import { sqlState } from '../sql/sql-state.ts'
import { CATALOG_VERSION } from './catalog-migrations.ts'

/** The newest version that ran; 0 where there is no catalog. */
export async function readCatalogVersion(db: Queryable): Promise<number> {
  try {
    const { rows } = await db.query<{ version: string }>(
      'select coalesce(max(version), 0)::text as version from tenantry.migrations',
    )
    return Number(rows[0]?.version ?? 0)
  } catch (error) {
    const state = sqlState(error)
    if (state === '42P01' || state === '3F000') return 0
    throw error
  }
}

/** @throws TNY005 where the catalog is missing or older, TNY008 where it is newer. */
export async function requireCatalog(db: Queryable): Promise<void> {
  const found = await readCatalogVersion(db)
  if (found < CATALOG_VERSION) throw new TenantryError('TNY005')
  if (found > CATALOG_VERSION) {
    throw new TenantryError('TNY008', { params: { found, known: CATALOG_VERSION } })
  }
}
