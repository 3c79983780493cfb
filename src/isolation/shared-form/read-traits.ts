/** Tells what a schema holds in words that are the same in the pattern and in shared tables, but for the shared form. */
import type { Queryable } from '../../core/database.ts'
import { quoteIdent } from '../../sql/quote.ts'
import { TENANT_COLUMN } from './desired-keys.ts'
import { LEDGER } from './read-facts.ts'

/** One thing that can be said of one object. */
export interface Trait {
  /** Its kind and name: `column orders.id`. */
  readonly object: string
  readonly aspect: string
  readonly value: string
}

/** Keys and indexes are not among them, since their shared form is planned from the pattern's own. */
const TRAITS = `with n as (select oid, quote_ident(nspname) || '.' as prefix from pg_namespace where nspname = $1),
  own as (
    select c.*, n.prefix from pg_class c join n on n.oid = c.relnamespace
    where c.relname <> '${LEDGER}' and not exists (select from pg_depend d where d.classid = 'pg_class'::regclass
      and d.objid = c.oid and (d.deptype = 'e' or c.relkind = 'S' and d.deptype in ('a', 'i')
        and d.refclassid = 'pg_class'::regclass
        and d.refobjid = (select l.oid from pg_class l where l.relnamespace = n.oid and l.relname = '${LEDGER}')))),
  rel as (select * from own where relkind in ('r', 'p', 'v', 'c')),
  attr as (select a.*, c.relname, c.relkind from rel c join pg_attribute a on a.attrelid = c.oid
    where a.attnum > 0 and not a.attisdropped and a.attname <> '${TENANT_COLUMN}'),
  routine as (select p.*, n.prefix from pg_proc p join n on n.oid = p.pronamespace where not exists (
    select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')),
  kind as (select t.* from pg_type t join n on n.oid = t.typnamespace where t.typtype in ('e', 'd', 'r') and not exists (
    select from pg_depend d where d.classid = 'pg_type'::regclass and d.objid = t.oid and d.deptype = 'e')),
  traits(object, aspect, value) as (
    select case relkind when 'v' then 'view ' when 'c' then 'type ' else 'table ' end || relname, 'kind',
      relkind::text || relpersistence::text from rel
    union all select 'table ' || relname, 'partitions', pg_get_partkeydef(oid) from rel where relkind = 'p'
    union all select 'table ' || relname, 'bounds', pg_get_expr(relpartbound, oid) from rel where relispartition
    union all select 'table ' || c.relname, 'parents', string_agg(i.inhparent::regclass::text, ', ' order by i.inhseqno)
      from rel c join pg_inherits i on i.inhrelid = c.oid group by 1
    union all select 'table ' || relname, 'order of columns', string_agg(attname, ', ' order by attnum) from attr group by 1
    union all select 'column ' || a.relname || '.' || a.attname, 'definition', concat_ws(' ',
        format_type(a.atttypid, a.atttypmod),
        (select 'collate ' || l.collname from pg_collation l join pg_type t on t.oid = a.atttypid
          where l.oid = a.attcollation and a.attcollation <> t.typcollation),
        case when a.attnotnull then 'not null' end,
        case a.attidentity when 'a' then 'identity always' when 'd' then 'identity by default' end,
        case a.attgenerated when 's' then 'generated stored' when 'v' then 'generated virtual' end,
        (select 'default ' || pg_get_expr(d.adbin, d.adrelid) from pg_attrdef d
          where d.adrelid = a.attrelid and d.adnum = a.attnum))
      from attr a
    union all select 'constraint ' || c.relname || '.' || k.conname, 'definition', pg_get_constraintdef(k.oid)
      from rel c join pg_constraint k on k.conrelid = c.oid where k.contype = 'c'
    union all select 'trigger ' || c.relname || '.' || g.tgname, 'definition',
        replace(pg_get_triggerdef(g.oid), c.prefix, '') || ' ' || g.tgenabled::text
      from rel c join pg_trigger g on g.tgrelid = c.oid where not g.tgisinternal
    union all select 'policy ' || c.relname || '.' || y.polname, 'definition', concat_ws(' ', y.polcmd::text,
        (select string_agg(case r when 0 then 'public' else pg_get_userbyid(r)::text end, ', ' order by r)
          from unnest(y.polroles) r),
        pg_get_expr(y.polqual, y.polrelid), 'check', pg_get_expr(y.polwithcheck, y.polrelid))
      from rel c join pg_policy y on y.polrelid = c.oid where not y.polpermissive
    union all select 'view ' || relname, 'query', pg_get_viewdef(oid) from rel where relkind = 'v'
    union all select 'view ' || relname, 'options', (select string_agg(o, ', ' order by o) from unnest(reloptions) o
      where o not like 'security_invoker=%') from rel where relkind = 'v'
    union all select 'sequence ' || c.relname, 'definition', concat_ws(' ', format_type(s.seqtypid, null), s.seqstart,
        s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
        (select 'of ' || d.refobjid::regclass || '.' || a.attname from pg_depend d join pg_attribute a
          on a.attrelid = d.refobjid and a.attnum = d.refobjsubid where d.classid = 'pg_class'::regclass
          and d.objid = c.oid and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i')))
      from own c join pg_sequence s on s.seqrelid = c.oid
    union all select 'function ' || oid::regprocedure, 'definition', case prokind
        when 'a' then (select concat_ws(' ', aggtransfn, aggfinalfn, aggcombinefn, aggtranstype::regtype, agginitval)
          from pg_aggregate where aggfnoid = routine.oid)
        else replace(pg_get_functiondef(oid), prefix, '') end
      from routine
    union all select 'type ' || t.typname, 'definition', case t.typtype
        when 'e' then (select string_agg(quote_literal(enumlabel), ', ' order by enumsortorder) from pg_enum where enumtypid = t.oid)
        when 'r' then (select format_type(rngsubtype, null) from pg_range where rngtypid = t.oid)
        else concat_ws(' ', format_type(t.typbasetype, t.typtypmod), case when t.typnotnull then 'not null' end,
          t.typdefault, (select string_agg(conname || ' ' || pg_get_constraintdef(oid), ', ' order by conname)
            from pg_constraint where contypid = t.oid)) end
      from kind t)
select coalesce(json_agg(json_build_object('object', object, 'aspect', aspect, 'value', coalesce(value, 'none'))
  order by object, aspect), '[]')::text as traits from traits`

/**
 * Traits of a schema, told from inside as `readFacts` does.
 * @param tx a transaction; its search_path is changed to the schema alone.
 */
export async function readTraits(tx: Queryable, schema: string): Promise<Trait[]> {
  await tx.query(`set local search_path = ${quoteIdent(schema)}, pg_temp`)
  const { rows } = await tx.query<{ traits: string }>(TRAITS, [schema])
  return JSON.parse(rows[0]?.traits ?? '[]') as Trait[]
}
