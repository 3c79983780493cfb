/** The DDL of isolation: pairs of roles made ahead, a tenant's schema, and who may enter it. */
import { randomBytes } from 'node:crypto'
import type { Queryable } from '../core/database.ts'
import type { Home } from '../core/tenant.ts'
import { quoteIdent } from '../sql/quote.ts'
import { OWNERS_GROUP, TENANTS_GROUP } from './logins.ts'
import { findRoleMaker } from './role-makers.ts'
import { inheritOnly, readServerVersion, setOnly } from './server-version.ts'

/** What a tenant's home needs of the cluster. */
export interface TenantRoles {
  readonly role: string
  readonly ownerRole: string
}

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'

/** An opaque name: roles and schemas are seen by every tenant of the server. 60 random bits. */
export function opaqueName(prefix: string): string {
  return `${prefix}_${Array.from(randomBytes(12), (byte) => ALPHABET[byte % 32]).join('')}`
}

/** The other one of its pair. */
export function ownerRoleOf(role: string): string {
  return `${role}_o`
}

/**
 * Makes pairs of roles and lets the runtime login enter the tenant roles. In batches and ahead, because each role DDL
 * makes every backend's next SET ROLE pay for all memberships of the login (FINDINGS 12). In a transaction.
 */
export async function makeTenantRoles(
  tx: Queryable,
  count: number,
  runtimeLogin: string,
): Promise<TenantRoles[]> {
  const version = await readServerVersion(tx)
  const pairs = Array.from({ length: count }, () => {
    const role = opaqueName('tny')
    return { role, ownerRole: ownerRoleOf(role) }
  })
  const login = quoteIdent(runtimeLogin)
  const maker = await findRoleMaker(tx, version)
  if (maker !== undefined) await tx.query(`set local role ${quoteIdent(maker)}`)
  await tx.query(
    pairs
      .map(({ role, ownerRole }) => {
        const [tenant, owner] = [quoteIdent(role), quoteIdent(ownerRole)]
        return `create role ${tenant} nologin; create role ${owner} nologin;
          grant ${tenant}, ${owner} to current_user ${setOnly(version)};
          grant ${quoteIdent(TENANTS_GROUP)} to ${tenant} ${inheritOnly(version)};
          grant ${quoteIdent(OWNERS_GROUP)} to ${owner} ${inheritOnly(version)};
          grant ${tenant} to ${login} ${setOnly(version)};`
      })
      .join('\n'),
  )
  if (maker !== undefined) await tx.query('set local role none')
  return pairs
}

/**
 * Makes the schema, owned by the owner role, and lets the tenant role use what will be made in it: rows, not
 * structure. Never IF NOT EXISTS: a schema that is there belongs to somebody else (I5).
 * @throws 42P06 where the schema exists; RangeError where its name is longer than PostgreSQL's 63 bytes.
 */
export async function createTenantSchema(tx: Queryable, home: Home): Promise<void> {
  const [schema, tenant, owner] = [quoteIdent(home.schema), quoteIdent(home.role), quoteIdent(home.ownerRole)]
  await tx.query(`create schema ${schema} authorization ${owner};
    set local role ${owner};
    grant usage on schema ${schema} to ${tenant};
    alter default privileges in schema ${schema} grant select, insert, update, delete on tables to ${tenant};
    alter default privileges in schema ${schema} grant usage, select on sequences to ${tenant};
    alter default privileges in schema ${schema} grant execute on functions to ${tenant};
    alter default privileges revoke execute on functions from public;
    set local role none`)
}

/** Lets a login enter a tenant role by SET ROLE. */
export async function admitLogin(tx: Queryable, role: string, login: string): Promise<void> {
  const version = await readServerVersion(tx)
  await tx.query(`grant ${quoteIdent(role)} to ${quoteIdent(login)} ${setOnly(version)}`)
}

/**
 * Shuts a tenant role to a login: from the commit on the server itself refuses to enter it. Transactions that are
 * inside go on until they end.
 * @throws Error where the membership stays, because somebody else granted it.
 */
export async function expelLogin(tx: Queryable, role: string, login: string): Promise<void> {
  if (!(await isMember(tx, role, login))) return
  await tx.query(`revoke ${quoteIdent(role)} from ${quoteIdent(login)}`)
  // A REVOKE of what another role granted is no more than a warning.
  if (await isMember(tx, role, login)) {
    throw new Error(`the login ${login} still is a member of ${role}: another role granted it too`)
  }
}

async function isMember(tx: Queryable, role: string, login: string): Promise<boolean> {
  const { rows } = await tx.query<{ member: string }>(
    `select exists (select from pg_auth_members m join pg_roles r on r.oid = m.roleid join pg_roles l on l.oid = m.member
       where r.rolname = $1 and l.rolname = $2)::text as member`,
    [role, login],
  )
  return rows[0]?.member === 'true'
}
