/** `tenantry.protect()`: lets tenants see their own rows, and no others, of a table that the user shares on purpose. */

/** Why a column's type is refused: other types compare ids as equal that are two tenants. */
const TYPES = `'int2', 'int4', 'int8', 'numeric', 'uuid', 'text', 'varchar', 'bpchar'`

/**
 * Part of the catalog's second version; for shared migrations, which run as the admin login. What is not obvious:
 * - The id must survive the cast to the column's type and back: '7' and '07' are two tenants, and one number. So are '7'
 *   and '7.0', which numeric would give back as it was.
 * - The default is the setting, which costs nothing for a row; the policy compares it with the proven id.
 * - The runtime login sees all rows: as itself it acts for nobody. Its policy is \`true\`, which leaves no trace in plans.
 * - Owner and admin see all rows where they have connected themselves. In a definer's function that a tenant calls they are
 *   the current user too, and see the tenant's rows.
 * - Partitions and other children are protected alike, and granted to nobody (S30).
 */
export const PROTECT_SQL = `
create function tenantry.protected_tables(target regclass) returns setof regclass
  language sql stable set search_path = pg_catalog, pg_temp
as $body$
  with recursive family (member) as (
    select target::oid union select i.inhrelid from family f join pg_inherits i on i.inhparent = f.member
  ) select member::regclass from family
$body$;

create function tenantry.protect(
  target regclass, tenant_column name default 'tenant_id', rights text default 'select, insert, update, delete'
) returns void language plpgsql set search_path = pg_catalog, pg_temp
as $body$
declare
  kind "char"; schema_oid oid; owner oid; column_type oid; base oid; collation_oid oid; number smallint;
  type_name text; mine text; admins text; other name; part regclass; sequence regclass;
  app name := (select s.value #>> '{}' from tenantry.settings s where s.name = 'runtime_login');
begin
  select c.relkind, c.relnamespace, c.relowner into kind, schema_oid, owner from pg_class c where c.oid = target;
  if kind not in ('r', 'p') then
    raise exception '% is not a table', target using errcode = 'wrong_object_type',
      hint = 'Protect the tables that a view reads, and give the view security_invoker = true.';
  end if;
  if schema_oid in (
    select n.oid from pg_namespace n where n.nspname in ('tenantry', 'pg_catalog', 'information_schema')
      or n.nspname in (select t.schema_name from tenantry.tenants t)
      or exists (select from tenantry.shared_homes h where n.nspname in (h.schema_name, h.pattern_schema))
  ) then
    raise exception '% belongs to tenants or to the catalog', target using errcode = 'wrong_object_type',
      hint = 'protect() is for tables that you share on purpose, in public or a schema of yours.';
  end if;
  select a.atttypid, a.attcollation, a.attnum into column_type, collation_oid, number from pg_attribute a
    where a.attrelid = target and a.attname = tenant_column and a.attnum > 0 and not a.attisdropped;
  if number is null then
    raise exception '% has no column %', target, quote_ident(tenant_column) using errcode = 'undefined_column',
      hint = 'Name the column that holds the tenant''s id: tenantry.protect(''' || target || ''', ''account_id'').';
  end if;
  with recursive bases (type, level) as (
    select column_type, 0 union all
    select t.typbasetype, level + 1 from bases join pg_type t on t.oid = bases.type where t.typtype = 'd'
  ) select b.type into base from bases b order by b.level desc limit 1;
  if base not in (select t.oid from pg_type t where t.typnamespace = 'pg_catalog'::regnamespace and t.typname in (${TYPES}))
    or exists (select from pg_collation c where c.oid = collation_oid and not c.collisdeterministic) then
    raise exception '%.% is %, which takes different ids for the same', target, quote_ident(tenant_column),
      format_type(column_type, -1) using errcode = 'datatype_mismatch',
      hint = 'Make the column uuid, text, bigint, integer or numeric, under a deterministic collation.';
  end if;
  select p.polname into other from pg_policy p where p.polrelid in (select tenantry.protected_tables(target))
    and p.polpermissive and p.polname not in ('tenantry_tenant', 'tenantry_central', 'tenantry_admin')
    and p.polroles && array[0, 'tenantry_tenants'::regrole::oid] limit 1;
  if found then
    raise exception '% has the policy % beside, and a row is seen that either of them allows', target, quote_ident(other)
      using errcode = 'object_not_in_prerequisite_state', hint = 'Drop it, or create it again AS RESTRICTIVE.';
  end if;
  if regexp_replace(lower(rights), '\\s', '', 'g') !~ '^(select|insert|update|delete)(,(select|insert|update|delete))*$' then
    raise exception 'tenants cannot be given %', rights using errcode = 'invalid_parameter_value',
      hint = 'Name some of: select, insert, update, delete. TRUNCATE asks no policy.';
  end if;

  -- Without a length: a cast to varchar(8) would cut an id, and then it is another's.
  type_name := format_type(base, -1);
  mine := format('%I = (select %s)', tenant_column, case when type_name in ('text', 'character varying')
    then 'tenantry.current_tenant()'
    else format('c.id::%1$s from (select tenantry.current_tenant() as id offset 0) c where %2$s::text = c.id', type_name,
      format(case type_name when 'numeric' then 'trim_scale(c.id::%s)' else 'c.id::%s' end, type_name))
  end);
  admins := owner::regrole || case when pg_get_userbyid(owner) = current_user then '' else ', ' || quote_ident(current_user) end;
  for part in select tenantry.protected_tables(target) loop
    perform tenantry.drop_policies(part);
    execute format('create policy tenantry_tenant on %s using (%s) with check (%2$s)', part, mine);
    execute format('create policy tenantry_central on %s to %I using (true) with check (true)', part, app);
    execute format('create policy tenantry_admin on %s to %s using ((select pg_has_role(session_user, %L, ''MEMBER'')
      and coalesce(current_setting(''app.current_tenant'', true), '''') = ''''))', part, admins, pg_get_userbyid(owner));
    execute format('alter table %s enable row level security, force row level security', part);
    execute format('revoke all on %s from public, tenantry_tenants', part);
    if not exists (select from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am m on m.oid = c.relam
      where i.indrelid = part and i.indkey[0] = (
          select a.attnum from pg_attribute a where a.attrelid = part and a.attname = tenant_column)
        and i.indpred is null and i.indisvalid and m.amname = 'btree') then
      execute format('create index on %s (%I)', part, tenant_column);
    end if;
  end loop;
  if not exists (select from pg_attrdef d where d.adrelid = target and d.adnum = number) and not exists (
    select from pg_attribute a where a.attrelid = target and a.attnum = number and (a.attidentity <> '' or a.attgenerated <> ''))
  then
    execute format('alter table %s alter column %I set default nullif(current_setting(''app.current_tenant'', true), '''')::%s',
      target, tenant_column, type_name);
  end if;

  execute format('grant %s on %s to tenantry_tenants', rights, target);
  execute format('grant select, insert, update, delete on %s to %I', target, app);
  if not has_schema_privilege('tenantry_tenants', schema_oid, 'USAGE') then
    execute format('grant usage on schema %s to tenantry_tenants', schema_oid::regnamespace);
  end if;
  for sequence in select d.objid::regclass from pg_depend d join pg_class c on c.oid = d.objid and c.relkind = 'S'
    where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid = target and d.deptype = 'a'
  loop
    execute format('grant usage on sequence %s to tenantry_tenants, %I', sequence, app);
  end loop;
end
$body$;
comment on function tenantry.protect(regclass, name, text) is
  'Tenants see and write their own rows of the table, by the column that holds the tenant''s id. May be run again.';

create function tenantry.drop_policies(target regclass) returns void
  language plpgsql set search_path = pg_catalog, pg_temp
as $body$
declare
  name text;
begin
  for name in select p.polname from pg_policy p
    where p.polrelid = target and p.polname in ('tenantry_tenant', 'tenantry_central', 'tenantry_admin')
  loop
    execute format('drop policy %I on %s', name, target);
  end loop;
end
$body$;

create function tenantry.unprotect(target regclass) returns void language plpgsql set search_path = pg_catalog, pg_temp
as $body$
declare
  part regclass;
begin
  execute format('revoke all on %s from tenantry_tenants', target);
  for part in select tenantry.protected_tables(target) loop
    perform tenantry.drop_policies(part);
    if not exists (select from pg_policy p where p.polrelid = part) then
      execute format('alter table %s no force row level security, disable row level security', part);
    end if;
  end loop;
end
$body$;
comment on function tenantry.unprotect(regclass) is
  'Takes the table from tenants, and the policies from the table; default and index stay.';

revoke execute on function tenantry.protected_tables(regclass), tenantry.protect(regclass, name, text),
  tenantry.drop_policies(regclass), tenantry.unprotect(regclass) from public;
`
