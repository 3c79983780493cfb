/** The surroundings in which the shared form is derived and compared: the owner, and nobody's context. */
import type { Queryable } from '../../core/database.ts'
import type { SharedHome } from '../../core/homes.ts'
import { quoteIdent, quoteLiteral } from '../../sql/quote.ts'

/**
 * Runs `fn` as the owner. Without a context, since a foreign key is checked by a query that policies hold for: in the
 * context of one tenant the rows of the others would pass unseen. Afterwards role, path and context are as before.
 */
export async function inForm<T>(tx: Queryable, home: SharedHome, fn: () => Promise<T>): Promise<T> {
  const { rows } = await tx.query<{ role: string; path: string; tenant: string; security: string }>(
    `select current_setting('role') as role, current_setting('search_path') as path,
      coalesce(current_setting('app.current_tenant', true), '') as tenant, current_setting('row_security') as security`,
  )
  const { role = 'none', path = '', tenant = '', security = 'on' } = rows[0] ?? {}
  await tx.query(`set local role ${quoteIdent(home.ownerRole)}; set local app.current_tenant = '';
    set local row_security = on`)
  const result = await fn()
  await tx.query(`set local role ${role === 'none' ? 'none' : quoteIdent(role)}; set local search_path = ${path || "''"};
    set local app.current_tenant = ${quoteLiteral(tenant)}; set local row_security = ${security}`)
  return result
}
