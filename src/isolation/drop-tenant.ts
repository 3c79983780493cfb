/** The DDL of erasing: the schema with all that is in it, then the roles with every right they hold. */
import type { Queryable } from '../core/database.ts'
import type { Home } from '../core/tenant.ts'
import { quoteIdent } from '../sql/quote.ts'
import { readServerVersion } from './server-version.ts'
import type { TenantRoles } from './tenant-roles.ts'

/**
 * Drops the tenant's schema if its owner role owns it; a schema of that name which belongs to somebody else stays.
 * Waits `lockTimeoutMs` for transactions that still use its tables.
 * @throws 55P03 where they do not end in time.
 */
export async function dropTenantSchema(tx: Queryable, home: Home, lockTimeoutMs: number): Promise<void> {
  const { rows } = await tx.query(
    `select 1 from pg_namespace n join pg_roles r on r.oid = n.nspowner where n.nspname = $1 and r.rolname = $2`,
    [home.schema, home.ownerRole],
  )
  if (rows.length === 0) return
  await tx.query(`set local lock_timeout = ${Math.trunc(lockTimeoutMs)};
    set local role ${quoteIdent(home.ownerRole)};
    drop schema ${quoteIdent(home.schema)} cascade;
    set local role none`)
}

/**
 * Drops the roles with every right that they were given in this database; memberships go with them. What the admin
 * may not revoke (a superuser's grant on a superuser's table) keeps the role alive.
 * @throws 2BP01 where that is so, or where objects of another database of the server depend on them.
 */
export async function dropTenantRoles(tx: Queryable, roles: TenantRoles): Promise<void> {
  await releaseRoles(tx, roles, (name) => `drop role ${name}`)
}

/** Takes from the roles what they have in this database; another database, which uses them too, keeps them. */
export async function releaseTenantRoles(tx: Queryable, roles: TenantRoles): Promise<void> {
  await releaseRoles(tx, roles, () => '')
}

async function releaseRoles(
  tx: Queryable,
  { role, ownerRole }: TenantRoles,
  then: (quoted: string) => string,
): Promise<void> {
  const version = await readServerVersion(tx)
  for (const name of [role, ownerRole]) {
    const { rows } = await tx.query('select 1 from pg_roles where rolname = $1', [name])
    if (rows.length === 0) continue
    const quoted = quoteIdent(name)
    // DROP OWNED revokes what the current user may: as the role itself, that would leave grants on shared tables.
    const inherit = version >= 160000 ? `grant ${quoted} to current_user with inherit true;` : ''
    await tx.query(`${inherit} drop owned by ${quoted}; ${then(quoted)}`)
  }
}

/** The sessions that hold locks on what is in a schema, for an error that an operator can act on. */
export async function sessionsUsing(db: Queryable, schema: string): Promise<number[]> {
  const { rows } = await db.query<{ pid: string }>(
    `select distinct l.pid::text as pid from pg_locks l
     join pg_class c on c.oid = l.relation join pg_namespace n on n.oid = c.relnamespace
     where n.nspname = $1 and l.database = (select oid from pg_database where datname = current_database())
       and l.pid <> pg_backend_pid()`,
    [schema],
  )
  return rows.map(({ pid }) => Number(pid))
}
