/** What this server and this login allow: plain facts, for the start-up check and for `tenantry doctor`. */
import type { Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import { OWNERS_GROUP, TENANTS_GROUP } from './logins.ts'
import { type Enforcement, enforcementOf, type OpenRights, readOpenRights } from './open-rights.ts'

/** What the login of a connection is and may. */
export interface LoginFacts {
  readonly name: string
  readonly superuser: boolean
  readonly bypassRls: boolean
  readonly createRole: boolean
  readonly createDatabase: boolean
  readonly replication: boolean
  readonly ownsDatabase: boolean
  /** Schemas and relations that it owns in this database. */
  readonly owns: number
  /** It can become the owner of the catalog, the control plane's login. */
  readonly entersAdmin: boolean
  /** It can become the owner of a tenant's objects, or has the rights of all owners. */
  readonly entersOwners: boolean
  /** Other roles that it can become and that are superuser, BYPASSRLS, CREATEROLE or REPLICATION. */
  readonly entersPrivileged: readonly string[]
  /** It can become the owner of this database. */
  readonly entersDatabaseOwner: boolean
  /** It has the rights of tenant roles without SET ROLE. */
  readonly inheritsTenants: boolean
  /** PostgreSQL's own roles (`pg_read_all_data`, …) that it is a member of. */
  readonly predefinedRoles: readonly string[]
  readonly createInDatabase: boolean
  readonly createInPublic: boolean
  readonly temporary: boolean
  /** It may bind the context. */
  readonly setConfig: boolean
  /** Roles that it is a direct member of: what SET ROLE pays for after each change of roles (FINDINGS 12). */
  readonly memberships: number
}

export interface ServerFacts {
  /** `server_version_num`. */
  readonly version: number
  readonly standardConformingStrings: boolean
  readonly login: LoginFacts
  /** What everybody may, tenants included. */
  readonly open: OpenRights
  readonly enforcement: Enforcement
}

/**
 * Memberships are followed to their end: a role between the login and an owner role would open it all the same. A
 * superuser is a member of every role to `pg_has_role`, so that nothing but that is said of it.
 */
const FACTS = `select json_build_object(
  'version', current_setting('server_version_num')::int,
  'standardConformingStrings', current_setting('standard_conforming_strings') = 'on',
  'login', json_build_object(
    'name', l.rolname,
    'superuser', l.rolsuper, 'bypassRls', l.rolbypassrls, 'createRole', l.rolcreaterole,
    'createDatabase', l.rolcreatedb, 'replication', l.rolreplication,
    'ownsDatabase', exists (select from pg_database d where d.datname = current_database() and d.datdba = l.oid),
    'owns', (select count(*) from pg_class c where c.relowner = l.oid and c.relkind in ('r','p','v','m','f','S'))
      + (select count(*) from pg_namespace n where n.nspowner = l.oid),
    'entersAdmin', coalesce((select n.nspowner <> l.oid and pg_has_role(l.oid, n.nspowner, 'MEMBER')
      from pg_namespace n where n.nspname = 'tenantry'), false),
    'entersOwners', not l.rolsuper and exists (select from pg_auth_members g join pg_roles r on r.oid = g.roleid
      where r.rolname = $1 and pg_has_role(l.oid, g.member, 'MEMBER')),
    'entersPrivileged', (select coalesce(json_agg(p.rolname order by p.rolname), '[]') from pg_roles p
      where (p.rolsuper or p.rolbypassrls or p.rolcreaterole or p.rolreplication) and p.oid <> l.oid
      and not l.rolsuper and pg_has_role(l.oid, p.oid, 'MEMBER')),
    'entersDatabaseOwner', not l.rolsuper and exists (select from pg_database d where d.datname = current_database()
      and d.datdba <> l.oid and pg_has_role(l.oid, d.datdba, 'MEMBER')),
    'inheritsTenants', not l.rolsuper and exists (select from pg_auth_members g join pg_roles r on r.oid = g.roleid
      where r.rolname = $2 and pg_has_role(l.oid, g.member, 'USAGE')),
    'predefinedRoles', (select coalesce(json_agg(p.rolname order by p.rolname), '[]') from pg_roles p
      where p.rolname like 'pg\\_%' and p.rolname <> 'pg_database_owner' and not l.rolsuper
      and pg_has_role(l.oid, p.oid, 'MEMBER')),
    'createInDatabase', has_database_privilege(l.oid, current_database(), 'CREATE'),
    'createInPublic', coalesce(has_schema_privilege(l.oid, to_regnamespace('public')::oid, 'CREATE'), false),
    'temporary', has_database_privilege(l.oid, current_database(), 'TEMPORARY'),
    'setConfig', has_function_privilege(l.oid, 'pg_catalog.set_config(text,text,boolean)', 'EXECUTE'),
    'memberships', (select count(distinct m.roleid) from pg_auth_members m where m.member = l.oid)
  ))::text as facts from pg_roles l where l.rolname = session_user`

/** Reads the facts of the connection's login; changes nothing. */
export async function probeServer(db: Queryable): Promise<ServerFacts> {
  const { rows } = await db.query<{ facts: string }>(FACTS, [OWNERS_GROUP, TENANTS_GROUP])
  const facts = JSON.parse(rows[0]?.facts ?? '{}') as Omit<ServerFacts, 'open' | 'enforcement'>
  const open = await readOpenRights(db)
  return { ...facts, open, enforcement: enforcementOf(open) }
}

/** Why the runtime must not use this login (S12); empty where it may. */
export function loginProblems({ login }: ServerFacts): string[] {
  const rules: readonly (readonly [boolean, string])[] = [
    [login.superuser, 'it is a superuser, for whom no isolation holds'],
    [login.bypassRls, 'it has BYPASSRLS'],
    [login.createRole, 'it has CREATEROLE'],
    [login.replication, 'it has REPLICATION and can read all rows from the log stream'],
    [login.ownsDatabase, 'it owns the database'],
    [login.owns > 0, `it owns ${login.owns} schemas or tables here`],
    [login.entersAdmin, 'it can become the control plane’s login'],
    [
      login.entersPrivileged.length > 0,
      `it can become ${login.entersPrivileged.join(', ')}, whom isolation does not hold`,
    ],
    [login.entersDatabaseOwner, 'it can become the owner of the database'],
    [login.entersOwners, 'it can become the owner of a tenant’s tables'],
    [login.inheritsTenants, 'it holds the rights of tenants without entering them (it must be NOINHERIT)'],
    [login.predefinedRoles.length > 0, `it is a member of ${login.predefinedRoles.join(', ')}`],
    [login.createInPublic, 'it may create tables in schema public'],
    [login.createInDatabase, 'it may create schemas'],
    [!login.setConfig, 'it may not call set_config, which binds the context'],
  ]
  return rules.filter(([applies]) => applies).map(([, reason]) => reason)
}

/** @throws TNY006 where the login is unsafe, TNY007 where statements cannot be read reliably. */
export function requireSafeLogin(facts: ServerFacts): void {
  const problems = loginProblems(facts)
  if (problems.length > 0) {
    throw new TenantryError('TNY006', { params: { login: facts.login.name, reason: problems.join('; ') } })
  }
  if (!facts.standardConformingStrings) {
    throw new TenantryError('TNY007', { params: { setting: 'standard_conforming_strings = off' } })
  }
}
