/** Tells what each object of a schema needs, as the catalogs record it. */

/** Catalog rows and the ids by which descriptions call them; several rows may be one object. */
const IDS = `
  select 'pg_class'::regclass::oid as classid, c.oid as objid, case c.relkind when 'v' then 'view' when 'm' then 'materialized view'
    when 'S' then 'sequence' else 'table' end as kind, c.ident as name from rel c where c.relkind in ('r', 'p', 'v', 'm', 'S')
  union all select 'pg_type'::regclass, y.oid, case c.relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end, c.ident
    from rel c join pg_type y on y.oid = c.reltype where c.relkind in ('r', 'p', 'v', 'm')
  union all select 'pg_type'::regclass, y.typarray, case c.relkind when 'v' then 'view' when 'm' then 'materialized view' else 'table' end, c.ident
    from rel c join pg_type y on y.oid = c.reltype where c.relkind in ('r', 'p', 'v', 'm') and y.typarray <> 0
  union all select 'pg_type'::regclass, t.oid, 'type', t.ident from kind t
  union all select 'pg_type'::regclass, t.typarray, 'type', t.ident from kind t where t.typarray <> 0
  union all select 'pg_class'::regclass, t.typrelid, 'type', t.ident from kind t where t.typrelid <> 0
  union all select 'pg_constraint'::regclass, k.oid, 'type', t.ident from kind t join pg_constraint k on k.contypid = t.oid
  union all select 'pg_type'::regclass, r.rngmultitypid, 'type', t.ident from kind t join pg_range r on r.rngtypid = t.oid
  union all select 'pg_constraint'::regclass, k.oid, 'constraint', k.tab || '.' || k.ident from con k
  union all select 'pg_class'::regclass, k.conindid, 'constraint', k.tab || '.' || k.ident from con k where k.contype in ('p', 'u', 'x')
  union all select 'pg_class'::regclass, i.indexrelid, 'index', i.ident from plain i
  union all select 'pg_proc'::regclass, p.oid, 'routine', p.ident from routine p
  union all select 'pg_operator'::regclass, o.oid, 'operator', o.oid::regoperator::text from oper o
  union all select 'pg_trigger'::regclass, g.oid, 'trigger', g.tab || '.' || quote_ident(g.tgname) from trig g
  union all select 'pg_policy'::regclass, y.oid, 'policy', y.tab || '.' || quote_ident(y.polname) from pol y
  union all select 'pg_rewrite'::regclass, w.oid, 'rule', w.tab || '.' || quote_ident(w.rulename) from rule w
  union all select 'pg_rewrite'::regclass, w.oid, case c.relkind when 'v' then 'view' else 'materialized view' end, c.ident
    from rel c join pg_rewrite w on w.ev_class = c.oid where w.rulename = '_RETURN'
  union all select 'pg_statistic_ext'::regclass, e.oid, 'statistics', e.ident from stat e
  union all select 'pg_attrdef'::regclass, d.oid, 'default', c.ident || '.' || quote_ident(a.attname)
    from tab c join pg_attrdef d on d.adrelid = c.oid join pg_attribute a on a.attrelid = c.oid and a.attnum = d.adnum`

const columnOf = (row: string, number: string, of: string): string =>
  `case when ${number} > 0 and ${row}.kind = 'table' then 'column ' || ${row}.name || '.' || (select quote_ident(a.attname)
    from pg_attribute a where a.attrelid = ${of} and a.attnum = ${number}) else ${row}.kind || ' ' || ${row}.name end`

/** One object: each id that needs something, with the ids that it needs. */
export const NEEDS = `(with ids as materialized (${IDS}),
  edge as (select distinct ${columnOf('i', 'd.objsubid', 'd.objid')} as source, ${columnOf('t', 'd.refobjsubid', 'd.refobjid')} as target
    from ids i cross join lateral (select * from pg_depend d where d.classid = i.classid and d.objid = i.objid offset 0) d
    join ids t on t.classid = d.refclassid and t.objid = d.refobjid)
  select coalesce(jsonb_object_agg(g.source, g.targets), '{}') from (
    select source, jsonb_agg(target order by target collate "C") as targets from edge where source <> target group by source) g)`
