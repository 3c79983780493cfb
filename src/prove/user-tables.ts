/** Canaries in the user's own tables, where they can be had: best effort, as their columns and rules are anybody's. */
import type { Queryable } from '../core/database.ts'
import type { Tenant } from '../core/tenant.ts'
import { quoteIdent, quoteLiteral } from '../sql/quote.ts'
import type { ProofPool } from './ways.ts'

interface Column {
  readonly name: string
  /** As PostgreSQL writes it. */
  readonly type: string
  /** One letter of `pg_type.typcategory`, of the base type. */
  readonly category: string
  readonly json: boolean
  readonly uuid: boolean
  readonly binary: boolean
  readonly needed: boolean
  /** Characters that it takes; `null` without a bound. */
  readonly length: number | null
  /** The table and column that it refers to. */
  readonly refers: { readonly table: string; readonly column: string } | null
}

interface UserTable {
  readonly name: string
  readonly columns: readonly Column[]
}

/**
 * Tables of the tenant's schema that rows can be written to without setting anything off: those with triggers or rules
 * on INSERT may mail, bill or notify.
 */
const TABLES = `select coalesce(json_agg(json_build_object('name', c.relname, 'columns', (
    select json_agg(json_build_object('name', a.attname, 'type', format_type(a.atttypid, a.atttypmod),
      'category', b.typcategory, 'json', b.typname in ('json', 'jsonb'), 'uuid', b.typname = 'uuid',
      'binary', b.typname = 'bytea', 'needed', a.attnotnull and not a.atthasdef,
      'length', case when b.typname in ('varchar', 'bpchar') and a.atttypmod > 4 then a.atttypmod - 4 end,
      'refers', (select json_build_object('table', k.confrelid::regclass::text, 'column', (
          select r.attname from pg_attribute r where r.attrelid = k.confrelid
            and r.attnum = k.confkey[array_position(k.conkey, a.attnum)]))
        from pg_constraint k where k.conrelid = c.oid and k.contype = 'f' and a.attnum = any (k.conkey)
        order by cardinality(k.conkey) limit 1)) order by a.attnum)
    from pg_attribute a join pg_type y on y.oid = a.atttypid
      join pg_type b on b.oid = case when y.typtype = 'd' then y.typbasetype else y.oid end
    where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped and a.attidentity = '' and a.attgenerated = ''
      and a.attname <> 'tenant_id'))), '[]')::text as tables
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where n.nspname = $1 and c.relkind in ('r', 'p') and not c.relispartition
    and c.relname not like 'tenantry\\_canary%' and c.relname <> 'pgmigrations'
    and not exists (select from pg_rewrite w where w.ev_class = c.oid)
    and not exists (select from pg_trigger g where g.tgrelid = c.oid and not g.tgisinternal and g.tgtype & 4 <> 0)`

/** Tables refer to each other: what could not be written yet may go in at the next round. */
const ROUNDS = 3

/** Writes a row with the secret to each table that takes one. @returns the names of those that did */
export async function plantInUserTables(
  admin: Queryable,
  pool: ProofPool,
  tenant: Tenant,
  secret: string,
): Promise<string[]> {
  const { rows } = await admin.query<{ tables: string }>(TABLES, [tenant.home.schema])
  let missing = JSON.parse(rows[0]?.tables ?? '[]') as UserTable[]
  const planted: string[] = []
  for (let round = 0; round < ROUNDS && missing.length > 0; round++) {
    const later: UserTable[] = []
    for (const table of missing) {
      const statement = insertOf(tenant.home.schema, table, secret)
      if (statement === undefined) continue
      const done = await pool.query(statement).then(
        () => true,
        () => false,
      )
      if (done) planted.push(table.name)
      else later.push(table)
    }
    missing = later
  }
  return planted
}

/** `undefined` where a column needs what cannot be made up, or no column holds text. */
function insertOf(schema: string, { name, columns }: UserTable, secret: string): string | undefined {
  const values = new Map<string, string>()
  let carries = false
  for (const column of columns ?? []) {
    const holds = column.refers === null && canHold(column, secret)
    if (!holds && !column.needed) continue
    const value = holds ? textFor(column, secret) : valueFor(column)
    if (value === undefined) return undefined
    carries ||= holds
    values.set(quoteIdent(column.name), value)
  }
  if (!carries) return undefined
  const table = `${quoteIdent(schema)}.${quoteIdent(name)}`
  return `insert into ${table} (${[...values.keys()].join(', ')}) values (${[...values.values()].join(', ')})`
}

function canHold({ category, json, length }: Column, secret: string): boolean {
  return json || (category === 'S' && (length === null || length >= secret.length))
}

function textFor({ json, type }: Column, secret: string): string {
  return `${quoteLiteral(json ? JSON.stringify({ note: secret }) : secret)}::${type}`
}

function valueFor({ refers, category, type, uuid, json, binary, length }: Column): string | undefined {
  if (refers !== null) return `(select ${quoteIdent(refers.column)} from ${refers.table} limit 1)`
  if (uuid) return 'gen_random_uuid()'
  if (json) return `'{}'::${type}`
  if (binary) return "''::bytea"
  switch (category) {
    case 'S':
      return length === null ? "'proof'" : `left('proof', ${length})`
    case 'N':
      return `1::${type}`
    case 'B':
      return 'false'
    case 'D':
      return `now()::${type}`
    case 'T':
      return `'1 hour'::${type}`
    case 'A':
      return `'{}'::${type}`
    case 'E':
      return `enum_first(null::${type})`
    case 'R':
      return `'empty'::${type}`
    case 'I':
      return `'127.0.0.1'::${type}`
    default:
      return undefined
  }
}
