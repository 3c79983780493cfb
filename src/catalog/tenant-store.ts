/** Reads tenants: one shape of row for control plane and runtime alike. */
import type { Queryable } from '../core/database.ts'
import type { TenantHomes } from '../core/homes.ts'
import type { TenantRef } from '../core/runtime.ts'
import type { Settings, Tenant, TenantStatus } from '../core/tenant.ts'

/**
 * A tenant as one text of JSON: applications replace node-postgres' parsers for dates, arrays and jsonb, and the
 * catalog must read the same all the same.
 */
const TENANT_JSON = `json_build_object(
  'id', t.id,
  'key', (select k.key from tenantry.keys k where k.tenant_id = t.id and not k.is_alias),
  'aliases', array(select k.key from tenantry.keys k where k.tenant_id = t.id and k.is_alias order by k.key),
  'name', t.name, 'status', t.status, 'statusReason', t.status_reason, 'plan', t.plan, 'settings', t.settings,
  'model', t.model, 'schema', t.schema_name, 'role', t.role_name, 'ownerRole', t.owner_role, 'epoch', t.epoch,
  'createdAt', (extract(epoch from t.created_at) * 1000)::bigint
)::text as tenant from tenantry.tenants t`

const BY_KEY = `select ${TENANT_JSON}
  where t.id = (select k.tenant_id from tenantry.keys k where k.key = $1) and t.status <> 'erased'`
const BY_ID = `select ${TENANT_JSON} where t.id = $1 and t.status <> 'erased'`
const BY_NAME = `select ${TENANT_JSON}
  where t.id = coalesce((select k.tenant_id from tenantry.keys k where k.key = $1), $1) and t.status <> 'erased'`
const PAGE = `select ${TENANT_JSON}
  join tenantry.keys p on p.tenant_id = t.id and not p.is_alias
  where p.key > $1 and t.status <> 'erased' and ($2::text[] is null or t.status = any ($2))
  order by p.key limit $3`

interface TenantRow {
  readonly tenant: string
}

interface TenantDocument {
  readonly id: string
  readonly key: string
  readonly aliases: readonly string[]
  readonly name: string
  readonly status: TenantStatus
  readonly statusReason: string | null
  readonly plan: Tenant['plan']
  readonly settings: Settings
  readonly model: 'schema'
  readonly schema: string
  readonly role: string
  readonly ownerRole: string
  readonly epoch: number
  readonly createdAt: number
}

/**
 * The tenant of a key, an alias or an id, in whatever status but `erased`, in one round trip.
 * @example
 * const tenant = await findTenant(pool, { key: 'acme' })
 */
export async function findTenant(db: Queryable, ref: TenantRef): Promise<Tenant | undefined> {
  const [text, value] = 'key' in ref ? [BY_KEY, ref.key] : 'id' in ref ? [BY_ID, ref.id] : [BY_NAME, ref.name]
  // PostgreSQL cannot hold NUL in text and would answer with an error; no tenant has it.
  if (value.includes('\0')) return undefined
  const { rows } = await db.query<TenantRow>(text, [value])
  return rows[0] === undefined ? undefined : toTenant(rows[0])
}

/** Which tenants `listTenants` gives. */
export interface TenantPage {
  readonly statuses?: readonly TenantStatus[] | undefined
  /** Only keys after this one. */
  readonly after?: string | undefined
  readonly limit: number
}

/** A page of tenants in the order of their keys; erased ones never. */
export async function listTenants(db: Queryable, page: TenantPage): Promise<Tenant[]> {
  const { rows } = await db.query<TenantRow>(PAGE, [page.after ?? '', page.statuses ?? null, page.limit])
  return rows.map(toTenant)
}

/** The catalog as a source of homes for migrations, read page by page. */
export function tenantHomes(db: Queryable, pageSize = 500): TenantHomes {
  return {
    async *list() {
      for (let after = ''; ;) {
        const page = await listTenants(db, {
          statuses: ['active', 'suspended', 'moving'],
          after,
          limit: pageSize,
        })
        for (const { id, key, status, home } of page) yield { id, key, status, home }
        after = page.at(-1)?.key ?? ''
        if (page.length < pageSize) return
      }
    },
  }
}

function toTenant(row: TenantRow): Tenant {
  const { model, schema, role, ownerRole, epoch, createdAt, statusReason, ...facts } = JSON.parse(
    row.tenant,
  ) as TenantDocument
  return {
    ...facts,
    statusReason: statusReason ?? undefined,
    home: { model, schema, role, ownerRole, epoch },
    createdAt: new Date(createdAt),
  }
}
