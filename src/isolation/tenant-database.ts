/** The DDL of a tenant's own database: made from the template under a mark that says whose it is, and dropped. */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import { quoteIdent, quoteLiteral } from '../sql/quote.ts'
import { sqlState } from '../sql/sql-state.ts'
import { endWhere } from './end-sessions.ts'
import type { Installation } from './template-database.ts'
import type { TenantRoles } from './tenant-roles.ts'

/** A tenant's database, or the name that it will have. */
export interface TenantDatabase {
  readonly name: string
  readonly tenantId: string
  readonly installation: Installation
}

/** The comment of the database: it alone says that a database may be used, and dropped, for the tenant. */
function markOf({ tenantId, installation }: TenantDatabase, seeded = false): string {
  const what = seeded ? 'seeded tenant' : 'tenant'
  return `tenantry: ${what} ${tenantId} of ${installation.id} in ${installation.database}`
}

/**
 * What CREATE DATABASE can set by itself, until the mark is there: nobody may connect, and the limit of connections is
 * this number, which no other tenant has. So that a database whose maker died is known from a stranger's.
 */
function claimOf(database: TenantDatabase): number {
  const digest = createHash('sha256').update(markOf(database)).digest()
  return (digest.readUInt32BE() & 0x3fff_ffff) + 0x4000_0000
}

interface Found {
  readonly comment: string | null
  readonly own: boolean
  readonly open: boolean
  readonly limit: number
  /** The owner role has objects in it. */
  readonly used: boolean
}

async function find(db: Queryable, name: string, ownerRole = ''): Promise<Found | undefined> {
  const { rows } = await db.query<{ found: string }>(
    `select json_build_object('comment', shobj_description(d.oid, 'pg_database'), 'open', d.datallowconn,
       'own', d.datdba = (select oid from pg_roles where rolname = current_user), 'limit', d.datconnlimit,
       'used', exists (select from pg_shdepend s join pg_roles r on r.oid = s.refobjid
         where s.dbid = d.oid and s.refclassid = 'pg_authid'::regclass and r.rolname = $2))::text as found
     from pg_database d where d.datname = $1`,
    [name, ownerRole],
  )
  return rows[0] === undefined ? undefined : (JSON.parse(rows[0].found) as Found)
}

function isMarked(found: Found, database: TenantDatabase): boolean {
  return found.comment === markOf(database) || found.comment === markOf(database, true)
}

function isClaimed(found: Found, database: TenantDatabase): boolean {
  return found.comment === null && found.own && !found.open && found.limit === claimOf(database)
}

/**
 * Makes the database, or goes on with one that was begun for this tenant. Nobody can enter it but its owner, the admin.
 * @param db one connection outside of a transaction, in which no database can be made.
 * @returns false where somebody else has a database of this name.
 */
export async function createTenantDatabase(
  db: Queryable,
  database: TenantDatabase,
  template: string,
): Promise<boolean> {
  const name = quoteIdent(database.name)
  const found = await find(db, database.name)
  if (found === undefined) {
    try {
      await db.query(`create database ${name} template ${quoteIdent(template)}
        allow_connections false connection limit ${claimOf(database)}`)
    } catch (error) {
      // duplicate_database; unique_violation where it is made at the same moment.
      if (['42P04', '23505'].includes(sqlState(error) ?? '')) return false
      throw error
    }
  } else if (isMarked(found, database)) return true
  else if (!isClaimed(found, database)) return false
  // Several statements in one message are one transaction. Rights on the database are not copied from the template.
  await db.query(`revoke all on database ${name} from public;
    comment on database ${name} is ${quoteLiteral(markOf(database))};
    alter database ${name} allow_connections true connection limit -1`)
  return true
}

/** Lets a login connect: the tenant's own, or the application's. */
export async function letConnect(tx: Queryable, name: string, login: string): Promise<void> {
  await tx.query(`grant connect on database ${quoteIdent(name)} to ${quoteIdent(login)}`)
}

/** Whether the first rows were written. */
export async function isSeeded(db: Queryable, database: TenantDatabase): Promise<boolean> {
  return (await find(db, database.name))?.comment === markOf(database, true)
}

/** Marks that the first rows are there. @param tx the transaction that writes them, in the tenant's database */
export async function markSeeded(tx: Queryable, database: TenantDatabase): Promise<void> {
  await tx.query(
    `comment on database ${quoteIdent(database.name)} is ${quoteLiteral(markOf(database, true))}`,
  )
}

/** How long sessions at work are waited for, before PostgreSQL itself waits five seconds more; how often it is looked. */
const PATIENCE_MS = 5_000
const LOOK_MS = 200

/**
 * Drops the database if it bears the tenant's mark; nobody new enters from the first statement on. Sessions that rest in
 * it are ended where the admin may do that, those at work are waited for. One that is not the tenant's stays.
 * @param db one connection to another database, outside of a transaction.
 * @throws Error where it is in use; TNY311 where the tenant's tables are in a database that is marked otherwise.
 */
export async function dropTenantDatabase(
  db: Queryable,
  database: TenantDatabase,
  users: TenantRoles & { readonly runtimeLogin: string },
): Promise<void> {
  const found = await find(db, database.name, users.ownerRole)
  if (found === undefined) return
  if (!isMarked(found, database) && !isClaimed(found, database)) {
    if (found.used) throw notMarked(database, found)
    return
  }
  const name = quoteIdent(database.name)
  // An interrupted DROP leaves -2: such a database can be dropped and nothing else.
  if (found.open && found.limit !== -2) await db.query(`alter database ${name} allow_connections false`)
  const until = performance.now() + PATIENCE_MS
  for (;;) {
    for (const login of [users.role, users.runtimeLogin, undefined]) await endIdle(db, database.name, login)
    const pids = await sessionsIn(db, database.name)
    if (pids.length === 0 || performance.now() > until) break
    await sleep(LOOK_MS)
  }
  try {
    await db.query(`drop database if exists ${name}`)
  } catch (error) {
    // object_in_use; PostgreSQL has waited five seconds more.
    if (sqlState(error) !== '55006') throw error
    const pids = await sessionsIn(db, database.name)
    const who = pids.length === 0 ? '' : ` by the server processes ${pids.join(', ')}`
    throw new Error(`its database is still in use${who}`, { cause: error })
  }
}

function notMarked(database: TenantDatabase, { comment }: Found): TenantryError {
  const reason =
    comment === null ? 'its comment is gone' : `its comment is ${JSON.stringify(comment.slice(0, 200))}`
  // Of a copied catalog this is the original's database: dropping it there would take the original's rows.
  const advice = `Where no other catalog uses it, mark it: comment on database ${quoteIdent(database.name)} is ${quoteLiteral(markOf(database, true))}`
  return new TenantryError('TNY311', { params: { database: database.name, reason, advice } })
}

async function sessionsIn(db: Queryable, name: string): Promise<number[]> {
  const { rows } = await db.query<{ pid: string }>(
    // Of other logins' sessions little more may be seen; what has no login is the server's own.
    'select pid::text as pid from pg_stat_activity where datname = $1 and usename is not null order by pid',
    [name],
  )
  return rows.map(({ pid }) => Number(pid))
}

/**
 * Ends sessions that do nothing: of the tenant, of pools that keep connections. Whose they are may be asked, and they be
 * ended, with the rights of their login alone; the transaction that takes these is rolled back.
 * @param login `undefined` for the admin's own
 */
async function endIdle(db: Queryable, name: string, login: string | undefined): Promise<void> {
  const idle = "datname = $1 and usename = coalesce($2, current_user) and state = 'idle'"
  try {
    await endWhere(db, login, idle, [name, login ?? null])
  } catch (error) {
    // insufficient_privilege: then they are waited for.
    if (sqlState(error) !== '42501') throw error
  }
}
