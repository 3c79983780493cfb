/** Looks, as the attacker, into everything that its role may read or call: the user's own objects are attacked here. */
import type { Queryable } from '../core/database.ts'
import { quoteLiteral } from '../sql/quote.ts'
import type { Arena } from './arena.ts'
import { answerOf, sightings } from './observe.ts'
import type { Breach } from './report.ts'
import type { ProofPool } from './ways.ts'

/** What a sweep found in one object, by the case that it belongs to. */
export interface Sweep {
  readonly case: string
  /** `undefined`: nothing of anybody else's. */
  readonly breach: Breach | undefined
  /** Why it could not be looked into, where it could not: not so where the server refused it to the attacker. */
  readonly missed?: string | undefined
}

interface Relation {
  readonly name: string
  readonly kind: 'table' | 'view' | 'partition'
  /** The column that says whose a row is. */
  readonly tenantColumn: string | null
}

/** Objects that are looked into; an installation with more of them has them many times over. */
const MOST = 500

const RELATIONS = `select coalesce(json_agg(found), '[]')::text as found from (
  select quote_ident(n.nspname) || '.' || quote_ident(c.relname) as name,
    case when c.relispartition then 'partition' when c.relkind in ('v', 'm') then 'view' else 'table' end as kind,
    (select quote_ident(a.attname) from pg_attribute a where a.attrelid = c.oid and not a.attisdropped
       and a.attname = any ($3::text[]) order by array_position($3::text[], a.attname::text) limit 1) as "tenantColumn"
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm') and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and has_schema_privilege($1, n.oid, 'USAGE') and has_any_column_privilege($1, c.oid, 'SELECT')
  order by n.nspname = $2 desc, c.oid limit ${MOST}) found`

/** Of functions that run with their owner's rights: those that can be called with what is known of the victim. */
const FUNCTIONS = `select coalesce(json_agg(found), '[]')::text as found from (
  select quote_ident(n.nspname) || '.' || quote_ident(p.proname) as name,
    array(select format_type(t, null) from unnest(p.proargtypes) with ordinality x (t, i)
      where i <= p.pronargs - p.pronargdefaults order by i) as types
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
  where p.prosecdef and p.prokind = 'f' and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'tenantry')
    and p.prorettype not in ('trigger'::regtype, 'event_trigger'::regtype) and p.pronargs - p.pronargdefaults <= 3
    and has_schema_privilege($1, n.oid, 'USAGE') and has_function_privilege($1, p.oid, 'EXECUTE')
    and not exists (select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e')
  order by p.oid limit ${MOST}) found`

/** What a sweep goes by. */
export interface SweepOptions {
  /** The installation's names for the column with the tenant's id. */
  readonly tenantColumns: readonly string[]
  /** Whether functions are called: in a transaction that is read-only and rolled back. */
  readonly calls: boolean
}

/** Everything that the attacker's role reaches in its database; `admin` is asked what that is. */
export async function sweep(
  admin: Queryable,
  pool: ProofPool,
  arena: Arena,
  options: SweepOptions,
): Promise<Sweep[]> {
  const { role, schema } = arena.attacker.home
  const found: Sweep[] = []
  const relations = await list<Relation>(admin, RELATIONS, [role, schema, options.tenantColumns])
  for (const relation of relations) found.push(await look(pool, relation, arena))
  if (!options.calls) return found
  const functions = await list<{ name: string; types: readonly string[] }>(admin, FUNCTIONS, [role])
  for (const { name, types } of functions) {
    for (const call of callsOf(name, types, arena)) found.push(await tryCall(pool, call, arena))
  }
  return found
}

const CASE_OF = { table: 'S1', view: 'S8', partition: 'S30' } as const

async function look(pool: ProofPool, relation: Relation, arena: Arena): Promise<Sweep> {
  const { name, kind, tenantColumn } = relation
  // Bound, not written: the attacker may read its own statements in pg_stat_activity.
  const canaries = `select t::text as row from ${name} t where strpos(t::text, $1) > 0 limit 3`
  const answer = await answerOf(() => pool.query(canaries, [arena.victimSecret]))
  let seen = sightings(answer.texts, arena.victimSecret)
  let statement = canaries
  if (seen.length === 0 && tenantColumn !== null) {
    // Of other tenants no more is read, or told, than that there is a row.
    const own = quoteLiteral(arena.attacker.id)
    statement = `select 'foreign' as found from ${name} where ${tenantColumn}::text <> ${own} limit 1`
    const foreign = await answerOf(() => pool.query(statement))
    if (foreign.ok && foreign.texts.length > 0) seen = ['a row of another tenant']
  }
  const breach: Breach | undefined =
    seen.length === 0 ? undefined : { attack: `reads ${name}`, way: 'gateway', statement, harm: 'leak', seen }
  const refused = answer.ok || answer.code === '42501'
  const missed = refused || breach !== undefined ? undefined : `${name}: ${answer.texts[0] ?? answer.code}`
  return { case: CASE_OF[kind], breach, missed }
}

/** With each thing that is known of the victim, in all arguments that take it. */
function callsOf(name: string, types: readonly string[], { victim }: Arena): string[] {
  if (types.length === 0) return [`select * from ${name}()`]
  const calls = [victim.id, victim.key, victim.home.schema].map((known) => {
    const values = types.map((type) => {
      if (['text', 'character varying', 'name', 'character'].includes(type)) return quoteLiteral(known)
      if (type === 'uuid') return `${quoteLiteral(victim.id)}::uuid`
      return /^(bigint|integer|smallint|numeric)$/.test(type) ? `1::${type}` : `null::${type}`
    })
    return `select * from ${name}(${values.join(', ')})`
  })
  return [...new Set(calls)]
}

async function tryCall(pool: ProofPool, call: string, arena: Arena): Promise<Sweep> {
  const client = await pool.connect()
  try {
    await client.query('begin read only')
    const { texts } = await answerOf(() => client.query(call))
    const seen = sightings(texts, arena.victimSecret)
    const breach: Breach | undefined =
      seen.length === 0
        ? undefined
        : { attack: 'calls a function', way: 'gateway', statement: call, harm: 'leak', seen }
    return { case: 'S7', breach }
  } finally {
    await client.query('rollback')
    client.release()
  }
}

async function list<T>(admin: Queryable, query: string, values: readonly unknown[]): Promise<T[]> {
  const { rows } = await admin.query<{ found: string }>(query, values)
  return JSON.parse(rows[0]?.found ?? '[]') as T[]
}
