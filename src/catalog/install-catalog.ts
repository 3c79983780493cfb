/** Brings the catalog to the version of this code and gives the runtime login what it may read. */
import { randomUUID } from 'node:crypto'
import type { AdminDatabase, Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import { quoteIdent } from '../sql/quote.ts'
import { CATALOG_MIGRATIONS, CATALOG_VERSION } from './catalog-migrations.ts'
import { readCatalogVersion } from './catalog-version.ts'
import { readSettings } from './settings.ts'

/** The group roles of tenants and of their objects' owners. */
const CONTEXT_GROUPS = 'tenantry_tenants, tenantry_owners'

export interface InstallOptions {
  /** The application's login; must exist. What an installed catalog says by default, else `tenantry_app`. */
  readonly runtimeLogin?: string | undefined
  /** Called after each migration that ran. */
  readonly onProgress?: ((done: number, total: number, name: string) => void) | undefined
}

/**
 * Runs what is missing, all of it in one transaction: it is there whole or not at all. Two at once are safe: the
 * second waits for the first and finds nothing to do.
 * @returns the names of the migrations that ran now.
 * @throws TNY008 where the catalog is newer than this code, TNY009 where the runtime login does not exist,
 * TNY002 where the catalog belongs to another runtime login.
 */
export async function installCatalog(db: AdminDatabase, options: InstallOptions = {}): Promise<string[]> {
  return db.transaction(async (tx) => {
    await tx.query("select pg_advisory_xact_lock(hashtextextended('tenantry:catalog', 0))")
    const found = await readInstalled(tx)
    if (found > CATALOG_VERSION) {
      throw new TenantryError('TNY008', { params: { found, known: CATALOG_VERSION } })
    }
    const missing = CATALOG_MIGRATIONS.slice(found)
    for (const [index, { version, name, sql }] of missing.entries()) {
      await tx.query(sql)
      await tx.query('insert into tenantry.migrations (version, name) values ($1, $2)', [version, name])
      options.onProgress?.(index + 1, missing.length, name)
    }
    const login = await settleRuntimeLogin(tx, options.runtimeLogin)
    await grantReading(tx, login)
    return missing.map(({ name }) => name)
  })
}

async function readInstalled(tx: Queryable): Promise<number> {
  const { rows } = await tx.query<{ found: string | null }>(
    "select to_regclass('tenantry.migrations')::text as found",
  )
  if (rows[0]?.found != null) return readCatalogVersion(tx)
  await tx.query(`
    create schema tenantry;
    create table tenantry.migrations (
      version integer primary key,
      name text not null,
      applied_at timestamptz not null default now()
    )`)
  return 0
}

async function settleRuntimeLogin(tx: Queryable, wanted: string | undefined): Promise<string> {
  const known = (await readSettings(tx)).runtimeLogin
  const login = wanted ?? known ?? 'tenantry_app'
  if (known !== undefined && known !== login) {
    const reason = `this catalog serves the runtime login "${known}", not "${login}"`
    throw new TenantryError('TNY002', { params: { reason } })
  }
  const { rows } = await tx.query('select 1 from pg_roles where rolname = $1', [login])
  if (rows.length === 0) throw new TenantryError('TNY009', { params: { login } })
  await tx.query(
    `insert into tenantry.settings (name, value)
     values ('installation_id', to_jsonb($1::text)), ('runtime_login', to_jsonb($2::text))
     on conflict (name) do nothing`,
    [randomUUID(), login],
  )
  return login
}

/**
 * What resolving and the start-up check read, and nothing else; shared tables of the admin are readable too. Tenants may
 * ask who they are, for policies and defaults, and owner roles in the data that migrations write.
 */
async function grantReading(tx: Queryable, login: string): Promise<void> {
  const role = quoteIdent(login)
  await tx.query(`
    grant usage on schema tenantry to ${role};
    revoke all on all tables in schema tenantry from public, ${role};
    grant select on tenantry.tenants, tenantry.keys, tenantry.migrations to ${role};
    grant select (domain, tenant_id, verified_at) on tenantry.domains to ${role};
    grant select (schema_name, database_name, version) on tenantry.migration_heads to ${role};
    grant select (schema_name, pattern_schema) on tenantry.shared_homes to ${role};
    grant usage on schema tenantry to ${CONTEXT_GROUPS};
    grant execute on function tenantry.current_tenant() to ${role}, ${CONTEXT_GROUPS};
    grant execute on function tenantry.proof_of(text), tenantry.find_api_key(bytea) to ${role};
    alter default privileges in schema public grant select, insert, update, delete on tables to ${role};
    alter default privileges in schema public grant usage, select on sequences to ${role}`)
}
