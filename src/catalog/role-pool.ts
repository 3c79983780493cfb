/** Roles made ahead and not yet given to a tenant. */
import type { Queryable } from '../core/database.ts'

/** The two NOLOGIN roles of a tenant. */
export interface RolePair {
  /** Statements of the tenant run as this one. */
  readonly role: string
  /** Owns the tenant's objects; migrations run as it. */
  readonly ownerRole: string
}

/** Pairs that the cluster does not know (a catalog restored elsewhere), or that another database uses (a cloned one), are no use. */
const FREE_PAIRS = `tenantry.role_pool p
  join pg_roles r on r.rolname = p.role_name
  join pg_roles o on o.rolname = p.owner_role
  where not exists (
    select from pg_shdepend d where d.refclassid = 'pg_authid'::regclass
      and d.refobjid in (r.oid, o.oid) and d.classid <> 'pg_auth_members'::regclass)`

/** Takes a free pair out of the pool, in the transaction that gives it to a tenant. */
export async function takeRolePair(tx: Queryable): Promise<RolePair | undefined> {
  const { rows } = await tx.query<{ role: string; owner_role: string }>(
    `delete from tenantry.role_pool where role_name = (
       select p.role_name from ${FREE_PAIRS} order by p.created_at limit 1 for update of p skip locked)
     returning role_name as role, owner_role`,
  )
  return rows[0] === undefined ? undefined : { role: rows[0].role, ownerRole: rows[0].owner_role }
}

/** Whether there is one that nobody is just taking. */
export async function hasRolePair(tx: Queryable): Promise<boolean> {
  const { rows } = await tx.query(`select from ${FREE_PAIRS} limit 1 for update of p skip locked`)
  return rows.length > 0
}

/** Adds pairs, in the transaction that makes their roles. */
export async function addRolePairs(tx: Queryable, pairs: readonly RolePair[]): Promise<void> {
  await tx.query(
    'insert into tenantry.role_pool (role_name, owner_role) select * from unnest($1::text[], $2::text[])',
    [pairs.map(({ role }) => role), pairs.map(({ ownerRole }) => ownerRole)],
  )
}
