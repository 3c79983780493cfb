/** Homes made ahead and not yet given to a tenant: their rows, from the first to the sign-up that takes one. */
import type { Queryable } from '../core/database.ts'
import type { RolePair } from './role-pool.ts'

/** `reserved`: roles and a name; `made`: the schema is there; `ready`: all migrations of `digest` have run. */
export type ReadyHomeState = 'reserved' | 'made' | 'ready'

/** A home of nobody's. */
export interface ReadyHomeRow extends RolePair {
  readonly schema: string
  readonly state: ReadyHomeState
  /** Which migrations have run, in one word; where it is `ready`. */
  readonly digest: string | undefined
  readonly madeAt: Date | undefined
  /** Another database of the server uses its roles too: a clone of this one, or what this one is a clone of. */
  readonly shared: boolean
  /** So no sign-up can have it: its roles are shared, or they or the schema are gone. */
  readonly lost: boolean
}

/** Another database uses its roles. */
const SHARED = `exists (select from pg_roles r join pg_shdepend d
  on d.refclassid = 'pg_authid'::regclass and d.refobjid = r.oid
  where r.rolname in (h.role_name, h.owner_role)
    and d.dbid not in (0, (select oid from pg_database where datname = current_database())))`

/** Its roles are there; a catalog may have been restored on another server. */
const KNOWN = `exists (select from pg_roles r, pg_roles o where r.rolname = h.role_name and o.rolname = h.owner_role)`

/** Its schema is there and is its owner's: somebody may have dropped it by hand. */
const WHOLE = `exists (select from pg_namespace n join pg_roles o on o.oid = n.nspowner
  where n.nspname = h.schema_name and o.rolname = h.owner_role)`

const HOME_JSON = `json_strip_nulls(json_build_object('schema', h.schema_name, 'role', h.role_name,
  'ownerRole', h.owner_role, 'state', h.state, 'digest', h.digest,
  'madeAt', (extract(epoch from h.made_at) * 1000)::bigint,
  'shared', ${SHARED},
  'lost', ${SHARED} or not ${KNOWN} or h.state <> 'reserved' and not ${WHOLE}))::text as home`

/** A home as a sign-up gets it. */
export interface TakenHome extends RolePair {
  readonly schema: string
}

/** Takes the oldest home with this digest out of the pool, in the transaction that gives it to a tenant. */
export async function takeReadyHome(tx: Queryable, digest: string): Promise<TakenHome | undefined> {
  const { rows } = await tx.query<{ schema: string; role: string; owner_role: string }>(
    `delete from tenantry.ready_homes where schema_name = (
       select h.schema_name from tenantry.ready_homes h where h.digest = $1 and ${KNOWN} and ${WHOLE} and not ${SHARED}
       order by h.made_at limit 1 for update of h skip locked)
     returning schema_name as schema, role_name as role, owner_role`,
    [digest],
  )
  const [row] = rows
  return row && { schema: row.schema, role: row.role, ownerRole: row.owner_role }
}

/**
 * Whether the pool has room. Those that are behind do not count, unless there are as many again: processes of two
 * releases, side by side for a while, must not fill it without end.
 * @param tx a transaction; until it ends nobody else reserves.
 */
export async function hasRoom(tx: Queryable, size: number, digest: string): Promise<boolean> {
  await tx.query("select pg_advisory_xact_lock(hashtextextended('tenantry:ready homes', 0))")
  const { rows } = await tx.query<{ room: string }>(
    `select (count(*) filter (where digest is null or digest = $2) < $1::int and count(*) < 2 * $1::int)::text as room
     from tenantry.ready_homes`,
    [size, digest],
  )
  return rows[0]?.room === 'true'
}

/** Writes a home that has yet to be made, in the transaction that takes its roles. */
export async function addReadyHome(tx: Queryable, { schema, role, ownerRole }: TakenHome): Promise<void> {
  await tx.query(
    'insert into tenantry.ready_homes (schema_name, role_name, owner_role) values ($1, $2, $3)',
    [schema, role, ownerRole],
  )
}

/** All of them, the oldest first. */
export async function listReadyHomes(db: Queryable): Promise<ReadyHomeRow[]> {
  return read(db, 'order by h.created_at, h.schema_name', [])
}

/** One, as it is now. */
export async function findReadyHome(db: Queryable, schema: string): Promise<ReadyHomeRow | undefined> {
  return (await read(db, 'where h.schema_name = $1', [schema]))[0]
}

/** From here on no sign-up takes it. @returns false where one was faster */
export async function markMade(tx: Queryable, schema: string): Promise<boolean> {
  const { rowCount } = await tx.query(
    "update tenantry.ready_homes set state = 'made', digest = null where schema_name = $1",
    [schema],
  )
  return rowCount === 1
}

/** From here on a sign-up may take it. */
export async function markReady(tx: Queryable, schema: string, digest: string): Promise<void> {
  await tx.query(
    `update tenantry.ready_homes set state = 'ready', digest = $2, made_at = coalesce(made_at, now())
     where schema_name = $1`,
    [schema, digest],
  )
}

/** Forgets one, in the transaction that drops it. @returns false where a sign-up was faster */
export async function removeReadyHome(tx: Queryable, schema: string): Promise<boolean> {
  const { rowCount } = await tx.query('delete from tenantry.ready_homes where schema_name = $1', [schema])
  if (rowCount !== 1) return false
  await tx.query("delete from tenantry.migration_heads where schema_name = $1 and database_name = ''", [
    schema,
  ])
  return true
}

async function read(db: Queryable, rest: string, values: readonly unknown[]): Promise<ReadyHomeRow[]> {
  const { rows } = await db.query<{ home: string }>(
    `select ${HOME_JSON} from tenantry.ready_homes h ${rest}`,
    values,
  )
  return rows.map(({ home }) => {
    const { madeAt, digest, ...row } = JSON.parse(home) as Omit<ReadyHomeRow, 'madeAt'> & { madeAt?: number }
    return { ...row, digest, madeAt: madeAt === undefined ? undefined : new Date(madeAt) }
  })
}
