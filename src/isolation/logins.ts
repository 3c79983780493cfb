/** Makes the two logins and the two group roles from one connection of the database's owner. */
import type { AdminDatabase, Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import { quoteIdent, quoteLiteral } from '../sql/quote.ts'
import { sqlState } from '../sql/sql-state.ts'
import { newPassword, scramVerifier } from './scram.ts'
import { readServerVersion } from './server-version.ts'

/** Group role of all tenant roles: grant it what all tenants may see of shared tables. */
export const TENANTS_GROUP = 'tenantry_tenants'
/** Group role of the sealed tenants' logins: they bind their context themselves, and may connect to the catalog's database. */
export const SEALED_GROUP = 'tenantry_sealed'
/** Group role of all owner roles: may write functions in migrations after hardening. */
export const OWNERS_GROUP = 'tenantry_owners'

const GROUPS = [TENANTS_GROUP, SEALED_GROUP, OWNERS_GROUP]

export interface LoginOptions {
  /** The control plane's login; `tenantry_admin` by default. */
  readonly admin?: string
  /** The application's login; `tenantry_app` by default. */
  readonly app?: string
  /** Give logins that exist already a new password; otherwise theirs stays, and is not returned. */
  readonly rotate?: boolean
}

/** A login, and its password if it was set now. It is stored nowhere else: show it once. */
export interface CreatedLogin {
  readonly name: string
  readonly password: string | undefined
}

/**
 * Makes `tenantry_admin` (CREATEROLE, CREATEDB where this connection may give it, may create schemas in this database)
 * and `tenantry_app` (NOINHERIT, owns nothing), in one transaction. Existing ones keep attributes and password. Passwords
 * are sent as SCRAM verifiers.
 * @param owner the owner of the database with CREATEROLE, or a superuser.
 * @throws TNY018 where the connection may not create roles or give rights on the database.
 */
export async function createLogins(
  owner: AdminDatabase,
  options: LoginOptions = {},
): Promise<{ admin: CreatedLogin; app: CreatedLogin }> {
  const { admin: adminName = 'tenantry_admin', app: appName = 'tenantry_app', rotate = false } = options
  return retryOnce(owner, async (tx) => {
    // Two at once: the second waits and finds the roles made.
    await tx.query("select pg_advisory_xact_lock(hashtextextended('tenantry:logins', 0))")
    await requireCreateRole(tx)
    const version = await readServerVersion(tx)
    // DROP OWNED asks for inherited rights; before 16 they cannot be granted for one role alone.
    const inherits = version >= 160000 ? 'noinherit' : 'inherit'
    const createdb = (await mayGiveCreateDb(tx, version)) ? 'createdb' : ''
    const admin = await createLogin(tx, adminName, `createrole ${createdb} ${inherits}`, rotate)
    const app = await createLogin(tx, appName, 'noinherit', rotate)
    if (version >= 160000) await letEndSessions(tx, adminName, appName)
    await createGroups(tx, adminName)
    await grantDatabase(tx, adminName, appName)
    return { admin, app }
  })
}

/** The same URL with another login; where the password is unknown the URL has none. */
export function withLogin(url: string, login: CreatedLogin): string {
  const result = new URL(url)
  result.username = encodeURIComponent(login.name)
  result.password = encodeURIComponent(login.password ?? '')
  return result.href
}

async function requireCreateRole(tx: Queryable): Promise<void> {
  const { rows } = await tx.query<{ able: string }>(
    'select (rolsuper or rolcreaterole)::text as able from pg_roles where rolname = current_user',
  )
  if (rows[0]?.able !== 'true') throw new TenantryError('TNY018', { params: { what: 'create roles' } })
}

/** Databases of tenants need it. From 16 on only who has it gives it; before, who creates roles gives everything. */
async function mayGiveCreateDb(tx: Queryable, version: number): Promise<boolean> {
  if (version < 160000) return true
  const { rows } = await tx.query<{ able: string }>(
    'select (rolsuper or rolcreatedb)::text as able from pg_roles where rolname = current_user',
  )
  return rows[0]?.able === 'true'
}

/**
 * Before a tenant's database is dropped, the sessions that rest in it are ended, those of the runtime login too: who may
 * give its rights may do that. Before 16 CREATEROLE is enough.
 */
async function letEndSessions(tx: Queryable, adminName: string, appName: string): Promise<void> {
  const { rows } = await tx.query<{ able: string }>(
    `select (pg_has_role($2, 'MEMBER WITH ADMIN OPTION') and not pg_has_role($1, $2, 'MEMBER WITH ADMIN OPTION'))::text as able`,
    [adminName, appName],
  )
  if (rows[0]?.able !== 'true') return
  await tx.query(
    `grant ${quoteIdent(appName)} to ${quoteIdent(adminName)} with admin true, inherit false, set false`,
  )
}

async function createLogin(
  tx: Queryable,
  name: string,
  attributes: string,
  rotate: boolean,
): Promise<CreatedLogin> {
  const exists = await roleExists(tx, name)
  if (exists && !rotate) return { name, password: undefined }
  const password = newPassword()
  const verifier = quoteLiteral(scramVerifier(password))
  await tx.query(
    exists
      ? `alter role ${quoteIdent(name)} password ${verifier}`
      : `create role ${quoteIdent(name)} login ${attributes} password ${verifier}`,
  )
  return { name, password }
}

async function createGroups(tx: Queryable, adminName: string): Promise<void> {
  const admin = quoteIdent(adminName)
  for (const group of GROUPS) {
    if (!(await roleExists(tx, group))) await tx.query(`create role ${quoteIdent(group)} nologin`)
    const { rows } = await tx.query<{ manages: string }>(
      "select pg_has_role($1, $2, 'MEMBER WITH ADMIN OPTION')::text as manages",
      [adminName, group],
    )
    if (rows[0]?.manages !== 'true') {
      await tx.query(`grant ${quoteIdent(group)} to ${admin} with admin option`)
    }
  }
}

async function grantDatabase(tx: Queryable, adminName: string, appName: string): Promise<void> {
  const { rows } = await tx.query<{ name: string; has_public: string }>(
    "select current_database() as name, (to_regnamespace('public') is not null)::text as has_public",
  )
  const [admin, app, database] = [quoteIdent(adminName), quoteIdent(appName), quoteIdent(rows[0]?.name ?? '')]
  await tx.query(`grant connect, create, temporary on database ${database} to ${admin}`)
  await tx.query(`grant connect on database ${database} to ${app}, ${SEALED_GROUP}`)
  // Shared tables live there; migrations/shared runs as the admin.
  if (rows[0]?.has_public === 'true') {
    await tx.query(`grant usage, create on schema public to ${admin}; grant usage on schema public to ${app}`)
  }
  // A GRANT without the right to give it may end in no more than a warning: only the outcome counts.
  const { rows: outcome } = await tx.query<{ able: string }>(
    "select has_database_privilege($1, current_database(), 'CREATE')::text as able",
    [adminName],
  )
  if (outcome[0]?.able !== 'true') {
    throw new TenantryError('TNY018', {
      params: { what: 'let another login create schemas in this database' },
    })
  }
}

async function roleExists(tx: Queryable, name: string): Promise<boolean> {
  return (await tx.query('select 1 from pg_roles where rolname = $1', [name])).rows.length > 0
}

/**
 * Makes the group roles where the logins were made by hand, as the admin. Roles belong to the whole server, so that
 * another database may have made them already.
 */
export async function ensureGroups(admin: AdminDatabase): Promise<void> {
  await retryOnce(admin, async (tx) => {
    await tx.query("select pg_advisory_xact_lock(hashtextextended('tenantry:logins', 0))")
    for (const group of GROUPS) {
      if (!(await roleExists(tx, group))) await tx.query(`create role ${quoteIdent(group)} nologin`)
    }
  })
}

/** Roles belong to the server and locks to a database: another database may have made the same role just now. */
async function retryOnce<T>(db: AdminDatabase, work: (tx: Queryable) => Promise<T>): Promise<T> {
  try {
    return await db.transaction(work)
  } catch (error) {
    // duplicate_object, unique_violation, and internal_error for "tuple concurrently updated".
    if (!['42710', '23505', 'XX000'].includes(sqlState(error) ?? '')) throw error
    return db.transaction(work)
  }
}
