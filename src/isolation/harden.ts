/** Opt-in hardening of one database: takes from everybody what a tenant must not have, and tells what it achieved. */
import type { AdminDatabase, Queryable } from '../core/database.ts'
import { quoteIdent } from '../sql/quote.ts'
import { OWNERS_GROUP, SEALED_GROUP } from './logins.ts'
import { REACHING, REACHING_VALUES } from './reaching-functions.ts'
import { type Enforcement, enforcementOf, type OpenRights, readOpenRights } from './open-rights.ts'

export interface HardenOptions {
  /** The control plane's login; `tenantry_admin` by default. Keeps everything. */
  readonly admin?: string
  /** The application's login; `tenantry_app` by default. Keeps `set_config`, `pg_notify`, advisory locks and the like. */
  readonly app?: string
  /** Other logins that keep everything: those of backups, restores and replication (FINDINGS 14). */
  readonly keep?: readonly string[]
}

export interface Hardening {
  readonly enforcement: Enforcement
  /** What was open before and is closed now. */
  readonly closed: readonly string[]
  /** What stays open to everybody, because this connection may not take it away: see `enforcement`. */
  readonly open: readonly string[]
}

/** What central work of the application needs. It runs as the login, whom no tenant's statement is. */
const CENTRAL_FUNCTIONS =
  /^(set_config|pg_notify|pg_prepared_statement|pg_(cancel|terminate)_backend|pg_(try_)?advisory_\w+)\(/
/** What migrations of tenants need, which run as the owners of their schemas. */
const OWNER_FUNCTIONS = /^pg_(try_)?advisory_\w+\(/

const MEMORY_FUNCTION = 'pg_catalog.pg_get_backend_memory_contexts()'

/**
 * Revokes from PUBLIC, in this database only. Without superuser PostgreSQL refuses part of it with no more than a
 * warning; the result says what was achieved. Ask `loginsAffected` first, take it back with `soften`.
 * @param owner a superuser, or the database's owner (who achieves less).
 */
export async function harden(owner: AdminDatabase, options: HardenOptions = {}): Promise<Hardening> {
  const { admin = 'tenantry_admin', app = 'tenantry_app', keep = [] } = options
  return owner.transaction(async (tx) => {
    await tx.query("select pg_advisory_xact_lock(hashtextextended('tenantry:harden', 0))")
    const before = await readOpenRights(tx)
    await tx.query(await revokes(tx, before))
    const after = await readOpenRights(tx)
    const closed = difference(before, after)
    const grants = await grantsBack(tx, closed, [admin, ...keep], app)
    if (grants !== '') await tx.query(grants)
    await grantMemory(tx, app)
    await grantContext(tx)
    return {
      enforcement: enforcementOf(after),
      closed: describeRights(closed),
      open: describeRights(after),
    }
  })
}

/** Gives back to PUBLIC what PostgreSQL gives by default; what is closed by default stays closed. */
export async function soften(owner: AdminDatabase): Promise<void> {
  await owner.transaction(async (tx) => {
    const { rows } = await tx.query<{ statement: string }>(
      `select format('grant execute on function %s to public', p.oid::regprocedure) as statement
       from pg_proc p where ${REACHING} and p.proacl is not null
         and not has_function_privilege('public', p.oid, 'EXECUTE')
         and not exists (select from pg_init_privs i where i.classoid = 'pg_proc'::regclass and i.objoid = p.oid)
       union all
       select format('grant usage on language %I to public', lanname) from pg_language
       where lanpltrusted and lanname <> 'internal' and not has_language_privilege('public', oid, 'USAGE')
       union all
       select format('grant temporary on database %I to public', current_database())`,
      REACHING_VALUES,
    )
    await tx.query(rows.map(({ statement }) => statement).join(';\n'))
  })
}

/**
 * Logins that may connect here and would lose something: name them to the operator before hardening. Sealed tenants' own
 * are not among them: what they lose is meant for them, and what they need they get by their group.
 */
export async function loginsAffected(db: Queryable, options: HardenOptions = {}): Promise<string[]> {
  const { admin = 'tenantry_admin', app = 'tenantry_app', keep = [] } = options
  const { rows } = await db.query<{ name: string }>(
    `select rolname as name from pg_roles r
     where rolcanlogin and not rolsuper and rolname <> all ($1::text[])
       and has_database_privilege(oid, current_database(), 'CONNECT')
       and not exists (select from pg_auth_members m join pg_roles g on g.oid = m.roleid
         where m.member = r.oid and g.rolname = $2) order by rolname`,
    [[admin, app, ...keep], SEALED_GROUP],
  )
  return rows.map(({ name }) => name)
}

async function currentDatabase(tx: Queryable): Promise<string> {
  const { rows } = await tx.query<{ name: string }>('select current_database() as name')
  return quoteIdent(rows[0]?.name ?? '')
}

/** Only what is open: revoking what is closed already is an error for some logins. */
async function revokes(tx: Queryable, open: OpenRights): Promise<string> {
  const database = await currentDatabase(tx)
  const statements = [
    ...open.functions.map((signature) => `revoke execute on function ${signature} from public`),
    ...open.languages.map((name) => `revoke usage on language ${quoteIdent(name)} from public`),
    ...(open.temporary ? [`revoke temporary on database ${database} from public`] : []),
    ...(open.createInDatabase ? [`revoke create on database ${database} from public`] : []),
    ...(open.createInPublic ? ['revoke create on schema public from public'] : []),
  ]
  return statements.join(';\n')
}

async function grantsBack(tx: Queryable, closed: OpenRights, keep: string[], app: string): Promise<string> {
  const all = keep.map(quoteIdent).join(', ')
  const owners = quoteIdent(OWNERS_GROUP)
  const statements = [
    ...closed.functions.map((signature) => {
      const grantees = [
        all,
        ...(CENTRAL_FUNCTIONS.test(signature) ? [quoteIdent(app)] : []),
        ...(OWNER_FUNCTIONS.test(signature) ? [owners] : []),
      ]
      return `grant execute on function ${signature} to ${grantees.join(', ')}`
    }),
    // Migrations define functions: as the admin in shared tables, as the owner role in a tenant's schema.
    ...closed.languages.map((name) => `grant usage on language ${quoteIdent(name)} to ${all}, ${owners}`),
    ...(closed.temporary ? [`grant temporary on database ${await currentDatabase(tx)} to ${all}`] : []),
  ]
  return statements.join(';\n')
}

/**
 * Lets the gateway see when a backend has grown, where this connection may grant that. Contexts bear the names of tables
 * and the texts of statements of all tenants that the backend served: a right of the login, which tenants' roles lack.
 */
async function grantMemory(tx: Queryable, app: string): Promise<void> {
  const { rows } = await tx.query<{ able: string }>(
    `select has_function_privilege('${MEMORY_FUNCTION}', 'EXECUTE WITH GRANT OPTION')::text as able`,
  )
  if (rows[0]?.able === 'true') {
    await tx.query(`grant execute on function ${MEMORY_FUNCTION} to ${quoteIdent(app)}`)
  }
}

/** What the gateway asks of a connection, whoever's it is: to bind the context, and whether a pooler carries names. */
const GATEWAY_FUNCTIONS = ['pg_catalog.set_config(text,text,boolean)', 'pg_catalog.pg_prepared_statement()']

/**
 * Lets sealed tenants' own logins do that, in a database that was hardened before there were any too. It leads them
 * nowhere: what `set_config` sets they could SET, they may enter no role but their own, and nobody shares their sessions.
 */
async function grantContext(tx: Queryable): Promise<void> {
  const { rows } = await tx.query<{ name: string }>(
    `select f.name from pg_roles r, unnest($2::text[]) f (name)
     where r.rolname = $1 and has_function_privilege(f.name, 'EXECUTE WITH GRANT OPTION')`,
    [SEALED_GROUP, GATEWAY_FUNCTIONS],
  )
  for (const { name } of rows) {
    await tx.query(`grant execute on function ${name} to ${quoteIdent(SEALED_GROUP)}`)
  }
}

function difference(before: OpenRights, after: OpenRights): OpenRights {
  return {
    functions: before.functions.filter((signature) => !after.functions.includes(signature)),
    languages: before.languages.filter((name) => !after.languages.includes(name)),
    temporary: before.temporary && !after.temporary,
    createInDatabase: before.createInDatabase && !after.createInDatabase,
    createInPublic: before.createInPublic && !after.createInPublic,
  }
}

function describeRights(rights: OpenRights): string[] {
  return [
    ...rights.functions.map((signature) => `EXECUTE on ${signature}`),
    ...rights.languages.map((name) => `USAGE on language ${name}`),
    ...(rights.temporary ? ['TEMPORARY on the database'] : []),
    ...(rights.createInDatabase ? ['CREATE on the database'] : []),
    ...(rights.createInPublic ? ['CREATE on schema public'] : []),
  ]
}
