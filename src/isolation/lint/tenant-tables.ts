/** Tables that several tenants have rows in: whether policies hold, and what their constraints tell. */
import type { LintRule } from './finding.ts'

/** Rights by which rows are read or changed. */
const ROWS = `array['SELECT', 'INSERT', 'UPDATE', 'DELETE']`

const protectIt = (object: string): string => `In a shared migration: select tenantry.protect('${object}');`

export const TENANT_TABLE_RULES: readonly LintRule[] = [
  {
    name: 'tenant-table-without-policy',
    threat: 'S27',
    query: `select space, kind, relname as name, tenant_column as detail,
        case when reached && ${ROWS} then 'error' else 'warning' end as severity
      from carriers c where not relispartition and (not relrowsecurity or not exists (
        select from pg_policy p where p.polrelid = c.oid and p.polpermissive))`,
    reason: (column) => `It carries ${column}, and no policy keeps tenants to their own rows.`,
    wayOut: protectIt,
  },
  {
    name: 'policies-not-forced',
    threat: 'S12',
    query: `select space, kind, relname as name, pg_get_userbyid(relowner) as detail,
        case when reached && ${ROWS} then 'error' else 'warning' end as severity
      from carriers where relrowsecurity and not relforcerowsecurity and not relispartition`,
    reason: (owner) =>
      `Its policies do not hold its owner, ${owner}, and so not the functions and views of ${owner} that tenants use.`,
    wayOut: (object) => `alter table ${object} force row level security;`,
  },
  {
    name: 'partition-in-reach',
    threat: 'S30',
    query: `select r.space, r.kind, r.relname as name, i.inhparent::regclass::text as detail, 'error' as severity
      from relations r join pg_inherits i on i.inhrelid = r.oid
      where r.kind <> 'tenant' and r.reached && ${ROWS} and not (r.relrowsecurity and r.relforcerowsecurity)
        and exists (select from pg_class p where p.oid = i.inhparent and p.relrowsecurity)`,
    reason: (parent) => `Tenants reach it directly, where the policies of ${parent} are not asked.`,
    wayOut: (object, parent) =>
      `revoke all on ${object} from public, tenantry_tenants; then select tenantry.protect('${parent}');`,
  },
  {
    name: 'tenant-column-without-index',
    query: `select space, kind, relname as name, tenant_column as detail, 'warning' as severity
      from carriers c where not relispartition and not exists (
        select from pg_index i join pg_class x on x.oid = i.indexrelid join pg_am m on m.oid = x.relam
        where i.indrelid = c.oid and i.indkey[0] = c.tenant_attnum and i.indpred is null and i.indisvalid
          and m.amname = 'btree')`,
    reason: (column) =>
      `No index is led by ${column}: each statement of a tenant reads the rows of all of them.`,
    wayOut: (object, column) => `create index on ${object} (${column});`,
  },
  {
    name: 'unique-across-tenants',
    threat: 'S9',
    // Nobody guesses a uuid: a key of one alone tells nothing.
    query: `select c.space, c.kind, c.relname || '.' || x.relname as name, c.tenant_column as detail,
        case when i.indisprimary then 'advice' else 'warning' end as severity
      from carriers c join pg_index i on i.indrelid = c.oid join pg_class x on x.oid = i.indexrelid
      where i.indisunique and not c.relispartition and not c.tenant_attnum = any (i.indkey::int2[])
        and not exists (select from pg_attribute a where a.attrelid = c.oid and a.attnum = any (i.indkey::int2[])
          and a.atttypid = 'uuid'::regtype)`,
    reason: () =>
      'It is unique over all tenants: whoever writes a value of another’s is told that it is there.',
    wayOut: (_object, column) =>
      `Let ${column} lead the constraint, and ON CONFLICT with it; keep it only where values may be known to all.`,
  },
  {
    name: 'foreign-key-across-tenants',
    threat: 'S10',
    // From a tenant's own schema the other side has no column to pair with the tenant's.
    query: `select r.space, r.kind, r.relname || '.' || k.conname as name, k.confrelid::regclass::text as detail,
        'warning' as severity
      from pg_constraint k join relations r on r.oid = k.conrelid join carriers p on p.oid = k.confrelid
      left join carriers c on c.oid = k.conrelid
      where k.contype = 'f' and k.conparentid = 0 and not exists (
        select from unnest(k.conkey, k.confkey) pair (own, other)
        where pair.own = c.tenant_attnum and pair.other = p.tenant_attnum)`,
    reason: (target) =>
      `It accepts rows of other tenants in ${target}, since constraints ask no policy: it tells which of them are there.`,
    wayOut: (_object, target) =>
      `Reference ${target} by the tenant's column and the key together; from a tenant's own schema, by a uuid or not at all.`,
  },
]
