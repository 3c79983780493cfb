/** Finds a schema's objects by indexes alone: what it costs depends on the schema, not on how many there are beside it. */

/** What stays out, and how rights are told. */
export interface ReadOptions {
  /** Tables that are no part of the schema, with their sequences. */
  readonly without?: readonly string[] | undefined
  /** Rights of this role's members are left out: the tenants' own are granted by whoever makes the schema. */
  readonly rightsNotOf?: string | undefined
}

/** Names before `rel` stand for values: `$1` schemas, `$2` tables that stay out, `$3` the group. `s.name` is the schema. */
export const MEMBERS = `n as (select oid, nspname, quote_ident(nspname) as ident from pg_namespace where nspname = s.name),
  member as materialized (select d.classid, d.objid from n cross join lateral (
    select * from pg_depend d where d.refclassid = 'pg_namespace'::regclass and d.refobjid = n.oid and d.deptype = 'n'
      and d.objsubid = 0 offset 0) d
    where not exists (select from pg_depend e where e.classid = d.classid and e.objid = d.objid and e.deptype = 'e')),
  every as materialized (select c.*, quote_ident(c.relname) as ident from member m join pg_class c on c.oid = m.objid
    where m.classid = 'pg_class'::regclass),
  rel as materialized (select c.* from every c where not (c.relname = any($2)) and not (c.relkind = 'S' and exists (
    select from pg_depend d join every l on l.oid = d.refobjid where d.classid = 'pg_class'::regclass and d.objid = c.oid
      and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i') and l.relname = any($2)))),
  tab as materialized (select * from rel where relkind in ('r', 'p')),
  kind as materialized (select t.*, quote_ident(t.typname) as ident from member m join pg_type t on t.oid = m.objid
    where m.classid = 'pg_type'::regclass and t.typtype in ('e', 'd', 'r', 'c')),
  routine as materialized (select p.*, p.oid::regprocedure::text as ident from member m join pg_proc p on p.oid = m.objid
    where m.classid = 'pg_proc'::regclass
      and not exists (select from pg_depend d where d.classid = m.classid and d.objid = m.objid and d.deptype = 'i')),
  con as materialized (select k.*, c.relname, c.ident as tab, quote_ident(k.conname) as ident
    from tab c join pg_constraint k on k.conrelid = c.oid
    where k.contype in ('p', 'u', 'f', 'c', 'x') and not (k.contype = 'f' and k.conparentid <> 0)),
  idx as materialized (select i.*, quote_ident(x.relname) as ident, c.ident as tab, x.reloptions, x.relkind
    from rel c join pg_index i on i.indrelid = c.oid join pg_class x on x.oid = i.indexrelid),
  plain as materialized (select i.* from idx i where not exists (select from pg_constraint k
    where k.conrelid = i.indrelid and k.conindid = i.indexrelid and k.contype in ('p', 'u', 'x'))),
  trig as materialized (select g.*, c.ident as tab from rel c join pg_trigger g on g.tgrelid = c.oid
    where not g.tgisinternal and g.tgparentid = 0),
  rule as materialized (select w.*, c.ident as tab from rel c join pg_rewrite w on w.ev_class = c.oid
    where w.rulename <> '_RETURN'),
  pol as materialized (select y.*, c.ident as tab from tab c join pg_policy y on y.polrelid = c.oid),
  oper as materialized (select o.* from member m join pg_operator o on o.oid = m.objid
    where m.classid = 'pg_operator'::regclass and o.oprcode <> 0),
  stat as materialized (select e.*, quote_ident(e.stxname) as ident from member m join pg_statistic_ext e on e.oid = m.objid
    where m.classid = 'pg_statistic_ext'::regclass)`

/** Before the texts of a schema are read: its own names are told bare, and what they hide is told with its schema. */
export const FROM_INSIDE = `set_config('role', case when has_schema_privilege(session_user, s.oid, 'usage') then 'none'
    else s.owner::text end, true) || set_config('search_path', quote_ident(s.name) || ', pg_catalog, pg_temp', true)`

/** The schemas that are asked for, in their order. */
export const ASKED = `(select t.name, t.position, n.oid, pg_get_userbyid(n.nspowner) as owner
  from unnest($1::text[]) with ordinality t(name, position) left join pg_namespace n on n.nspname = t.name) s`
