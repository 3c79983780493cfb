/** Indexes that tenants' statements cannot use, since a policy must have spoken before operators that may tell (FINDINGS 20). */
import type { LintRule } from './finding.ts'

/**
 * Columns of an index behind the tenant's: an expression, an operator class for patterns, or one whose equality (for btree;
 * for other methods any operator) is not leakproof.
 */
export const LEAKY_INDEX_RULE: LintRule = {
  name: 'index-behind-policy',
  query: `select c.space, c.kind, c.relname || '.' || x.relname as name, 'advice' as severity,
      string_agg(distinct case when k.attnum = 0 then 'an expression' else coalesce(a.attname, '?') || ' (' || o.opcname || ')' end,
        ', ') as detail
    from carriers c join pg_index i on i.indrelid = c.oid join pg_class x on x.oid = i.indexrelid
    join pg_am m on m.oid = x.relam
    cross join lateral unnest(i.indkey::int2[], i.indclass::oid[]) with ordinality k (attnum, opclass, place)
    join pg_opclass o on o.oid = k.opclass
    left join pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
    where c.relrowsecurity and not c.relispartition and k.attnum <> c.tenant_attnum and k.place <= i.indnkeyatts
      and (k.attnum = 0 or o.opcname ~ 'pattern_ops$' or not exists (
        select from pg_amop q join pg_operator r on r.oid = q.amopopr join pg_proc p on p.oid = r.oprcode
        where q.amopfamily = o.opcfamily and q.amoplefttype = o.opcintype and q.amoppurpose = 's' and p.proleakproof
          and (m.amname <> 'btree' or q.amopstrategy = 3)))
    group by c.oid, c.space, c.kind, c.relname, x.oid, x.relname`,
  reason: (columns) =>
    `For tenants it finds no more than their rows: the policy comes before what compares ${columns}, which may tell of rows.`,
  wayOut: () =>
    'Nothing while tenants are small. For a tenant with many rows: a schema of its own, or compare by =, < and > of bigint, text, uuid or date.',
}
