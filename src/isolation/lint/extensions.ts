/** Extensions: those that reach out of the database or run text as SQL, and those that nobody has looked at. */
import type { LintRule } from './finding.ts'

/** What each lets a tenant do that may call its functions (S25, S26). */
const RISKY: Readonly<Record<string, string>> = {
  dblink: 'opens connections to other databases from the server',
  postgres_fdw: 'opens connections to other databases from the server',
  file_fdw: 'reads files of the server',
  adminpack: 'reads and writes files of the server',
  plpython3u: 'runs programs on the server',
  plperlu: 'runs programs on the server',
  pltclu: 'runs programs on the server',
  plsh: 'runs programs on the server',
  http: 'sends requests from the server',
  pg_net: 'sends requests from the server',
  pg_cron: 'runs statements later, outside of any tenant',
  pg_background: 'runs statements in other sessions, outside of any tenant',
  lo: 'keeps large objects, which know no tenants',
  tablefunc: 'runs SQL given as text',
  xml2: 'runs SQL given as text',
  pageinspect: 'shows raw pages of every table',
  pg_walinspect: 'shows changes of every table',
  pg_buffercache: 'shows which tables are in use',
  pg_freespacemap: 'shows how full every table is',
  pgrowlocks: 'shows locked rows of every table',
  pgstattuple: 'shows the size of every table',
}

/** Looked at: types, operators, indexes and pure functions. */
const HARMLESS =
  `amcheck bloom btree_gin btree_gist citext cube dict_int dict_xsyn earthdistance fuzzystrmatch hstore hypopg intagg ` +
  `intarray isn ltree pg_prewarm pg_stat_statements pg_trgm pg_uuidv7 pgcrypto plpgsql postgis postgis_raster ` +
  `postgis_topology rum seg tcn timescaledb tsm_system_rows tsm_system_time unaccent uuid-ossp vector vchord citus`

const quoted = (names: readonly string[]): string => names.map((name) => `'${name}'`).join(', ')
const risky = quoted(Object.keys(RISKY))

/** Of an extension, whether tenants may call any of its functions, or use one of its foreign servers. */
const REACHED = `(
  exists (select from pg_depend d join pg_proc p on p.oid = d.objid
    where d.classid = 'pg_proc'::regclass and d.refclassid = 'pg_extension'::regclass and d.refobjid = e.oid and d.deptype = 'e'
      and p.prorettype not in ('fdw_handler'::regtype, 'language_handler'::regtype) and p.proname !~ '_validator$'
      and exists (select from aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) x
        where x.grantee in (select oid from tenant_roles)))
  or exists (select from pg_foreign_server f join pg_foreign_data_wrapper w on w.oid = f.srvfdw
    join pg_depend d on d.classid = 'pg_foreign_data_wrapper'::regclass and d.objid = w.oid and d.refobjid = e.oid,
    aclexplode(f.srvacl) x where x.grantee in (select oid from tenant_roles)))`

/** @param allowed names of extensions that the user has looked at. */
export function extensionRules(allowed: readonly string[]): readonly LintRule[] {
  return [
    {
      name: 'risky-extension',
      threat: 'S25',
      beyond: 'reaches',
      query: `select '' as space, 'shared' as kind, quote_ident(e.extname) as name, e.extname::text as detail,
          case when ${REACHED} then 'error' else 'advice' end as severity
        from pg_extension e where e.extname in (${risky}) and e.extname <> all ($2::text[])`,
      reason: (name) => `It ${RISKY[name] ?? 'reaches out of the database'}.`,
      wayOut: (object) =>
        `drop extension ${object}; or revoke its functions from public (\`tenantry harden\`) and allow it by name.`,
    },
    {
      name: 'unknown-extension',
      threat: 'S25',
      beyond: 'reaches',
      query: `select '' as space, 'shared' as kind, quote_ident(e.extname) as name, e.extname::text as detail,
          'warning' as severity
        from pg_extension e
        where e.extname not in (${risky}, ${quoted(HARMLESS.split(' '))}) and e.extname <> all ($2::text[])`,
      reason: () => 'Nothing is known here of what its functions reach.',
      wayOut: () =>
        allowed.length === 0
          ? 'Look at what its functions do for tenants, then allow it by name.'
          : `Look at what its functions do for tenants, then allow it beside ${allowed.join(', ')}.`,
    },
  ]
}
