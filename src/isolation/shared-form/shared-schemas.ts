/** The two schemas of the shared model: the tables that tenants share, and the pattern that they are derived from. */
import type { Queryable } from '../../core/database.ts'
import type { SharedHome } from '../../core/homes.ts'
import { quoteIdent } from '../../sql/quote.ts'
import { inheritOnly, readServerVersion } from '../server-version.ts'

/** Held, to the end of the transaction, by whoever changes the shared tables or which tenants have rows in them. */
export async function lockShared(tx: Queryable): Promise<void> {
  await tx.query("select pg_advisory_xact_lock(hashtextextended('tenantry:shared', 0))")
}

/**
 * Makes both, owned by the owner role. What tenants may do with each table the derivation says, and with the pattern
 * nothing.
 * @throws 42P06 where one of them exists.
 */
export async function createSharedSchemas(tx: Queryable, home: SharedHome): Promise<void> {
  const [schema, pattern] = [quoteIdent(home.schema), quoteIdent(home.pattern)]
  const [role, owner] = [quoteIdent(home.role), quoteIdent(home.ownerRole)]
  await tx.query(`create schema ${schema} authorization ${owner}; create schema ${pattern} authorization ${owner};
    set local role ${owner};
    grant usage on schema ${schema} to ${role};
    grant usage on schema ${schema}, ${pattern} to session_user;
    alter default privileges revoke execute on functions from public;
    set local role none`)
}

/** Lets a sealed tenant's own role do what the shared one may. */
export async function shareRights(tx: Queryable, sharedRole: string, role: string): Promise<void> {
  const version = await readServerVersion(tx)
  await tx.query(`grant ${quoteIdent(sharedRole)} to ${quoteIdent(role)} ${inheritOnly(version)}`)
}
