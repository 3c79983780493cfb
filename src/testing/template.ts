/** Templates: databases with logins, catalog, migrations, tenants and their first rows, made once for each fingerprint. */
import { createControlPlane } from '../control-plane.ts'
import type { Queryable } from '../core/database.ts'
import { createAdminDatabase } from '../gateway/admin-database.ts'
import { harden } from '../isolation/harden.ts'
import { createLogins, SEALED_GROUP } from '../isolation/logins.ts'
import { scramVerifier } from '../isolation/scram.ts'
import { ownerRoleOf } from '../isolation/tenant-roles.ts'
import { quoteIdent, quoteLiteral } from '../sql/quote.ts'
import { sqlState } from '../sql/sql-state.ts'
import type { TemplateInput } from './fingerprint.ts'
import type { TestServer } from './test-server.ts'

/** The newest stay for the next run; who has more kinds of databases makes some of them anew. */
const MOST_TEMPLATES = 16

/** Stands in the comment of a finished template. */
interface Mark {
  /** All that its catalog knows. They belong to the server, and so to every clone. */
  readonly roles: readonly string[]
  /** Those that tenants are entered by: where somebody took one away, the template is made anew. */
  readonly entered: readonly string[]
}

/** Its clones are called by the same fingerprint. */
export function templateName({ prefix }: TestServer, fingerprint: string): string {
  return `${prefix}template_${fingerprint}`
}

/** The number of an advisory lock, for a database. */
export function lockOf(name: string): string {
  return `hashtextextended(${quoteLiteral(`tenantry:testing:${name}`)}, 0)`
}

/** The roles of a finished template; `undefined` where there is none that could be cloned. */
export async function findTemplate(
  { session, logins }: TestServer,
  name: string,
): Promise<readonly string[] | undefined> {
  const { rows } = await session.query<{ mark: string }>(
    `select m.mark::text as mark from pg_database d,
       lateral (select shobj_description(d.oid, 'pg_database')::jsonb as mark) m
     where d.datname = $1 and d.datistemplate and not d.datallowconn
       and not exists (select from jsonb_array_elements_text(m.mark -> 'entered') r (name)
         where not exists (select from pg_auth_members a join pg_roles o on o.oid = a.roleid join pg_roles l on l.oid = a.member
           where o.rolname = r.name and l.rolname = $2) and not exists (select from pg_roles s where s.rolname = r.name and s.rolcanlogin))`,
    [name, logins.app],
  )
  return rows[0] === undefined ? undefined : (JSON.parse(rows[0].mark) as Mark).roles
}

/** Makes the template where nobody has meanwhile; others that need the same one wait. @returns its roles */
export async function makeTemplate(
  server: TestServer,
  name: string,
  input: TemplateInput,
): Promise<readonly string[]> {
  const { session } = server
  await session.query(`select pg_advisory_lock(${lockOf(name)})`)
  try {
    const found = await findTemplate(server, name)
    if (found !== undefined) return found
    await dropTemplate(server, name)
    await session.query(`create database ${quoteIdent(name)} template template0`)
    await prepare(server, name)
    const entered = await fill(server, name, input)
    const roles = await rolesIn(server, name)
    const mark: Mark = { roles, entered }
    // Several statements in one message are one transaction.
    await session.query(`comment on database ${quoteIdent(name)} is ${quoteLiteral(JSON.stringify(mark))};
      alter database ${quoteIdent(name)} is_template true allow_connections false`)
    return roles
  } finally {
    await session.query(`select pg_advisory_unlock(${lockOf(name)})`).catch(() => undefined)
  }
}

/** The logins, their rights in the database, and hardening. */
async function prepare({ session, logins, inDatabase }: TestServer, name: string): Promise<void> {
  const { admin, app, adminPassword, appPassword } = logins
  // Logins are the server's, and two templates may be made at once.
  const lock = lockOf('logins')
  await session.query(`select pg_advisory_lock(${lock})`)
  const owner = inDatabase(name)
  try {
    await createLogins(owner, { admin, app })
    // One round is enough for a secret of 256 bits (FINDINGS 17), and connecting is most of what a clone costs.
    await owner.query(`alter role ${quoteIdent(admin)} password ${quoteLiteral(scramVerifier(adminPassword, 1))};
      alter role ${quoteIdent(app)} password ${quoteLiteral(scramVerifier(appPassword, 1))}`)
    await letEndSessions(owner, [admin, app])
    await harden(owner, { admin, app })
  } finally {
    await owner.close()
    await session.query(`select pg_advisory_unlock(${lock})`).catch(() => undefined)
  }
}

/** Who is no superuser ends only sessions whose rights it has: those that are in a database when it is dropped. */
async function letEndSessions(owner: Queryable, logins: readonly string[]): Promise<void> {
  await owner.query(
    `do $body$ begin
       if not (select rolsuper from pg_roles where rolname = current_user) then
         execute 'grant ${logins.map(quoteIdent).join(', ')} to current_user'
           || case when current_setting('server_version_num')::int >= 160000 then ' with inherit true' else '' end;
       end if;
     end $body$`,
  )
}

async function fill(server: TestServer, name: string, input: TemplateInput): Promise<string[]> {
  const { logins } = server
  const adminUrl = server.urlOf(name, 'admin')
  const plane = createControlPlane({
    connection: adminUrl,
    runtimeLogin: logins.app,
    masterKey: logins.masterKey,
    ...(input.migrations === undefined ? {} : { migrations: input.migrations }),
    ...(input.seed === undefined ? {} : { seed: input.seed }),
  })
  const entered = new Set<string>()
  try {
    await plane.install()
    const { failed } = await plane.migrate.up()
    for (const { error } of failed) throw error
    for (const tenant of input.tenants) entered.add((await plane.tenants.create(tenant)).home.role)
  } finally {
    await plane.close()
  }
  await dropSpareRoles(adminUrl)
  return [...entered]
}

/** Roles made ahead are in the catalog, and so would be in every clone: two tenants of two clones would get the same. */
async function dropSpareRoles(adminUrl: string): Promise<void> {
  const admin = createAdminDatabase(adminUrl, 1)
  try {
    const { rows } = await admin.query<{ role: string; owner: string }>(
      'delete from tenantry.role_pool returning role_name as role, owner_role as owner',
    )
    const names = rows.flatMap(({ role, owner }) => [quoteIdent(role), quoteIdent(owner)])
    if (names.length > 0) await admin.query(`drop role ${names.join(', ')}`)
  } finally {
    await admin.close()
  }
}

/** What an attempt left, or a template whose roles are gone. */
async function dropTemplate(server: TestServer, name: string): Promise<void> {
  const { session } = server
  const { rows } = await session.query<{ template: string }>(
    'select datistemplate::text as template from pg_database where datname = $1',
    [name],
  )
  if (rows[0] === undefined) return
  await session.query(`alter database ${quoteIdent(name)} is_template false allow_connections true`)
  const roles = await rolesIn(server, name)
  await session.query(`drop database if exists ${quoteIdent(name)} with (force)`)
  await dropRoles(server, roles)
}

/** Drops the oldest of too many, if nobody clones or has cloned them. */
export async function sweepTemplates(server: TestServer, keep: string): Promise<void> {
  const { session, prefix } = server
  const { rows } = await session.query<{ name: string }>(
    `select datname as name from pg_database t where starts_with(datname, $1) and datname <> $2
       and not exists (select from pg_database c where starts_with(c.datname, $3 || right(t.datname, 16) || '_'))
     order by oid desc offset $4`,
    [templateName(server, ''), keep, prefix, MOST_TEMPLATES - 1],
  )
  for (const { name } of rows) await whereFree(session, name, () => dropTemplate(server, name))
}

/** Runs `fn` under the database's lock, if nobody holds it. */
export async function whereFree(session: Queryable, name: string, fn: () => Promise<void>): Promise<void> {
  const { rows } = await session.query<{ free: string }>(
    `select pg_try_advisory_lock(${lockOf(name)})::text as free`,
  )
  if (rows[0]?.free !== 'true') return
  try {
    await fn()
  } finally {
    await session.query(`select pg_advisory_unlock(${lockOf(name)})`).catch(() => undefined)
  }
}

/** Rights on the database itself are not cloned. */
export function rightsOf(name: string, { admin, app }: TestServer['logins']): string {
  const database = quoteIdent(name)
  return `revoke temporary on database ${database} from public;
    grant connect, create, temporary on database ${database} to ${quoteIdent(admin)};
    grant connect on database ${database} to ${quoteIdent(app)}, ${quoteIdent(SEALED_GROUP)}`
}

/** The roles of all tenants that the catalog in a database knows, given and spare. */
export async function rolesIn(server: TestServer, name: string): Promise<string[]> {
  const db = server.inDatabase(name)
  try {
    const { rows } = await db.query<{ role: string }>(
      `select role_name as role from tenantry.tenants where role_name is not null
       union select owner_role from tenantry.tenants where owner_role is not null
       union select role_name from tenantry.role_pool union select owner_role from tenantry.role_pool
       union select role_name from tenantry.shared_homes union select owner_role from tenantry.shared_homes`,
    )
    // They are made in pairs; a sealed tenant of the shared model has the other half of its own nowhere.
    return [...new Set(rows.flatMap(({ role }) => [role, ownerRoleOf(role)]))].filter(
      (role) => !role.endsWith('_o_o'),
    )
  } catch (error) {
    // Half a template, whose catalog is not there yet; or an owner who may not read it.
    if (['3F000', '42P01', '42501'].includes(sqlState(error) ?? '')) return []
    throw error
  } finally {
    await db.close()
  }
}

/** One by one: what another database still uses stays. */
export async function dropRoles({ session }: TestServer, roles: readonly string[]): Promise<void> {
  for (const role of roles) {
    await session.query(`drop role if exists ${quoteIdent(role)}`).catch((error: unknown) => {
      if (!['2BP01', '42501'].includes(sqlState(error) ?? '')) throw error
    })
  }
}
