/** Reads tenants: one shape of row for control plane and runtime alike. */
import type { Queryable } from '../core/database.ts'
import type { FleetCount, SharedHome, TenantHomes } from '../core/homes.ts'
import type { TenantRef } from '../core/runtime.ts'
import type { Settings, Tenant, TenantModel, TenantStatus, TenantTier } from '../core/tenant.ts'

/** Where the tables are that tenants share, the head of their migrations is that of the pattern. */
const VERSION = `(select h.version from tenantry.migration_heads h
    where h.database_name = coalesce(t.database_name, '') and h.schema_name = case t.model when 'shared'
      then (select s.pattern_schema from tenantry.shared_homes s where s.schema_name = t.schema_name)
      else t.schema_name end)`

/**
 * A tenant as one text of JSON: applications replace node-postgres' parsers for dates, arrays and jsonb, and the
 * catalog must read the same all the same.
 */
const TENANT_FIELDS = `
  'id', t.id,
  'key', (select k.key from tenantry.keys k where k.tenant_id = t.id and not k.is_alias),
  'aliases', array(select k.key from tenantry.keys k where k.tenant_id = t.id and k.is_alias order by k.key),
  'name', t.name, 'status', t.status, 'statusReason', t.status_reason, 'plan', t.plan, 'settings', t.settings,
  'model', t.model, 'tier', t.tier, 'database', t.database_name, 'schema', t.schema_name, 'role', t.role_name,
  'ownerRole', t.owner_role, 'keyId', t.key_id, 'epoch', t.epoch, 'version', ${VERSION},
  'createdAt', (extract(epoch from t.created_at) * 1000)::bigint`
const TENANT_JSON = `json_build_object(${TENANT_FIELDS})::text as tenant from tenantry.tenants t`
/** With the proof of its context, which only the runtime login and the admin may ask for. */
const PROVEN_JSON = `json_build_object(${TENANT_FIELDS}, 'proof', tenantry.proof_of(t.id))::text as tenant
  from tenantry.tenants t`

const BY_KEY = `
  where t.id = (select k.tenant_id from tenantry.keys k where k.key = $1) and t.status <> 'erased'`
const BY_ID = ` where t.id = $1 and t.status <> 'erased'`
const BY_DOMAIN = `
  where t.id = (select d.tenant_id from tenantry.domains d where d.domain = $1 and d.verified_at is not null)
    and t.status <> 'erased'`
const BY_NAME = `
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
  readonly model: TenantModel
  readonly tier: TenantTier
  readonly database: string | null
  readonly schema: string
  readonly role: string
  readonly ownerRole: string
  readonly keyId: string | null
  readonly epoch: number
  readonly version: number | null
  readonly createdAt: number
  readonly proof?: string
}

/**
 * The tenant of a key, an alias, an id or a verified domain, in whatever status but `erased`, in one round trip.
 * @example
 * const tenant = await findTenant(pool, { key: 'acme' })
 */
export async function findTenant(db: Queryable, ref: TenantRef): Promise<Tenant | undefined> {
  const document = await readTenant(db, TENANT_JSON, ref)
  return document === undefined ? undefined : toTenant(document)
}

/** A tenant, and the proof that its context is the gateway's: a secret, which is no part of the record. */
export interface ProvenTenant {
  readonly tenant: Tenant
  readonly proof: string
}

/** As `findTenant`, for the process that will send the tenant's statements. */
export async function findProvenTenant(db: Queryable, ref: TenantRef): Promise<ProvenTenant | undefined> {
  const document = await readTenant(db, PROVEN_JSON, ref)
  return document === undefined ? undefined : { tenant: toTenant(document), proof: document.proof ?? '' }
}

/** The proof of a tenant's context alone, for the control plane's work in it. */
export async function readProof(tx: Queryable, id: string): Promise<string> {
  const { rows } = await tx.query<{ proof: string }>('select tenantry.proof_of($1) as proof', [id])
  return rows[0]?.proof ?? ''
}

async function readTenant(
  db: Queryable,
  select: string,
  ref: TenantRef,
): Promise<TenantDocument | undefined> {
  const [where, value] = howToFind(ref)
  // PostgreSQL cannot hold NUL in text and would answer with an error; no tenant has it.
  if (value.includes('\0')) return undefined
  const { rows } = await db.query<TenantRow>(`select ${select} ${where}`, [value])
  return rows[0] === undefined ? undefined : (JSON.parse(rows[0].tenant) as TenantDocument)
}

function howToFind(ref: TenantRef): [where: string, value: string] {
  if ('key' in ref) return [BY_KEY, ref.key]
  if ('id' in ref) return [BY_ID, ref.id]
  return 'domain' in ref ? [BY_DOMAIN, ref.domain] : [BY_NAME, ref.name]
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
  return rows.map(({ tenant }) => toTenant(JSON.parse(tenant) as TenantDocument))
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
        yield* page
        after = page.at(-1)?.key ?? ''
        if (page.length < pageSize) return
      }
    },
    async countBehind(session, head, repeatable) {
      const { rows } = await session.query<{ count: string }>(COUNT_BEHIND, [head, repeatable ?? null])
      return JSON.parse(rows[0]?.count ?? '{}') as FleetCount
    },
    findShared: () => findSharedHome(db),
    listSharing: async (tx) => {
      const { rows } = await tx.query<{ id: string }>(SHARING)
      return rows.map(({ id }) => id)
    },
  }
}

const COUNT_BEHIND = `
  select json_build_object('tenants', count(*) filter (where t.model <> 'shared'), 'sharing', count(*) filter (where t.model = 'shared'),
    'behind', count(*) filter (where t.model <> 'shared' and (h.digest is distinct from $1
      or h.repeatable is distinct from coalesce($2, h.repeatable))))::text as count
  from tenantry.tenants t left join tenantry.migration_heads h
    on h.schema_name = t.schema_name and h.database_name = coalesce(t.database_name, '')
  where t.status in ('active', 'suspended')`

/**
 * A tenant that is being made counts from the step on in which the pattern's rows are copied, and one that is being
 * erased up to the step in which its rows go.
 */
const SHARING = `select t.id from tenantry.tenants t where t.model = 'shared' and t.status <> 'erased'
  and not exists (select from tenantry.operations o where o.tenant_id = t.id and o.state <> 'done'
    and case o.kind when 'create' then not 'migrate' = any (o.steps) else 'drop' = any (o.steps) end)
  order by t.id`

/** Where tenants share tables, if there is such a place. */
export async function findSharedHome(db: Queryable): Promise<SharedHome | undefined> {
  const { rows } = await db.query<{ home: string }>(
    `select json_build_object('schema', schema_name, 'pattern', pattern_schema, 'role', role_name,
       'ownerRole', owner_role)::text as home from tenantry.shared_homes`,
  )
  return rows[0] === undefined ? undefined : (JSON.parse(rows[0].home) as SharedHome)
}

/** Remembers where tenants share tables, in the transaction that makes its schemas. */
export async function addSharedHome(tx: Queryable, home: SharedHome): Promise<void> {
  await tx.query(
    `insert into tenantry.shared_homes (schema_name, pattern_schema, role_name, owner_role)
     values ($1, $2, $3, $4)`,
    [home.schema, home.pattern, home.role, home.ownerRole],
  )
}

function toTenant(document: TenantDocument): Tenant {
  const { id, key, aliases, name, status, statusReason, plan, settings, createdAt } = document
  const { model, tier, database, schema, role, ownerRole, keyId, epoch, version } = document
  return {
    id,
    key,
    aliases,
    name,
    status,
    statusReason: statusReason ?? undefined,
    plan,
    settings,
    home: {
      model,
      tier,
      database: database ?? undefined,
      schema,
      role,
      ownerRole,
      keyId: keyId ?? undefined,
      epoch,
    },
    version: version ?? 0,
    createdAt: new Date(createdAt),
  }
}
