/** Reads what a schema holds from the catalogs, in one statement. */
import type { Queryable } from '../../core/database.ts'
import { quoteIdent } from '../../sql/quote.ts'
import type { SchemaFacts } from './schema-facts.ts'

/** The ledger of migrations: no table of the tenants', though it may lie among theirs. */
export const LEDGER = 'pgmigrations'

/** Rights that others than the owner have on an object. */
function grantsOf(acl: string, kind: string, owner: string, columns = ''): string {
  return `(select coalesce(json_agg(json_build_object('to', g.grantee, 'rights', g.rights, 'odd', g.odd)), '[]') from (
    select case a.grantee when 0 then 'public' else quote_ident(pg_get_userbyid(a.grantee)) end as grantee,
      coalesce(array_agg(distinct a.privilege_type order by a.privilege_type) filter (where not a.col), '{}') as rights,
      bool_or(a.is_grantable or a.col) as odd
    from (select e.*, false as col from aclexplode(coalesce(${acl}, acldefault('${kind}', ${owner}))) e ${columns}) a
    where a.grantee <> ${owner} group by a.grantee) g)`
}

const COLUMN_GRANTS = `union all select e.*, true from pg_attribute x, aclexplode(x.attacl) e where x.attrelid = c.oid`

function list(items: string, source: string, order: string): string {
  return `(select coalesce(json_agg(${items} order by ${order}), '[]') from ${source})`
}

/** Column names of a constraint's array of numbers, quoted, in its order. */
function namesOf(numbers: string, table: string): string {
  return `(select coalesce(json_agg(quote_ident(a.attname) order by n.at), '[]')
    from unnest(${numbers}) with ordinality n(num, at) join pg_attribute a on a.attrelid = ${table} and a.attnum = n.num)`
}

const COLUMNS = list(
  `json_build_object('name', a.attname, 'ident', quote_ident(a.attname), 'notNull', a.attnotnull,
    'type', format_type(a.atttypid, a.atttypmod),
    'collation', (select l.collname from pg_collation l where l.oid = a.attcollation),
    'default', (select pg_get_expr(d.adbin, d.adrelid) from pg_attrdef d where d.adrelid = c.oid and d.adnum = a.attnum))`,
  'pg_attribute a where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped',
  'a.attnum',
)

const POLICIES = list(
  `json_build_object('name', y.polname, 'ident', quote_ident(y.polname), 'permissive', y.polpermissive,
    'command', y.polcmd, 'using', pg_get_expr(y.polqual, y.polrelid), 'check', pg_get_expr(y.polwithcheck, y.polrelid),
    'roles', (select json_agg(r.name order by r.name) from (select case u.oid when 0 then 'public'
      else quote_ident(pg_get_userbyid(u.oid)) end as name from unnest(y.polroles) u(oid)) r))`,
  'pg_policy y where y.polrelid = c.oid',
  'y.polname',
)

const TABLE = `json_build_object('name', c.relname, 'ident', quote_ident(c.relname), 'owner', pg_get_userbyid(c.relowner),
  'partition', c.relispartition, 'ofType', c.reloftype <> 0, 'rowSecurity', c.relrowsecurity,
  'forced', c.relforcerowsecurity,
  'parents', ${list('p.relname', 'pg_inherits i join pg_class p on p.oid = i.inhparent and p.relnamespace = c.relnamespace where i.inhrelid = c.oid', 'i.inhseqno')},
  'strangeParent', exists (select from pg_inherits i join pg_class p on p.oid = i.inhparent
    where i.inhrelid = c.oid and p.relnamespace <> c.relnamespace),
  'shadowed', to_regclass('pg_catalog.' || quote_ident(c.relname)) is not null,
  'columns', ${COLUMNS}, 'policies', ${POLICIES},
  'grants', ${grantsOf('c.relacl', 'r', 'c.relowner', COLUMN_GRANTS)})`

const CONSTRAINT = `json_build_object('oid', k.oid::text, 'parent', k.conparentid::text, 'table', c.relname,
  'name', k.conname, 'ident', quote_ident(k.conname), 'type', k.contype, 'definition', pg_get_constraintdef(k.oid),
  'inherited', not k.conislocal, 'validated', k.convalidated, 'enforced', coalesce(to_jsonb(k) ->> 'conenforced', 'true') = 'true',
  'index', (select x.relname from pg_class x where x.oid = k.conindid),
  'indexOid', case when k.contype in ('p', 'u') then k.conindid::text end,
  'key', case k.contype when 'f' then json_build_object(
    'inside', f.relnamespace = c.relnamespace, 'target', f.relname, 'targetIdent', quote_ident(f.relname),
    'columns', ${namesOf('k.conkey', 'k.conrelid')}, 'targetColumns', ${namesOf('k.confkey', 'k.confrelid')},
    'match', k.confmatchtype, 'onUpdate', k.confupdtype, 'onDelete', k.confdeltype,
    'deleteColumns', ${namesOf('k.confdelsetcols', 'k.conrelid')}, 'deferrable', k.condeferrable,
    'deferred', k.condeferred, 'period', coalesce(to_jsonb(k) ->> 'conperiod', 'false') = 'true') end)`

/** Of the whole definition only what follows this is kept: the rest is known, and names the schema. */
const INDEX_PREFIX = `format('CREATE %sINDEX %I ON %s%I.%I USING %I (', case when i.indisunique then 'UNIQUE ' end, x.relname,
  case x.relkind when 'I' then 'ONLY ' end, n.nspname, c.relname, m.amname)`

const INDEX = `json_build_object('oid', x.oid::text,
  'parent', coalesce((select h.inhparent::text from pg_inherits h where h.inhrelid = x.oid), '0'),
  'table', c.relname, 'name', x.relname, 'ident', quote_ident(x.relname), 'method', m.amname, 'unique', i.indisunique,
  'columnCount', i.indnatts,
  'ofConstraint', exists (select from pg_constraint k where k.conindid = x.oid and k.contype in ('p', 'u', 'x')),
  'rest', case when starts_with(pg_get_indexdef(x.oid), ${INDEX_PREFIX})
    then substr(pg_get_indexdef(x.oid), length(${INDEX_PREFIX}) + 1) end)`

const ROUTINE = `json_build_object('signature', p.oid::regprocedure::text, 'grants', ${grantsOf('p.proacl', 'f', 'p.proowner')})`

const FACTS = `with n as (select oid, nspname from pg_namespace where nspname = $1),
  own as (
    select c.* from pg_class c join n on n.oid = c.relnamespace
    where c.relname <> '${LEDGER}'
      and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid
        and (d.deptype = 'e' or c.relkind = 'S' and d.deptype in ('a', 'i') and d.refclassid = 'pg_class'::regclass
          and d.refobjid = (select l.oid from pg_class l where l.relnamespace = n.oid and l.relname = '${LEDGER}')))),
  t as (select * from own where relkind in ('r', 'p'))
select json_build_object('schema', n.nspname, 'ident', quote_ident(n.nspname),
  'tables', ${list(TABLE, 't c', 'c.relname')},
  'constraints', ${list(CONSTRAINT, "pg_constraint k join t c on c.oid = k.conrelid left join pg_class f on f.oid = k.confrelid where k.contype in ('p', 'u', 'f', 'c', 'x')", 'c.relname, k.conname')},
  'indexes', ${list(INDEX, 'pg_index i join pg_class x on x.oid = i.indexrelid join t c on c.oid = i.indrelid join pg_am m on m.oid = x.relam', 'x.relname')},
  'sequences', ${list(
    `json_build_object('name', c.relname, 'ident', quote_ident(c.relname), 'ascending', s.seqincrement > 0,
      'grants', ${grantsOf('c.relacl', 's', 'c.relowner')})`,
    'own c join pg_sequence s on s.seqrelid = c.oid',
    'c.relname',
  )},
  'views', ${list(
    `json_build_object('name', c.relname, 'ident', quote_ident(c.relname),
      'invoker', coalesce(c.reloptions @> '{security_invoker=true}', false), 'grants', ${grantsOf('c.relacl', 'r', 'c.relowner', COLUMN_GRANTS)})`,
    "own c where c.relkind = 'v'",
    'c.relname',
  )},
  'routines', ${list(
    ROUTINE,
    `pg_proc p where p.pronamespace = n.oid and not exists (
      select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')`,
    'p.oid::regprocedure::text',
  )},
  'rowTypes', ${list(
    `json_build_object('table', t.relname, 'column', format('%s.%s', c.relname, a.attname))`,
    `own c join pg_attribute a on a.attrelid = c.oid join pg_type y on y.oid = a.atttypid
      join t on t.reltype = case y.typrelid when 0 then y.typelem else y.oid end where not a.attisdropped and c.relkind in ('r', 'p', 'm')`,
    't.relname, c.relname, a.attnum',
  )},
  'strangers', ${list(
    "json_build_object('kind', s.kind, 'name', s.name)",
    `(select case c.relkind when 'm' then 'materialized view' else 'foreign table' end as kind, c.relname as name
      from own c where c.relkind in ('m', 'f')
      union all select 'rule', format('%s.%s', c.relname, w.rulename) from pg_rewrite w join own c on c.oid = w.ev_class
      where w.rulename <> '_RETURN') s`,
    's.kind, s.name',
  )}
)::text as facts from n`

/**
 * Facts of a schema. Definitions are told as from inside: names of its own objects are unqualified.
 * @param tx a transaction; its search_path is changed to the schema alone.
 */
export async function readFacts(tx: Queryable, schema: string): Promise<SchemaFacts> {
  await tx.query(`set local search_path = ${quoteIdent(schema)}, pg_temp`)
  const { rows } = await tx.query<{ facts: string }>(FACTS, [schema])
  if (rows[0] === undefined) throw new Error(`there is no schema ${schema}`)
  return JSON.parse(rows[0].facts) as SchemaFacts
}
