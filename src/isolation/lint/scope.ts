/** Whose objects the lint looks at, and who counts as a tenant: common expressions in front of every rule's query. */
import { quoteLiteral } from '../../sql/quote.ts'

const CATALOGS = `
tenant_schemas as (select schema_name from tenantry.tenants where model = 'schema'),
shared_homes as (select schema_name, pattern_schema from tenantry.shared_homes),
place as (select false as alone),`

const aloneWith = (schema: string): string => `
tenant_schemas as (select ${quoteLiteral(schema)} as schema_name),
shared_homes as (select null::text as schema_name, null::text as pattern_schema where false),
place as (select true as alone),`

/**
 * - `tenant_roles`: PUBLIC (0), the group of all tenants and its members. Whoever makes roles is no tenant.
 * - `spaces`: the user's schemas. Their `kind` is `tenant` (one tenant's own), `home` (tables derived for the tenants of the
 *   shared model) or `shared` (all others). The pattern is left out: what is in it shows in the home.
 * - `relations` and `routines`: the user's, without those of extensions; `reached` by tenants' rights on it.
 * - `carriers`: tables outside of tenants' own schemas with a column named as one of $1; none where there is one tenant alone.
 * Source: PostgreSQL manual, 52 System Catalogs.
 * @param home the schema of the tenant whose own database it is; the catalog's database by default.
 */
export function scopeOf(home?: string): string {
  return `with ${home === undefined ? CATALOGS : aloneWith(home)}${SCOPE}`
}

const SCOPE = `
tenant_roles as (
  select 0::oid as oid
  union select g.oid from pg_roles g where g.rolname = 'tenantry_tenants'
  union select m.member from pg_auth_members m join pg_roles g on g.oid = m.roleid join pg_roles r on r.oid = m.member
    where g.rolname = 'tenantry_tenants' and not r.rolcreaterole and not r.rolsuper
),
spaces as (
  select n.oid, n.nspname as space, n.nspacl, case
      when exists (select from tenant_schemas t where t.schema_name = n.nspname) then 'tenant'
      when exists (select from shared_homes h where h.schema_name = n.nspname) then 'home'
      else 'shared' end as kind
  from pg_namespace n
  where n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'tenantry')
    and not exists (select from shared_homes h where h.pattern_schema = n.nspname)
),
relations as (
  select c.*, s.space, s.kind, coalesce((
      select array_agg(distinct x.privilege_type) from aclexplode(c.relacl) x where x.grantee in (select oid from tenant_roles)
    ), '{}') as reached
  from pg_class c join spaces s on s.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'f') and not exists (
    select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
),
routines as (
  select p.*, s.space, s.kind, exists (
      select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
      where x.privilege_type = 'EXECUTE' and x.grantee in (select oid from tenant_roles)) as reached,
    p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')' as signature
  from pg_proc p join spaces s on s.oid = p.pronamespace
  where p.prokind in ('f', 'p') and not exists (
    select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
),
carriers as (
  select distinct on (r.oid) r.*, a.attname as tenant_column, a.attnum as tenant_attnum
  from relations r join pg_attribute a on a.attrelid = r.oid
  where not (select alone from place)
    and r.kind <> 'tenant' and r.relkind in ('r', 'p') and a.attname = any ($1::text[]) and not a.attisdropped
  order by r.oid, array_position($1::text[], a.attname::text)
)
`
