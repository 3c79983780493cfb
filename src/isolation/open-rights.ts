/** What PostgreSQL gives to everybody and a tenant must not have; read from the catalogs, never from what a REVOKE said. */
import type { Queryable } from '../core/database.ts'

/** Binds the context. The gateway's login keeps it; under a tenant's role it would change tenants (S2). */
export const CONTEXT_FUNCTION = 'set_config'

/**
 * Functions that run SQL given as text, reach the log stream or tell other sessions, or leave state behind
 * (FINDINGS 15). Those of extensions are found where the extension is installed.
 */
const REACHING_FUNCTIONS = (
  'query_to_xml query_to_xml_and_xmlschema query_to_xmlschema cursor_to_xml cursor_to_xmlschema ' +
  'table_to_xml table_to_xmlschema table_to_xml_and_xmlschema schema_to_xml schema_to_xmlschema ' +
  'schema_to_xml_and_xmlschema database_to_xml database_to_xmlschema database_to_xml_and_xmlschema ' +
  'ts_stat ts_rewrite crosstab crosstab2 crosstab3 crosstab4 crosstabn connectby xpath_table ' +
  'dblink dblink_connect dblink_connect_u dblink_exec dblink_open dblink_send_query ' +
  'pg_logical_emit_message pg_notify setseed loread lowrite'
).split(' ')

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

/** Text-running ts_rewrite takes a query as text; its other form is harmless. Large objects know no tenants (S18). */
const OPEN_RIGHTS = `select json_build_object(
  'functions', (
    select coalesce(json_agg(p.oid::regprocedure::text order by p.proname, p.oid), '[]')
    from pg_proc p join pg_namespace n on n.oid = p.pronamespace
    where (p.proname = any ($1) or p.proname ~ '^lo_')
      and not (p.proname = 'ts_rewrite' and p.pronargs = 3)
      and (n.nspname = 'pg_catalog' or exists (
        select from pg_depend d where d.classid = 'pg_proc'::regclass and d.objid = p.oid and d.deptype = 'e'))
      and has_function_privilege('public', p.oid, 'EXECUTE')),
  'languages', (
    select coalesce(json_agg(lanname order by lanname), '[]') from pg_language
    where lanpltrusted and lanname <> 'internal' and has_language_privilege('public', oid, 'USAGE')),
  'temporary', has_database_privilege('public', current_database(), 'TEMPORARY'),
  'createInDatabase', has_database_privilege('public', current_database(), 'CREATE'),
  'createInPublic', coalesce(has_schema_privilege('public', to_regnamespace('public')::oid, 'CREATE'), false)
)::text as open`

/** Reads what is open to everybody in this database; rights are per database (FINDINGS 14). */
export async function readOpenRights(db: Queryable): Promise<OpenRights> {
  const { rows } = await db.query<{ open: string }>(OPEN_RIGHTS, [[CONTEXT_FUNCTION, ...REACHING_FUNCTIONS]])
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
