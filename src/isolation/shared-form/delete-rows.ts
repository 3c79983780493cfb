/** Removes a tenant from the shared tables. */
import type { Queryable } from '../../core/database.ts'
import type { SharedHome } from '../../core/homes.ts'
import { quoteIdent, quoteLiteral } from '../../sql/quote.ts'
import { asOwner } from './own-rows.ts'

interface SharedTable {
  readonly name: string
  readonly partitioned: boolean
  /** Whether a policy of the user's might hide rows. */
  readonly guarded: boolean
}

/**
 * Deletes every row of the tenant, in one statement: foreign keys are checked at its end, when nothing is left that
 * could refer to anything. Triggers do not fire.
 * @param tx a transaction of the admin login.
 * @throws Error where a row is left, 55P03 where a table with triggers is in use for more than five seconds.
 */
export async function deleteTenantRows(tx: Queryable, home: SharedHome, tenantId: string): Promise<void> {
  const { rows } = await tx.query<{ tables: string }>(
    `select coalesce(json_agg(json_build_object('name', c.relname, 'partitioned', c.relkind = 'p',
       'guarded', exists (select from pg_policy p where p.polrelid = c.oid and not p.polpermissive))), '[]')::text as tables
     from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped
     where c.relnamespace = to_regnamespace($1) and c.relkind in ('r', 'p') and not c.relispartition`,
    [quoteIdent(home.schema)],
  )
  const tables = JSON.parse(rows[0]?.tables ?? '[]') as SharedTable[]
  const targets = new Map(
    tables.map(({ name, partitioned }) => [
      name,
      `${partitioned ? '' : 'only '}${quoteIdent(home.schema)}.${quoteIdent(name)}`,
    ]),
  )
  const isTenants = `where tenant_id = ${quoteLiteral(tenantId)}`
  const hasRows = async (name: string): Promise<boolean> => {
    const found = await tx.query<{ found: string }>(
      `select exists (select from ${targets.get(name)} ${isTenants})::text as found`,
    )
    return found.rows[0]?.found === 'true'
  }
  const seen = await asOwner(tx, home.ownerRole, home.schema, [], 'delete', () =>
    filter([...targets.keys()], hasRows),
  )
  const filled = tables.filter(({ name, guarded }) => guarded || seen.includes(name)).map(({ name }) => name)
  if (filled.length === 0) return
  const left = await asOwner(tx, home.ownerRole, home.schema, filled, 'delete', async () => {
    const deletions = filled.map(
      (name, index) => `d${index} as (delete from ${targets.get(name)} ${isTenants})`,
    )
    await tx.query(`with ${deletions.join(',\n')} select`)
    return filter(filled, hasRows)
  })
  if (left.length > 0) throw new Error(`rows of the tenant are left in ${left.join(', ')}`)
}

async function filter(names: readonly string[], test: (name: string) => Promise<boolean>): Promise<string[]> {
  const found: string[] = []
  for (const name of names) if (await test(name)) found.push(name)
  return found
}
