/** What PostgreSQL gives to everybody and a tenant must not have; read from the catalogs, never from what a REVOKE said. */
import type { Queryable } from '../core/database.ts'
import { REACHING, REACHING_VALUES } from './reaching-functions.ts'

/** Rights that PUBLIC holds in this database. Nothing in it: the server itself refuses what the guard refuses. */
export interface OpenRights {
  /** Signatures, fit for GRANT and REVOKE. */
  readonly functions: readonly string[]
  /** Trusted languages: with USAGE a tenant can run DO blocks (S5). */
  readonly languages: readonly string[]
  /** Temporary tables shadow the next tenant's (S15). */
  readonly temporary: boolean
  readonly createInDatabase: boolean
  readonly createInPublic: boolean
}

const OPEN_RIGHTS = `select json_build_object(
  'functions', (
    select coalesce(json_agg(p.oid::regprocedure::text order by p.proname, p.oid), '[]') from pg_proc p
    where ${REACHING} and has_function_privilege('public', p.oid, 'EXECUTE')),
  'languages', (
    select coalesce(json_agg(lanname order by lanname), '[]') from pg_language
    where lanpltrusted and lanname <> 'internal' and has_language_privilege('public', oid, 'USAGE')),
  'temporary', has_database_privilege('public', current_database(), 'TEMPORARY'),
  'createInDatabase', has_database_privilege('public', current_database(), 'CREATE'),
  'createInPublic', coalesce(has_schema_privilege('public', to_regnamespace('public')::oid, 'CREATE'), false)
)::text as open`

/** Reads what is open to everybody in this database; rights are per database (FINDINGS 14). */
export async function readOpenRights(db: Queryable): Promise<OpenRights> {
  const { rows } = await db.query<{ open: string }>(OPEN_RIGHTS, REACHING_VALUES)
  return JSON.parse(rows[0]?.open ?? '{}') as OpenRights
}

/** What keeps a tenant in where the guard let something through: the server, or nothing but the guard. */
export type Enforcement = 'database' | 'guard'

/** `database` only where nothing is open: told truthfully, never assumed. */
export function enforcementOf(open: OpenRights): Enforcement {
  const closed =
    open.functions.length === 0 &&
    open.languages.length === 0 &&
    !open.temporary &&
    !open.createInDatabase &&
    !open.createInPublic
  return closed ? 'database' : 'guard'
}
