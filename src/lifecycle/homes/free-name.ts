/** The name of a tenant's schema or database, which nobody else has. */
import type { Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import { MAX_KEY_LENGTH } from '../../core/tenant.ts'

/** Where a name may be taken already: on the server, and by a tenant whose home has yet to be made. */
const TAKEN = {
  schema: `exists (select from pg_namespace n where n.nspname = c.name)
    or exists (select from tenantry.tenants t where t.schema_name = c.name)`,
  database: `exists (select from pg_database d where d.datname = c.name)
    or exists (select from tenantry.tenants t where t.database_name = c.name)`,
} as const

/**
 * `tenant_<key>` with underscores, or the first of its suffixed forms that is free. At most 63 bytes.
 * @throws TNY301 where none of a hundred is free.
 */
export async function freeName(tx: Queryable, of: keyof typeof TAKEN, key: string): Promise<string> {
  if (key.length > MAX_KEY_LENGTH) throw new RangeError('the key was not checked')
  const base = `tenant_${key.replaceAll('-', '_')}`
  const names = [base, ...Array.from({ length: 99 }, (_, index) => `${base}_${index + 2}`)]
  const { rows } = await tx.query<{ name: string }>(
    `select c.name from unnest($1::text[]) with ordinality c (name, position)
     where not (${TAKEN[of]}) order by position limit 1`,
    [names],
  )
  const name = rows[0]?.name
  if (name === undefined) throw new TenantryError('TNY301', { params: { key } })
  return name
}
