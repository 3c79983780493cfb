/** Tells the facts of each object in SQL, as one row: kind, name, facts. */
import { SCHEMA_MARK } from '../description.ts'

const facts = (pairs: string): string => `jsonb_strip_nulls(jsonb_build_object(${pairs}))`
const list = (items: string, source: string, order: string): string =>
  `(select jsonb_agg(${items} order by ${order}) from ${source})`
const sorted = (options: string): string =>
  `(select jsonb_agg(o order by o collate "C") from unnest(${options}) o)`
const flag = (condition: string): string => `case when ${condition} then true end`

/** Rights of others than the owner, where they differ from those that such an object is born with. */
function grants(acl: string, owner: string, born: 'nothing' | 'EXECUTE' | 'USAGE' = 'nothing'): string {
  const usual = born === 'nothing' ? '[]' : `[{"to": "public", "rights": ["${born}"]}]`
  return `case when ${acl} is not null then nullif(coalesce((select jsonb_agg(${facts(
    "'to', g.to, 'rights', g.rights, 'grantable', g.grantable",
  )} order by g.to, g.grantable) from (
    select case e.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(e.grantee)) end collate "C" as to,
      jsonb_agg(e.privilege_type order by e.privilege_type collate "C") as rights, ${flag('e.is_grantable')} as grantable
    from aclexplode(${acl}) e where e.grantee <> ${owner}
      and not exists (select from pg_auth_members m where m.member = e.grantee and m.roleid = to_regrole($3))
    group by 1, e.is_grantable) g), '[]'), '${usual}') end`
}

const sequenceOptions = (s: string): string =>
  `'type', format_type(${s}.seqtypid, null), 'start', ${s}.seqstart::text, 'increment', ${s}.seqincrement::text,
   'min', ${s}.seqmin::text, 'max', ${s}.seqmax::text, 'cache', ${s}.seqcache::text, 'cycle', ${flag(`${s}.seqcycle`)}`

const persistence = `case c.relpersistence when 'u' then 'u' end`
const origin = (count: string, local: string): string =>
  `'inherited', ${flag(`${count} > 0`)}, 'local', ${flag(`${count} > 0 and ${local}`)}`

const IDENTITY = `case when a.attidentity <> '' then coalesce((select ${facts(
  `'how', a.attidentity, 'sequence', quote_ident(q.relname), 'options', ${facts(sequenceOptions('s'))}`,
)} from pg_depend e join pg_class q on q.oid = e.objid join pg_sequence s on s.seqrelid = q.oid
  where e.refclassid = 'pg_class'::regclass and e.refobjid = c.oid and e.refobjsubid = a.attnum
    and e.classid = 'pg_class'::regclass and e.deptype = 'i'), jsonb_build_object('how', a.attidentity)) end`

const NOT_NULL = `case when a.attnotnull or k.oid is not null then ${facts(
  `'name', quote_ident(k.conname), 'definition', pg_get_constraintdef(k.oid), ${origin('k.coninhcount', 'k.conislocal')},
   'comment', obj_description(k.oid, 'pg_constraint')`,
)} end`

const COLUMN = facts(`'name', quote_ident(a.attname), 'type', format_type(a.atttypid, a.atttypmod),
  'collation', case when a.attcollation <> y.typcollation then a.attcollation::regcollation::text end,
  'notNull', ${NOT_NULL},
  'default', case when a.attgenerated = '' then pg_get_expr(d.adbin, d.adrelid) end,
  'generated', case when a.attgenerated <> '' then jsonb_build_object('how', a.attgenerated, 'as', pg_get_expr(d.adbin, d.adrelid)) end,
  'identity', ${IDENTITY},
  'storage', case when a.attstorage <> y.typstorage then a.attstorage::text end,
  'compression', nullif(a.attcompression::text, ''), 'statistics', nullif(a.attstattarget, -1),
  'options', ${sorted('a.attoptions')}, ${origin('a.attinhcount', 'a.attislocal')},
  'comment', col_description(c.oid, a.attnum), 'grants', ${grants('a.attacl', 'c.relowner')}`)

const COLUMNS = list(
  COLUMN,
  `pg_attribute a join pg_type y on y.oid = a.atttypid
    left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum
    left join pg_constraint k on k.conrelid = c.oid and k.contype = 'n' and k.conkey = array[a.attnum]
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped`,
  'a.attnum',
)

const TABLE =
  facts(`'columns', coalesce(${COLUMNS}, '[]'), 'persistence', ${persistence}, 'options', ${sorted('c.reloptions')},
  'toastOptions', (select ${sorted('o.reloptions')} from pg_class o where o.oid = c.reltoastrelid),
  'method', (select quote_ident(m.amname) from pg_am m where m.oid = c.relam and m.amname <> 'heap'),
  'partitionBy', case c.relkind when 'p' then pg_get_partkeydef(c.oid) end, 'bound', pg_get_expr(c.relpartbound, c.oid),
  'parents', ${list('i.inhparent::regclass::text', 'pg_inherits i where i.inhrelid = c.oid', 'i.inhseqno')},
  'ofType', case when c.reloftype <> 0 then format_type(c.reloftype, null) end,
  'replicaIdentity', nullif(c.relreplident::text, 'd'), 'rowSecurity', ${flag('c.relrowsecurity')},
  'forced', ${flag('c.relforcerowsecurity')}, 'comment', obj_description(c.oid, 'pg_class'),
  'grants', ${grants('c.relacl', 'c.relowner')}`)

/** Of an index `i`. A constraint's own definition does not tell them. */
const INDEX_TRAITS = `'parent', (select quote_ident(h.relname) from pg_inherits j join pg_class h on h.oid = j.inhparent
    where j.inhrelid = i.indexrelid),
  'clustered', ${flag('i.indisclustered')}, 'replicaIdentity', ${flag('i.indisreplident')}, 'invalid', ${flag('not i.indisvalid')}`

const CONSTRAINT =
  facts(`'table', k.tab, 'type', k.contype, 'constraint', k.ident, 'definition', pg_get_constraintdef(k.oid),
  ${origin('k.coninhcount', 'k.conislocal')}, 'comment', obj_description(k.oid, 'pg_constraint'),
  'options', ${sorted('i.reloptions')}, ${INDEX_TRAITS}`)

const INDEX = facts(`'table', i.tab, 'definition', pg_get_indexdef(i.indexrelid, 0, true),
  'comment', obj_description(i.indexrelid, 'pg_class'), ${INDEX_TRAITS},
  'statistics', (select jsonb_object_agg(a.attnum, a.attstattarget) from pg_attribute a
    where a.attrelid = i.indexrelid and a.attstattarget >= 0)`)

const OWNED_BY = `(select o.relname from (select quote_ident(t.relname) || '.' || quote_ident(a.attname) as relname
  from pg_depend d join pg_class t on t.oid = d.refobjid join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
  where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.refclassid = 'pg_class'::regclass and d.deptype = 'a') o)`

const SEQUENCE = facts(`${sequenceOptions('s')}, 'persistence', ${persistence}, 'ownedBy', ${OWNED_BY},
  'comment', obj_description(c.oid, 'pg_class'), 'grants', ${grants('c.relacl', 'c.relowner')}`)

const VIEW_COLUMN = facts(`'name', quote_ident(a.attname), 'type', format_type(a.atttypid, a.atttypmod),
  'default', pg_get_expr(d.adbin, d.adrelid), 'comment', col_description(c.oid, a.attnum),
  'grants', ${grants('a.attacl', 'c.relowner')}`)

const VIEW = facts(`'query', pg_get_viewdef(c.oid), 'options', ${sorted('c.reloptions')},
  'columns', coalesce(${list(VIEW_COLUMN, 'pg_attribute a left join pg_attrdef d on d.adrelid = c.oid and d.adnum = a.attnum where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped', 'a.attnum')}, '[]'),
  'unpopulated', ${flag('not c.relispopulated')}, 'persistence', ${persistence},
  'comment', obj_description(c.oid, 'pg_class'), 'grants', ${grants('c.relacl', 'c.relowner')}`)

const AGGREGATE = `(select format('create aggregate %s (%s)', p.oid::regproc, concat_ws(', ',
    format('sfunc = %s', g.aggtransfn::regproc), format('stype = %s', format_type(g.aggtranstype, null)),
    'sspace = ' || nullif(g.aggtransspace, 0), 'finalfunc = ' || nullif(g.aggfinalfn, 0)::regproc,
    case when g.aggfinalextra then 'finalfunc_extra' end,
    'finalfunc_modify = ' || case g.aggfinalmodify when 's' then 'shareable' when 'w' then 'read_write' end,
    'combinefunc = ' || nullif(g.aggcombinefn, 0)::regproc, 'serialfunc = ' || nullif(g.aggserialfn, 0)::regproc,
    'deserialfunc = ' || nullif(g.aggdeserialfn, 0)::regproc, 'initcond = ' || quote_literal(g.agginitval),
    'msfunc = ' || nullif(g.aggmtransfn, 0)::regproc, 'minvfunc = ' || nullif(g.aggminvtransfn, 0)::regproc,
    'mstype = ' || format_type(nullif(g.aggmtranstype, 0), null), 'msspace = ' || nullif(g.aggmtransspace, 0),
    'mfinalfunc = ' || nullif(g.aggmfinalfn, 0)::regproc, case when g.aggmfinalextra then 'mfinalfunc_extra' end,
    'mfinalfunc_modify = ' || case when g.aggmtransfn <> 0 then case g.aggmfinalmodify when 's' then 'shareable' when 'w' then 'read_write' end end,
    'minitcond = ' || quote_literal(g.aggminitval), 'sortop = operator(' || nullif(g.aggsortop, 0)::regoper || ')',
    case g.aggkind when 'h' then 'hypothetical' end,
    'parallel = ' || case p.proparallel when 's' then 'safe' when 'r' then 'restricted' end))
  from pg_aggregate g where g.aggfnoid = p.oid)`

/** Its heading names the schema whatever the path is. The arguments follow after the name of the aggregate. */
const ROUTINE_NAME = `format('CREATE OR REPLACE %s %s.', case p.prokind when 'p' then 'PROCEDURE' else 'FUNCTION' end, n.ident)`
const FUNCTION = `(select format('create or replace %s ', case p.prokind when 'p' then 'procedure' else 'function' end)
    || replace(substr(f.text, length(${ROUTINE_NAME}) + 1),
      E'\\n SET search_path TO ' || quote_literal(n.nspname), E'\\n SET search_path TO ${SCHEMA_MARK}')
  from n, pg_get_functiondef(p.oid) f(text) where starts_with(f.text, ${ROUTINE_NAME}))`

const ROUTINE =
  facts(`'how', case p.prokind when 'p' then 'procedure' when 'a' then 'aggregate' else 'function' end,
  'definition', case p.prokind when 'a' then replace(${AGGREGATE}, p.oid::regproc || ' (',
    p.oid::regproc || '(' || coalesce(nullif(pg_get_function_arguments(p.oid), ''), '*') || ') (') else ${FUNCTION} end,
  'comment', obj_description(p.oid, 'pg_proc'), 'grants', ${grants('p.proacl', 'p.proowner', 'EXECUTE')}`)

const OPERATOR =
  facts(`'definition', format('create operator %s (%s)', o.oprname, concat_ws(', ', 'function = ' || o.oprcode,
    'leftarg = ' || format_type(nullif(o.oprleft, 0), null), 'rightarg = ' || format_type(nullif(o.oprright, 0), null),
    'commutator = operator(' || nullif(o.oprcom, 0)::regoper || ')', 'negator = operator(' || nullif(o.oprnegate, 0)::regoper || ')',
    'restrict = ' || nullif(o.oprrest, 0)::regproc, 'join = ' || nullif(o.oprjoin, 0)::regproc,
    case when o.oprcanhash then 'hashes' end, case when o.oprcanmerge then 'merges' end)),
  'comment', obj_description(o.oid, 'pg_operator')`)

const TRIGGER =
  facts(`'table', g.tab, 'trigger', quote_ident(g.tgname), 'definition', pg_get_triggerdef(g.oid, true),
  'enabled', nullif(g.tgenabled::text, 'O'), 'comment', obj_description(g.oid, 'pg_trigger')`)

const RULE =
  facts(`'table', w.tab, 'trigger', quote_ident(w.rulename), 'definition', pg_get_ruledef(w.oid, true),
  'enabled', nullif(w.ev_enabled::text, 'O'), 'comment', obj_description(w.oid, 'pg_rewrite')`)

const POLICY = facts(`'table', y.tab, 'policy', quote_ident(y.polname), 'command', y.polcmd,
  'restrictive', ${flag('not y.polpermissive')},
  'roles', (select jsonb_agg(r.name order by r.name collate "C") from (select case u.oid when 0 then 'public'
    else quote_ident(pg_get_userbyid(u.oid)) end as name from unnest(y.polroles) u(oid)) r),
  'using', pg_get_expr(y.polqual, y.polrelid), 'check', pg_get_expr(y.polwithcheck, y.polrelid),
  'comment', obj_description(y.oid, 'pg_policy')`)

const RANGE = `(select ${facts(`'subtype', format_type(r.rngsubtype, null),
  'subtype_opclass', (select quote_ident(z.nspname) || '.' || quote_ident(o.opcname) from pg_opclass o join pg_namespace z on z.oid = o.opcnamespace
    where o.oid = r.rngsubopc and not o.opcdefault),
  'collation', case when r.rngcollation <> (select typcollation from pg_type where oid = r.rngsubtype) then r.rngcollation::regcollation::text end,
  'subtype_diff', nullif(r.rngsubdiff, 0)::regproc::text, 'canonical', nullif(r.rngcanonical, 0)::regproc::text,
  'multirange_type_name', format_type(r.rngmultitypid, null)`)} from pg_range r where r.rngtypid = t.oid)`

const TYPE =
  facts(`'how', case t.typtype when 'e' then 'enum' when 'c' then 'composite' when 'd' then 'domain' else 'range' end,
  'labels', case t.typtype when 'e' then coalesce(${list('e.enumlabel', 'pg_enum e where e.enumtypid = t.oid', 'e.enumsortorder')}, '[]') end,
  'attributes', case t.typtype when 'c' then coalesce(${list(
    facts(`'name', quote_ident(a.attname), 'type', format_type(a.atttypid, a.atttypmod),
      'collation', case when a.attcollation <> y.typcollation then a.attcollation::regcollation::text end,
      'comment', col_description(t.typrelid, a.attnum)`),
    'pg_attribute a join pg_type y on y.oid = a.atttypid where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped',
    'a.attnum',
  )}, '[]') end,
  'base', case t.typtype when 'd' then format_type(t.typbasetype, t.typtypmod) end,
  'collation', case when t.typtype = 'd' and t.typcollation <> (select b.typcollation from pg_type b where b.oid = t.typbasetype)
    then t.typcollation::regcollation::text end,
  'default', case t.typtype when 'd' then coalesce(pg_get_expr(t.typdefaultbin, 0), quote_literal(t.typdefault)) end,
  'notNull', case when t.typtype = 'd' and t.typnotnull then true end,
  'constraints', case t.typtype when 'd' then ${list("jsonb_build_object('name', quote_ident(k.conname), 'definition', pg_get_constraintdef(k.oid))", "pg_constraint k where k.contypid = t.oid and k.contype = 'c'", 'k.conname collate "C"')} end,
  'range', case t.typtype when 'r' then ${RANGE} end,
  'comment', obj_description(t.oid, 'pg_type'), 'grants', ${grants('t.typacl', 't.typowner', 'USAGE')}`)

const STATISTICS = facts(`'definition', (select 'create statistics ' || substr(f.text, length(h.text) + 1)
    from n, pg_get_statisticsobjdef(e.oid) f(text), format('CREATE STATISTICS %s.', n.ident) h(text) where starts_with(f.text, h.text)),
  'target', nullif(e.stxstattarget, -1), 'comment', obj_description(e.oid, 'pg_statistic_ext')`)

/** The name of an object from inside of the schema, which `pg_identify_object` puts before it. */
const identity = (object: string): string =>
  `(select format('%s %s', f.type, replace(f.identity, n.ident || '.', '')) from n, pg_identify_object(${object}, 0) f)`

/** Whatever belongs to the schema and is none of the kinds above; and what these cannot say. */
const UNSUPPORTED = `
  select ${identity('m.classid, m.objid')} from member m
    where m.classid not in ('pg_class'::regclass, 'pg_type'::regclass, 'pg_proc'::regclass, 'pg_operator'::regclass, 'pg_statistic_ext'::regclass)
  union all select ${identity("'pg_class'::regclass, c.oid")} from rel c where c.relkind not in ('r', 'p', 'v', 'm', 'S')
  union all select ${identity("'pg_type'::regclass, m.objid")} from member m join pg_type t on t.oid = m.objid
    where m.classid = 'pg_type'::regclass and t.typtype not in ('e', 'd', 'r', 'c', 'm')
  union all select ${identity("'pg_operator'::regclass, m.objid")} from member m join pg_operator o on o.oid = m.objid
    where m.classid = 'pg_operator'::regclass and o.oprcode = 0
  union all select ${identity("'pg_proc'::regclass, p.oid")} from routine p
    where p.prokind <> 'a' and p.prolang in (select oid from pg_language where lanname in ('c', 'internal'))
  union all select 'tablespace of ' || c.ident from rel c where c.reltablespace <> 0
  union all select 'tablespace of ' || i.ident from idx i join pg_class x on x.oid = i.indexrelid where x.reltablespace <> 0
  union all select format('default privileges on %s', a.defaclobjtype) from n join pg_default_acl a on a.defaclnamespace = n.oid
    where exists (select from aclexplode(a.defaclacl) e where e.grantee <> a.defaclrole
      and not exists (select from pg_auth_members m where m.member = e.grantee and m.roleid = to_regrole($3)))`

const row = (kind: string, name: string, text: string, source: string): string =>
  `select '${kind}' as kind, ${name} as name, ${text} as facts from ${source}`

/** All objects of one schema, on top of `MEMBERS`. */
export const OBJECTS = [
  row('table', 'c.ident', TABLE, 'tab c'),
  row(
    'constraint',
    "k.tab || '.' || k.ident",
    CONSTRAINT,
    "con k left join idx i on i.indexrelid = k.conindid and k.contype in ('p', 'u', 'x')",
  ),
  row('index', 'i.ident', INDEX, 'plain i'),
  row(
    'sequence',
    'c.ident',
    SEQUENCE,
    `rel c join pg_sequence s on s.seqrelid = c.oid where not exists (select from pg_depend d
      where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype = 'i')`,
  ),
  row('view', 'c.ident', VIEW, "rel c where c.relkind = 'v'"),
  row('materialized view', 'c.ident', VIEW, "rel c where c.relkind = 'm'"),
  row('routine', 'p.ident', ROUTINE, 'routine p'),
  row('operator', 'o.oid::regoperator::text', OPERATOR, 'oper o'),
  row('trigger', "g.tab || '.' || quote_ident(g.tgname)", TRIGGER, 'trig g'),
  row('rule', "w.tab || '.' || quote_ident(w.rulename)", RULE, 'rule w'),
  row('policy', "y.tab || '.' || quote_ident(y.polname)", POLICY, 'pol y'),
  row('type', 't.ident', TYPE, 'kind t'),
  row('statistics', 'e.ident', STATISTICS, 'stat e'),
  `select 'unsupported', u.name, '{}'::jsonb from (${UNSUPPORTED}) u(name)`,
].join('\nunion all ')
