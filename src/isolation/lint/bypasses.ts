/** What runs with the rights of its owner, or for several tenants as one: functions, views, materialized views. */
import type { LintRule } from './finding.ts'

/** Relations below each view, however deep. */
const BENEATH = `beneath as (
  select w.ev_class as view, d.refobjid as relation from pg_rewrite w
  join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass
    and d.refobjid <> w.ev_class
  where w.ev_class in (select oid from relations where relkind in ('v', 'm'))
), deep as (
  with recursive deep (view, relation) as (
    select view, relation from beneath union select deep.view, b.relation from deep join beneath b on b.view = deep.relation
  ) select deep.view, c.* from deep join pg_class c on c.oid = deep.relation
  where c.relrowsecurity or c.oid in (select oid from carriers)
)`

export const BYPASS_RULES: readonly LintRule[] = [
  {
    name: 'definer-function-with-mutable-path',
    threat: 'S7',
    // A body that was parsed when the function was made looks up no names any more.
    query: `select space, kind, signature as name, pg_get_userbyid(proowner) as detail,
        case when reached then 'error' else 'warning' end as severity
      from routines where prosecdef and prosqlbody is null and not exists (
        select from unnest(proconfig) s where s ~ '^search_path=' and s !~ '\\$user')`,
    reason: (owner) =>
      `It runs with the rights of ${owner} and finds its tables and functions by the path of whoever calls it.`,
    wayOut: (object) =>
      `alter function ${object} set search_path = pg_catalog, pg_temp; and qualify the names in it.`,
  },
  {
    name: 'definer-function-for-everybody',
    threat: 'S7',
    query: `select space, kind, signature as name, pg_get_userbyid(proowner) as detail, 'warning' as severity
      from routines where prosecdef and kind <> 'tenant' and prorettype <> 'trigger'::regtype and exists (
        select from aclexplode(coalesce(proacl, acldefault('f', proowner))) x
        where x.grantee = 0 and x.privilege_type = 'EXECUTE')`,
    reason: (owner) =>
      `Everybody may call it, as PostgreSQL grants by default, and it has the rights of ${owner}.`,
    wayOut: (object) =>
      `revoke execute on function ${object} from public; and grant it to those who need it.`,
  },
  {
    name: 'view-with-rights-of-its-owner',
    threat: 'S8',
    query: `, ${BENEATH}
      select r.space, r.kind, r.relname as name,
        string_agg(distinct d.oid::regclass::text, ', ') as detail,
        case when not r.reached && array['SELECT', 'INSERT', 'UPDATE', 'DELETE'] then 'advice'
          when bool_or(o.rolsuper or o.rolbypassrls or not d.relrowsecurity
            or (not d.relforcerowsecurity and pg_has_role(r.relowner, d.relowner, 'USAGE'))) then 'error'
          else 'warning' end as severity
      from relations r join deep d on d.view = r.oid join pg_roles o on o.oid = r.relowner
      where r.relkind = 'v' and not coalesce(r.reloptions && array['security_invoker=true', 'security_invoker=on',
        'security_invoker=1', 'security_invoker=yes'], false)
      group by r.oid, r.space, r.kind, r.relname, r.reached`,
    reason: (tables) =>
      `It reads ${tables} with the rights of its owner: policies ask who that is, and not who looks.`,
    wayOut: (object) => `alter view ${object} set (security_invoker = true);`,
  },
  {
    name: 'materialized-view-over-tenants',
    threat: 'S8',
    query: `, ${BENEATH}
      select r.space, r.kind, r.relname as name, string_agg(distinct d.oid::regclass::text, ', ') as detail,
        case when 'SELECT' = any (r.reached) then 'error' else 'warning' end as severity
      from relations r join deep d on d.view = r.oid where r.relkind = 'm'
      group by r.oid, r.space, r.kind, r.relname, r.reached`,
    reason: (tables) => `It keeps rows of all tenants from ${tables}, and cannot have policies.`,
    wayOut: (object) =>
      `revoke all on ${object} from public, tenantry_tenants; show it through a table with policies, or a view over one.`,
  },
  {
    name: 'row-type-in-shared-function',
    threat: 'S31',
    query: `select f.space, f.kind, f.signature as name, f.prosrc as detail, 'warning' as severity
      from routines f join pg_language l on l.oid = f.prolang
      where l.lanname = 'plpgsql' and f.kind = 'shared' and f.reached
        and not exists (select from unnest(f.proconfig) s where s ~ '^search_path=')`,
    judge: (source) => /(?<![.\w"])("[^"]+"|\w+)(\.\w+)?\s*%\s*(rowtype|type)\b/i.test(source),
    reason: () =>
      'It takes the type of a table by the caller’s path, once: the columns of the first tenant are taken for the next one’s.',
    wayOut: () => 'Put the function into the tenant migrations, or pin its path and use `record`.',
  },
]
