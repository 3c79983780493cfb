/** Rights that tenants or everybody have and no policy limits, and settings that switch policies off. */
import type { LintRule } from './finding.ts'

export const GRANT_RULES: readonly LintRule[] = [
  {
    name: 'truncate-granted',
    threat: 'S11',
    query: `select space, kind, relname as name, '' as detail, 'error' as severity
      from relations where kind <> 'tenant' and 'TRUNCATE' = any (reached)`,
    reason: () => 'Tenants may TRUNCATE it, which asks no policy and takes the rows of all of them.',
    wayOut: (object) => `revoke truncate on ${object} from public, tenantry_tenants;`,
  },
  {
    name: 'table-open-to-everybody',
    query: `select r.space, r.kind, r.relname as name,
        lower(string_agg(distinct x.privilege_type, ', ')) as detail,
        case when r.kind = 'tenant' then 'error' else 'warning' end as severity
      from relations r, aclexplode(r.relacl) x where x.grantee = 0
      group by r.oid, r.space, r.kind, r.relname`,
    reason: (rights) =>
      `Everybody who can log in may ${rights}: tenants of other kinds, and logins of other programs.`,
    wayOut: (object) => `revoke all on ${object} from public; grant what is meant to tenantry_tenants.`,
  },
  {
    name: 'schema-open-to-everybody',
    threat: 'S1',
    // USAGE of schemas that tenants share is what makes their tables reachable by those who have rights on them.
    query: `select '' as space, s.kind, quote_ident(s.space) as name, x.privilege_type as detail, 'error' as severity
      from spaces s, aclexplode(s.nspacl) x
      where x.grantee in (select oid from tenant_roles where s.kind <> 'tenant' or oid = 0)
        and (x.privilege_type = 'CREATE' or s.kind = 'tenant')`,
    reason: (right) =>
      right === 'CREATE'
        ? 'Tenants may make objects in it, which others find by their path before those that are meant.'
        : 'Everybody may look into it, and it is one tenant’s.',
    wayOut: (object, right) =>
      `revoke ${right.toLowerCase()} on schema ${object} from public, tenantry_tenants;`,
  },
  {
    name: 'tenant-role-above-policies',
    threat: 'S12',
    beyond: 'roles',
    query: `select '' as space, 'shared' as kind, quote_ident(r.rolname) as name, 'error' as severity,
        case when r.rolsuper then 'a superuser' else 'BYPASSRLS' end as detail
      from pg_roles r where (r.rolsuper or r.rolbypassrls) and (
        r.rolname = (select s.value #>> '{}' from tenantry.settings s where s.name = 'runtime_login')
        or r.oid in (select m.member from pg_auth_members m join pg_roles g on g.oid = m.roleid
          where g.rolname = 'tenantry_tenants' and not r.rolcreaterole)
        or r.rolname = 'tenantry_tenants')`,
    reason: (what) => `Statements of tenants run as it, and it is ${what}: no policy holds.`,
    wayOut: (object) => `alter role ${object} nosuperuser nobypassrls;`,
  },
  {
    name: 'row-security-switched-off',
    threat: 'S13',
    beyond: 'roles',
    query: `select '' as space, 'shared' as kind, 'warning' as severity, '' as detail,
        coalesce('role ' || quote_ident(r.rolname), '') || case when r.oid is not null and d.oid is not null then ' in ' else '' end
          || coalesce('database ' || quote_ident(d.datname), '') as name
      from pg_db_role_setting s left join pg_database d on d.oid = s.setdatabase left join pg_roles r on r.oid = s.setrole
      where (d.oid is null or d.datname = current_database())
        and exists (select from unnest(s.setconfig) c where c ~* '^row_security=(off|false|no|0|f|n)$')`,
    reason: () =>
      'Policies are switched off by default there: statements on tables that have them fail, or bypass them.',
    wayOut: (object) => `alter ${object} reset row_security;`,
  },
]
