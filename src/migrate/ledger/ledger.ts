/** The table `pgmigrations` that node-pg-migrate keeps: who recorded what, in which schema. */
import { createHash } from 'node:crypto'
import { CATALOG_CHANNEL } from '../../catalog/catalog-migrations.ts'
import type { Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import type { SharedHome } from '../../core/homes.ts'
import { quoteIdent, quoteLiteral } from '../../sql/quote.ts'
import { lacksTables, LEDGER_MOVED } from './heads.ts'

/** A schema that migrations are for, and as whom they run there. */
export interface Target {
  readonly schema: string
  /** The role that owns the schema's objects; absent for the shared set, which runs as the admin itself. */
  readonly ownerRole: string | undefined
  /** The role that must not touch the ledger; absent for the shared set. */
  readonly tenantRole: string | undefined
  /** The tenant's id, which processes that serve it are told; absent for the shared set, and where nobody serves it yet. */
  readonly tenantId?: string | undefined
  /** For people: the tenant's key, or `shared`. */
  readonly label: string
}

/** The shared set's: it runs once, as the admin. */
export const SHARED_SET: Target = {
  schema: 'public',
  ownerRole: undefined,
  tenantRole: undefined,
  label: 'shared',
}

/** The name of all tenants that share tables, for people: no key holds a space. */
export const SHARED_TENANTS = 'shared tenants'

/** The pattern holds their ledger: it is what migrations make of a tenant's schema. */
export function sharedTarget({ pattern, role, ownerRole }: SharedHome): Target {
  return { schema: pattern, ownerRole, tenantRole: role, label: SHARED_TENANTS }
}

/** What a schema's ledger says. */
export interface Ledger {
  /** Names in the order in which they ran. */
  readonly applied: readonly string[]
  /** `unsettled`: the tenant's role has rights on it, or the admin has none. */
  readonly state: 'missing' | 'unsettled' | 'settled'
  /** What its head points to; `undefined` where nothing ran, or only another tool did. */
  readonly digest?: string | undefined
  /** The same of repeatable files. */
  readonly repeatable?: string | undefined
  /** Why it could not be read, where it could not. */
  readonly problem?: unknown
}

/** Ledgers read by one statement: its text stays near 30 kB. */
const CHUNK = 250

/** 'tny' in ASCII: the first key of the locks on targets, so that they meet no lock of the application's. */
const LOCK_CLASS = 0x746e79
/** Of sessions that work outside of transactions, so that they are in nobody's way but each other's. */
const OUTSIDE_CLASS = LOCK_CLASS + 1

/** @param heads whether this database has heads: a tenant's own has none before its first step. */
const locate = (heads: boolean): string => `
  select json_build_object(
    'digest', ${heads ? 'h.digest' : 'null'},
    'repeatable', ${heads ? 'h.repeatable' : 'null'},
    'missing', c.oid is null,
    'readable', has_schema_privilege(n.oid, 'usage') and has_table_privilege(c.oid, 'select'),
    'open', has_table_privilege(r.oid, c.oid, 'select, insert, update, delete, truncate')
  )::text as found
  from unnest($1::text[], $2::text[]) with ordinality as t(schema, role, position)
  left join pg_namespace n on n.nspname = t.schema
  left join pg_class c on c.relnamespace = n.oid and c.relname = 'pgmigrations' and c.relkind in ('r', 'p')
  left join pg_roles r on r.rolname = t.role
  ${heads ? "left join tenantry.migration_heads h on h.schema_name = t.schema and h.database_name = ''" : ''}
  order by t.position`

interface Located {
  readonly digest: string | null
  readonly repeatable: string | null
  readonly missing: boolean
  readonly readable: boolean | null
  readonly open: boolean | null
}

/** The ledger's name, quoted and qualified. */
export function ledgerTable(schema: string): string {
  return `${quoteIdent(schema)}.pgmigrations`
}

/** Waits, to the end of the transaction, for whoever else migrates the same schema of this database. */
export function lockTarget(target: Target): string {
  const key = createHash('sha256').update(target.schema).digest().readInt32BE()
  return `select pg_advisory_xact_lock(${LOCK_CLASS}, ${key})`
}

/**
 * Takes, or gives back, the lock of a session that works on a target outside of transactions. Never waits: a statement
 * that waits holds a snapshot.
 */
export async function tryTargetLock(
  session: Queryable,
  target: Target,
  what: 'take' | 'release' = 'take',
): Promise<boolean> {
  const key = createHash('sha256').update(target.schema).digest().readInt32BE()
  const call = what === 'take' ? 'pg_try_advisory_lock' : 'pg_advisory_unlock'
  const { rows } = await session.query<{ got: string }>(
    `select ${call}(${OUTSIDE_CLASS}, ${key})::text as got`,
  )
  return rows[0]?.got === 'true'
}

/** To the end of the transaction, everything is done by the schema's owner. */
export function becomeOwner(target: Target): string {
  return target.ownerRole === undefined ? '' : `set local role ${quoteIdent(target.ownerRole)};`
}

/**
 * Records a migration as number `position`, from 0, never before the rows that are there: node-pg-migrate orders by
 * time, and clocks jump.
 */
export function recordMigration(target: Target, name: string, position: number): string {
  const [table, text] = [ledgerTable(target.schema), quoteLiteral(name)]
  return `insert into ${table} (name, run_on) select ${text}, greatest(now()::timestamp, max(run_on)) from ${table}
    having ${only(`count(*) = ${position} and not coalesce(bool_or(name = ${text}), false)`)}`
}

/** Takes back the record of the last one of `count` migrations. */
export function unrecordMigration(target: Target, name: string, count: number): string {
  const table = ledgerTable(target.schema)
  return `with gone as (delete from ${table} where name = ${quoteLiteral(name)} and (select count(*) from ${table}) = ${count}
      and id = (select id from ${table} order by run_on desc, id desc limit 1) returning 1)
    select from gone having ${only('count(*) = 1')}`
}

function only(condition: string): string {
  return `(case when ${condition} then '0' else ${quoteLiteral(LEDGER_MOVED)} end)::int = 0`
}

/** Tells processes that serve the tenant, or for the shared set all tenants: what they prepared no longer holds. */
export function announceMigration({ ownerRole, tenantId }: Target): string {
  if (ownerRole === undefined) return `notify ${CATALOG_CHANNEL};`
  return tenantId === undefined ? '' : `notify ${CATALOG_CHANNEL}, ${quoteLiteral(tenantId)};`
}

/**
 * Reads the ledgers of many targets, in their order, with two statements for each 250. One that the admin may not
 * read by itself costs a transaction of its own, as its owner.
 * @param session one connection, outside a transaction.
 */
export async function readLedgers(session: Queryable, targets: readonly Target[]): Promise<Ledger[]> {
  const ledgers: Ledger[] = []
  for (let start = 0; start < targets.length; start += CHUNK) {
    ledgers.push(...(await readChunk(session, targets.slice(start, start + CHUNK))))
  }
  return ledgers
}

/** Of whose ledger nothing is known. */
export const NOTHING_RAN: Ledger = { applied: [], state: 'missing' }

/** The same of one target. */
export async function readLedger(session: Queryable, target: Target): Promise<Ledger> {
  const [ledger = NOTHING_RAN] = await readLedgers(session, [target])
  return ledger
}

async function readChunk(session: Queryable, targets: readonly Target[]): Promise<Ledger[]> {
  const ask = (heads: boolean) =>
    session.query<{ found: string }>(locate(heads), [
      targets.map((target) => target.schema),
      targets.map((target) => target.tenantRole ?? null),
    ])
  const { rows } = await ask(true).catch((error: unknown) => {
    if (lacksTables(error)) return ask(false)
    throw error
  })
  const found = rows.map((row) => JSON.parse(row.found) as Located)
  const names = await readNames(
    session,
    targets.filter((_, index) => found[index]?.readable === true),
  ).catch((error: unknown) => {
    // A schema that is dropped meanwhile must not hide the others: each is then asked by itself.
    if (error instanceof TenantryError) throw error
    return new Map<Target, string[]>()
  })
  const ledgers: Ledger[] = []
  for (const [index, target] of targets.entries()) {
    const { missing = true, readable = false, open = false } = found[index] ?? {}
    const { digest = null, repeatable = null } = found[index] ?? {}
    const heads = { digest: digest ?? undefined, repeatable: repeatable ?? undefined }
    const applied = names.get(target)
    const state = missing ? 'missing' : readable === true && open !== true ? 'settled' : 'unsettled'
    if (missing || applied !== undefined) ledgers.push({ applied: applied ?? [], state, ...heads })
    else ledgers.push({ ...(await readAsOwner(session, target)), state, ...heads })
  }
  return ledgers
}

async function readNames(session: Queryable, targets: readonly Target[]): Promise<Map<Target, string[]>> {
  if (targets.length === 0) return new Map()
  const { rows } = await session.query<{ names: string }>(targets.map(selectNames).join('\nunion all '))
  const names = rows.map((row) => JSON.parse(row.names) as [position: number, names: string[]])
  const byPosition = new Map(names)
  return new Map(targets.map((target, position) => [target, byPosition.get(position) ?? []]))
}

/** As text of JSON, because applications replace node-postgres' parsers; in node-pg-migrate's own order. */
function selectNames(target: Target, position: number): string {
  const names = `array(select name from ${ledgerTable(target.schema)} order by run_on, id)`
  return `select json_build_array(${position}, ${names})::text as names`
}

async function readAsOwner(session: Queryable, target: Target): Promise<Pick<Ledger, 'applied' | 'problem'>> {
  try {
    await session.query(`begin; ${becomeOwner(target)}`)
    const names = await readNames(session, [target])
    return { applied: names.get(target) ?? [] }
  } catch (problem) {
    if (problem instanceof TenantryError) throw problem
    return { applied: [], problem }
  } finally {
    await session.query('rollback')
  }
}

/**
 * Makes the ledger where it is missing, with exactly node-pg-migrate's columns, and takes from others what default
 * privileges gave them. One that was there is only closed to the tenant's role. The admin may read it from then on,
 * so that one statement can ask the whole fleet.
 */
export async function settleLedger(session: Queryable, target: Target, ledger: Ledger): Promise<void> {
  if (ledger.state === 'settled') return
  const table = ledgerTable(target.schema)
  try {
    await session.query(
      `begin; ${lockTarget(target)}; ${becomeOwner(target)}
       create table if not exists ${table}
         (id serial primary key, name varchar(255) not null, run_on timestamp not null)`,
    )
    const { rows } = await session.query<{ revoke: string }>(
      `select distinct format('revoke all on %s %s from %s', case c.relkind when 'S' then 'sequence' else 'table' end,
           c.oid::regclass, case g.grantee when 0 then 'public' else g.grantee::regrole::text end) as revoke
       from pg_class c, aclexplode(c.relacl) g
       where c.oid in ($1::text::regclass, pg_get_serial_sequence($1, 'id')::regclass) and g.grantee <> c.relowner
         and ($2::text is null or g.grantee = (select oid from pg_roles where rolname = $2))`,
      [table, ledger.state === 'missing' ? null : (target.tenantRole ?? '')],
    )
    const grants = [
      `grant usage on schema ${quoteIdent(target.schema)} to session_user`,
      `grant select on ${table} to session_user`,
    ]
    const rights = [...rows.map((row) => row.revoke), ...(target.ownerRole === undefined ? [] : grants)]
    await session.query([...rights, 'commit'].join('; '))
  } catch (error) {
    await session.query('rollback').catch(() => undefined)
    throw error
  }
}
