/** A sealed tenant's role as a login of its own: a member of nothing that could lead it to another tenant. */
import type { Queryable } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import { quoteIdent, quoteLiteral } from '../sql/quote.ts'
import { SEALED_GROUP } from './logins.ts'
import { scramVerifier } from './scram.ts'
import { inheritOnly, readServerVersion } from './server-version.ts'

/** One iteration: the secret has 256 bits of its own, and connecting costs half as much (FINDINGS 17). */
const ITERATIONS = 1

/**
 * Lets the role log in with this secret, of which the server learns no more than a verifier. Settings that the tenant
 * gave its own role, as every login may, are gone afterwards.
 * @throws TNY312 where it could log in and yet not work.
 */
export async function openLogin(tx: Queryable, role: string, secret: string): Promise<void> {
  const name = quoteIdent(role)
  const { version, database } = await readPlace(tx)
  await tx.query(`grant ${quoteIdent(SEALED_GROUP)} to ${name} ${inheritOnly(version)};
    alter role ${name} login;
    alter role ${name} reset all;
    alter role ${name} in database ${quoteIdent(database)} reset all`)
  await changeSecret(tx, role, secret)
  await requireUsable(tx, role, database)
}

/** Replaces the secret and nothing else: a login that is shut stays so, and open sessions go on. */
export async function changeSecret(tx: Queryable, role: string, secret: string): Promise<void> {
  const verifier = quoteLiteral(scramVerifier(secret, ITERATIONS))
  await tx.query(`alter role ${quoteIdent(role)} password ${verifier}`)
}

/**
 * From the commit on nobody logs in as the role. Sessions that are open go on until `endSessions` ends them: their context
 * may be there to stay (docs/decisions/0019-a-context-that-stays.md).
 */
export async function shutLogin(tx: Queryable, role: string): Promise<void> {
  const name = quoteIdent(role)
  // Of a catalog that was restored on another server they are gone, and the tenant can be deleted all the same.
  if ((await tx.query('select from pg_roles where rolname = $1', [role])).rows.length === 0) return
  await tx.query(`alter role ${name} nologin; revoke ${quoteIdent(SEALED_GROUP)} from ${name}`)
}

async function readPlace(tx: Queryable): Promise<{ version: number; database: string }> {
  const { rows } = await tx.query<{ database: string }>('select current_database()::text as database')
  return { version: await readServerVersion(tx), database: rows[0]?.database ?? '' }
}

/** Where PUBLIC has these rights no more, the group must have been given them. */
async function requireUsable(tx: Queryable, role: string, database: string): Promise<void> {
  const { rows } = await tx.query<{ connects: string; binds: string }>(
    `select has_database_privilege($1, current_database(), 'CONNECT')::text as connects,
       has_function_privilege($1, 'pg_catalog.set_config(text,text,boolean)', 'EXECUTE')::text as binds`,
    [role],
  )
  const group = quoteIdent(SEALED_GROUP)
  if (rows[0]?.connects !== 'true') {
    const what = `connect to the database ${database}`
    const advice = `As its owner: grant connect on database ${quoteIdent(database)} to ${group}`
    throw new TenantryError('TNY312', { params: { what, advice } })
  }
  if (rows[0].binds !== 'true') {
    const advice = `Run \`tenantry harden\` again, or as a superuser, in this database: grant execute on function set_config(text, text, boolean) to ${group}`
    throw new TenantryError('TNY312', {
      params: { what: 'call set_config, which binds the context', advice },
    })
  }
}
