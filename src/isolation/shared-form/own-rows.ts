/** Work on one tenant's rows by the owner of the shared tables, past the triggers and policies that users wrote. */
import type { Queryable } from '../../core/database.ts'
import { quoteIdent } from '../../sql/quote.ts'

/** How long a table waits for its writers where its triggers must stand still. */
const LOCK_TIMEOUT_MS = 5_000

/** What users put on a table that would change, refuse or hide rows which are moved as they are. */
interface Obstacles {
  /** Enabled row and statement triggers of the event, with the letter of `pg_trigger.tgenabled`. */
  readonly triggers: readonly { readonly name: string; readonly enabled: string }[]
  readonly policies: boolean
}

/**
 * Runs `fn` as the owner, without a tenant's context: the policy for the owner shows it all rows. Triggers on `event` and
 * policies of the user's do not count meanwhile, for which other sessions wait where a table has any.
 * @param tx a transaction of the admin login.
 * @param tables names in `schema`.
 */
export async function asOwner<T>(
  tx: Queryable,
  owner: string,
  schema: string,
  tables: readonly string[],
  event: 'insert' | 'delete',
  fn: () => Promise<T>,
): Promise<T> {
  const { rows } = await tx.query<{ before: string }>("select current_setting('lock_timeout') as before")
  await tx.query(`select set_config('app.current_tenant', '', true), set_config('search_path', '', true),
    set_config('row_security', 'on', true), set_config('lock_timeout', '${LOCK_TIMEOUT_MS}', true)`)
  await tx.query(`set local role ${quoteIdent(owner)}`)
  const [away, back]: [string[], string[]] = [[], []]
  for (const table of tables) {
    const name = `${quoteIdent(schema)}.${quoteIdent(table)}`
    const { triggers, policies } = await readObstacles(tx, name, event)
    for (const trigger of triggers) {
      away.push(`alter table ${name} disable trigger ${quoteIdent(trigger.name)}`)
      const always = trigger.enabled === 'A' ? 'always ' : ''
      back.push(`alter table ${name} enable ${always}trigger ${quoteIdent(trigger.name)}`)
    }
    if (policies) {
      away.push(`alter table ${name} no force row level security`)
      back.push(`alter table ${name} force row level security`)
    }
  }
  if (away.length > 0) await tx.query(away.join('; '))
  const result = await fn()
  if (back.length > 0) await tx.query(back.join('; '))
  await tx.query('set local role none')
  await tx.query("select set_config('lock_timeout', $1, true)", [rows[0]?.before ?? '0'])
  return result
}

/** The bits of `pg_trigger.tgtype` (pg_trigger.h). */
const EVENT_BITS = { insert: 4, delete: 8 } as const

async function readObstacles(tx: Queryable, table: string, event: 'insert' | 'delete'): Promise<Obstacles> {
  const { rows } = await tx.query<{ obstacles: string }>(
    `select json_build_object(
       'triggers', (select coalesce(json_agg(json_build_object('name', g.tgname, 'enabled', g.tgenabled)), '[]')
          from pg_trigger g where g.tgrelid = t.oid and not g.tgisinternal and g.tgenabled in ('O', 'A')
            and g.tgtype & ${EVENT_BITS[event]} <> 0),
       'policies', exists (select from pg_policy p where p.polrelid = t.oid and not p.polpermissive)
     )::text as obstacles
     from (select $1::regclass as oid) t`,
    [table],
  )
  return JSON.parse(rows[0]?.obstacles ?? '{"triggers":[],"policies":false}') as Obstacles
}
