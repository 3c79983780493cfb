/** How many tenants of a kind an installation has, beside those of a proof. */
import type { Queryable } from '../core/database.ts'
import type { Kind } from './report.ts'

export async function readCount(admin: Queryable, kind: Kind, run: string): Promise<number> {
  const { rows } = await admin.query<{ count: string }>(
    `select count(*)::text as count from tenantry.tenants t where t.model = $1 and t.tier = $2 and t.status <> 'erased'
       and not exists (select from tenantry.keys k where k.tenant_id = t.id and k.key like $3)`,
    [kind.model, kind.tier, `prove-${run}-%`],
  )
  return Number(rows[0]?.count ?? 0)
}
