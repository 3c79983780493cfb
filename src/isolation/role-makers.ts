/** The roles that make tenants' roles, each of which makes a bounded number of them (decision 15). */
// From 16 on, a role that is not a superuser is a member of each role that it makes, and PostgreSQL searches all its
// memberships for each role that it makes or grants: with 5,000 tenants, half a second for one more. So the admin acts as
// a role that has made few, and takes the next one when it has made many.
import { randomBytes } from 'node:crypto'
import type { Queryable } from '../core/database.ts'
import { quoteIdent } from '../sql/quote.ts'
import { OWNERS_GROUP, TENANTS_GROUP } from './logins.ts'

/** Makers are found by it, among the roles that the admin may enter. */
const PREFIX = 'tny_maker_'
const MEMBERSHIPS_AT_MOST = 400

/** A maker with few memberships, in this transaction. What comes next is made as it, by SET LOCAL ROLE. */
export async function findRoleMaker(tx: Queryable, version: number): Promise<string | undefined> {
  // Before 16 nothing is searched, and for a superuser never.
  if (version < 160_000) return undefined
  const { rows } = await tx.query<{ superuser: string; maker: string | null }>(
    `select rolsuper::text as superuser, (
       select m.rolname from pg_roles m
       where starts_with(m.rolname, $1) and pg_has_role(m.oid, 'SET')
         and (select count(*) from pg_auth_members g where g.member = m.oid) < $2
       order by m.oid desc limit 1) as maker
     from pg_roles where rolname = current_user`,
    [PREFIX, MEMBERSHIPS_AT_MOST],
  )
  if (rows[0]?.superuser === 'true') return undefined
  return rows[0]?.maker ?? makeMaker(tx)
}

/** The admin inherits its right to manage what it makes, and nothing of what it made: that is granted for SET alone. */
async function makeMaker(tx: Queryable): Promise<string> {
  const name = `${PREFIX}${randomBytes(6).toString('hex')}`
  await tx.query(`create role ${quoteIdent(name)} nologin createrole;
    grant ${quoteIdent(name)} to current_user with inherit true, set true;
    grant ${quoteIdent(TENANTS_GROUP)}, ${quoteIdent(OWNERS_GROUP)} to ${quoteIdent(name)}
      with admin true, inherit false, set false`)
  return name
}
