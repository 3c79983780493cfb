/** The database that tenants' databases are copied from: prepared once for each installation, and closed to everybody. */
import { createHash } from 'node:crypto'
import type { AdminDatabase, Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import { quoteIdent, quoteLiteral } from '../sql/quote.ts'
import { sqlState } from '../sql/sql-state.ts'
import { harden } from './harden.ts'
import { OWNERS_GROUP, TENANTS_GROUP } from './logins.ts'

/** Whose databases they are. A copy of a catalog has the same id, but is in another database. */
export interface Installation {
  readonly id: string
  /** The catalog's database. */
  readonly database: string
}

/** Runs `fn` on one connection to another database of the server, closed afterwards. */
export type Within = <T>(database: string, fn: (db: AdminDatabase) => Promise<T>) => Promise<T>

/** To be raised when this file or `harden` makes something else of it: the one that is there is made anew then. */
const TEMPLATE_VERSION = 1

const MARK = 'tenantry: template'

/** Stable for an installation, at most 63 bytes, and no other installation's on the same server. */
function templateName({ id, database }: Installation): string {
  return `tenantry_template_${hash(JSON.stringify([id, database]))}`
}

/** @throws TNY310 */
async function requireCreateDatabase(db: Queryable): Promise<void> {
  const { rows } = await db.query<{ login: string; able: string }>(
    'select rolname as login, (rolcreatedb or rolsuper)::text as able from pg_roles where rolname = current_user',
  )
  if (rows[0]?.able === 'true') return
  throw new TenantryError('TNY310', { params: { login: rows[0]?.login ?? '' } })
}

/** Its lock: shared while a database is copied from it, exclusive while it is made. */
const LOCK = "hashtextextended('tenantry:template', 0)"

/**
 * Runs `fn` while nobody makes the template anew. It is made first where there is none, or none as it would be made now:
 * hardened as far as the admin may, with the trusted extensions of the catalog's database.
 * @param session one connection to the catalog's database, outside of a transaction.
 * @param app the runtime login.
 * @throws TNY310, TNY311
 */
export async function withTemplate<T>(
  session: Queryable,
  installation: Installation,
  { app, within }: { readonly app: string; readonly within: Within },
  fn: (template: string) => Promise<T>,
): Promise<T> {
  await requireCreateDatabase(session)
  const name = templateName(installation)
  const plan = await readPlan(session)
  const mark = `${MARK} ${plan.version} of ${installation.id} in ${installation.database}`
  for (;;) {
    const done = await locked(session, '_shared', async () =>
      (await isFinished(session, name, mark)) ? { result: await fn(name) } : undefined,
    )
    if (done !== undefined) return done.result
    await locked(session, '', async () => {
      if (await isFinished(session, name, mark)) return
      await dropTemplate(session, name)
      await makeTemplate(session, name, plan, { mark, app, within })
    })
  }
}

async function locked<T>(session: Queryable, mode: '' | '_shared', fn: () => Promise<T>): Promise<T> {
  await session.query(`select pg_advisory_lock${mode}(${LOCK})`)
  try {
    return await fn()
  } finally {
    // Where this fails the connection is broken, and the lock went with it.
    await session.query(`select pg_advisory_unlock${mode}(${LOCK})`).catch(() => undefined)
  }
}

interface Making {
  readonly mark: string
  readonly app: string
  readonly within: Within
}

/** Nobody but its owner can enter at any moment; the mark, and with it the end of the work, is one commit. */
async function makeTemplate(session: Queryable, name: string, plan: Plan, making: Making): Promise<void> {
  const database = quoteIdent(name)
  await session.query(`create database ${database} template template0 ${plan.locale} allow_connections false`)
  // Several statements in one message are one transaction.
  await session.query(`revoke all on database ${database} from public;
    comment on database ${database} is ${quoteLiteral(`${MARK}, being made`)};
    alter database ${database} allow_connections true`)
  await making.within(name, async (db) => {
    for (const extension of plan.extensions) await createExtension(db, extension)
    const { rows } = await db.query<{ admin: string }>('select current_user as admin')
    await harden(db, { admin: rows[0]?.admin ?? '', app: making.app })
  })
  await session.query(`comment on database ${database} is ${quoteLiteral(making.mark)};
    alter database ${database} is_template true allow_connections false`)
}

async function isFinished(session: Queryable, name: string, mark: string): Promise<boolean> {
  const { rows } = await session.query(
    `select from pg_database where datname = $1 and datistemplate and not datallowconn
       and shobj_description(oid, 'pg_database') = $2`,
    [name, mark],
  )
  return rows.length > 0
}

/** What an attempt left, or an older version: there are no rows in it. @throws TNY311 where it is somebody else's */
async function dropTemplate(session: Queryable, name: string): Promise<void> {
  const { rows } = await session.query<{ ours: string; template: string }>(
    `select coalesce(shobj_description(oid, 'pg_database') like $2, not datallowconn)::text as ours,
       datistemplate::text as template from pg_database where datname = $1`,
    [name, `${MARK}%`],
  )
  if (rows[0] === undefined) return
  if (rows[0].ours !== 'true') {
    const reason = 'it has the name of the template that tenants’ databases are made from'
    const advice = 'Rename or drop it; the template is made by itself then.'
    throw new TenantryError('TNY311', { params: { database: name, reason, advice } })
  }
  if (rows[0].template === 'true') await session.query(`alter database ${quoteIdent(name)} is_template false`)
  const drop = `drop database if exists ${quoteIdent(name)}`
  try {
    await session.query(`${drop} with (force)`)
  } catch (error) {
    // An autovacuum worker is nobody's session that the admin may end; without FORCE the server ends it by itself.
    if (sqlState(error) !== '42501') throw error
    await session.query(drop)
  }
}

interface Extension {
  readonly name: string
  readonly schema: string
  /** `null` where the server no longer has the version that is installed. */
  readonly version: string | null
}

/** What the template is made from. */
interface Plan {
  /** Of all that follows, and of this code. */
  readonly version: string
  /** Options of CREATE DATABASE: texts sort in a tenant's own database as in the catalog's. */
  readonly locale: string
  readonly extensions: readonly Extension[]
}

/** Columns of pg_database come and go between versions: 17 renamed that of ICU locales. */
const PLAN = `select json_build_object(
  'locale', (select json_build_object('encoding', pg_encoding_to_char(d.encoding), 'collate', d.datcollate,
      'ctype', d.datctype, 'provider', d.datlocprovider, 'rules', to_jsonb(d) ->> 'daticurules',
      'named', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'))
    from pg_database d where d.datname = current_database()),
  'extensions', (select coalesce(json_agg(json_build_object('name', e.extname, 'schema', n.nspname, 'version',
        (select v.version from pg_available_extension_versions v where v.name = e.extname and v.version = e.extversion))
      order by e.oid), '[]')
    from pg_extension e join pg_namespace n on n.oid = e.extnamespace
    where e.extname <> 'plpgsql' and exists (
      select from pg_available_extension_versions v where v.name = e.extname and v.trusted))
)::text as plan`

interface Locale {
  readonly encoding: string
  readonly collate: string
  readonly ctype: string
  readonly provider: 'c' | 'i' | 'b'
  readonly named: string | null
  readonly rules: string | null
}

async function readPlan(session: Queryable): Promise<Plan> {
  const { rows } = await session.query<{ plan: string }>(PLAN)
  const text = rows[0]?.plan ?? '{}'
  const { locale, extensions } = JSON.parse(text) as { locale: Locale; extensions: Extension[] }
  return { version: hash(`${TEMPLATE_VERSION} ${text}`), locale: localeOptions(locale), extensions }
}

function localeOptions({ encoding, collate, ctype, provider, named, rules }: Locale): string {
  const options = [
    ['encoding', encoding],
    ['lc_collate', collate],
    ['lc_ctype', ctype],
    ['locale_provider', { c: 'libc', i: 'icu', b: 'builtin' }[provider]],
    ...(provider === 'i' ? [['icu_locale', named], ...(rules === null ? [] : [['icu_rules', rules]])] : []),
    ...(provider === 'b' ? [['builtin_locale', named]] : []),
  ]
  return options.map(([name, value]) => `${name} ${quoteLiteral(value ?? '')}`).join(' ')
}

async function createExtension(db: Queryable, { name, schema, version }: Extension): Promise<void> {
  const place = quoteIdent(schema)
  if (schema !== 'pg_catalog' && schema !== 'public') {
    await db.query(
      `create schema if not exists ${place}; grant usage on schema ${place} to ${TENANTS_GROUP}, ${OWNERS_GROUP}`,
    )
  }
  const exactly = version === null ? '' : `version ${quoteLiteral(version)}`
  // In the order in which they were made: what one needs is there before it.
  await db.query(`create extension if not exists ${quoteIdent(name)} schema ${place} ${exactly} cascade`)
}

function hash(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 16)
}
