/** The row that says how far a target is, and the history that it points into: read, moved with each step, copied. */
import { HEADS_ELSEWHERE_SQL } from '../../catalog/head-tables.ts'
import type { Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import { quoteLiteral } from '../../sql/quote.ts'
import { sqlState } from '../../sql/sql-state.ts'
import type { Migration } from '../files/migration.ts'
import type { Chain } from './chain.ts'

/** How far a target is. */
export interface Head {
  /** `undefined`: nothing ran. */
  readonly digest: string | undefined
  /** The same for repeatable files. */
  readonly repeatable: string | undefined
  /** A migration outside of a transaction that began and has not ended. */
  readonly unfinished: string | undefined
}

/** One step of the fleet's history, as it ran. */
export interface Step {
  readonly digest: string
  readonly name: string
  readonly checksum: string
}

/** What the statement that moves a head says where the history does not know the step yet: a cast that fails. */
export const UNKNOWN_STEP = 'tenantry: the history lacks this step'

/** What the statements that move a ledger or a head say where it is not what it was: a cast that fails. */
export const LEDGER_MOVED = 'tenantry: the ledger moved on'

/**
 * Moves the head of a schema of this database, as the admin, and holds its row: whoever else migrates the schema waits
 * for the end of this transaction.
 * @param digest `undefined`: nothing ran any more.
 */
export function moveHead(schema: string, digest: string | undefined, version: number | undefined): string {
  const row = `select ${quoteLiteral(schema)}, ${digest === undefined ? 'null' : quoteLiteral(digest)}, ${version ?? 'null'}::bigint`
  const known =
    digest === undefined
      ? ''
      : `where exists (select from tenantry.migration_history y where y.digest = ${quoteLiteral(digest)})`
  return `with moved as (
      insert into tenantry.migration_heads (schema_name, digest, version) ${row} ${known}
      on conflict (schema_name, database_name) do update
        set digest = excluded.digest, version = excluded.version, unfinished = null, updated_at = now()
      returning 1)
    select (case count(*) when 1 then '0' else ${quoteLiteral(UNKNOWN_STEP)} end)::int from moved`
}

/**
 * The same for repeatable files, whose chain is one of its own. A schema in which no migration ran may have some.
 * @param before what the head pointed to.
 */
export function moveRepeatable(schema: string, before: string | undefined, digest: string): string {
  const [was, now] = [before === undefined ? 'null' : quoteLiteral(before), quoteLiteral(digest)]
  return `with known as (select from tenantry.migration_history where digest = ${now}),
    moved as (
      insert into tenantry.migration_heads as m (schema_name, repeatable) select ${quoteLiteral(schema)}, ${now} from known
      on conflict (schema_name, database_name) do update set repeatable = excluded.repeatable, updated_at = now()
        where m.repeatable is not distinct from ${was}
      returning 1)
    select (case when (select count(*) from moved) = 1 then '0'
      when exists (select from known) then ${quoteLiteral(LEDGER_MOVED)} else ${quoteLiteral(UNKNOWN_STEP)} end)::int`
}

/**
 * Makes the history know all steps of a chain, and makes the two tables first where this is a tenant's own database.
 * @param session one connection, outside of a transaction.
 * @throws TNY005 where the catalog of this database is older.
 */
export async function recordHistory(
  session: Queryable,
  { migrations, digests }: Chain<Pick<Migration, 'name' | 'checksum'>>,
): Promise<void> {
  const record = (): Promise<unknown> =>
    session.query(
      `insert into tenantry.migration_history (digest, parent, name, checksum)
       select * from unnest($1::text[], $2::text[], $3::text[], $4::text[]) on conflict do nothing`,
      [
        digests,
        digests.map((_, index) => digests[index - 1] ?? null),
        migrations.map(({ name }) => name),
        migrations.map(({ checksum }) => checksum),
      ],
    )
  try {
    await record()
  } catch (error) {
    if (!lacksTables(error)) throw error
    await makeTables(session)
    await record()
  }
}

/** True where there is neither table: a tenant's own database in which nothing was migrated since there are any. */
export function lacksTables(error: unknown): boolean {
  return (
    ['42P01', '3F000'].includes(sqlState(error) ?? '') &&
    error instanceof Error &&
    error.message.includes('tenantry.migration_')
  )
}

async function makeTables(session: Queryable): Promise<void> {
  const { rows } = await session.query<{ catalog: string | null }>(
    "select to_regclass('tenantry.tenants')::text as catalog",
  )
  if (rows[0]?.catalog != null) throw new TenantryError('TNY005')
  // Several statements in one message are one transaction. The lock keeps two runners apart: IF NOT EXISTS does not.
  await session.query(
    `select pg_advisory_xact_lock(hashtextextended('tenantry:heads', 0)); ${HEADS_ELSEWHERE_SQL}`,
  )
}

/** Of these schemas of this database, the heads that are known, by schema. */
export async function readHeads(session: Queryable, schemas: readonly string[]): Promise<Map<string, Head>> {
  const { rows } = await session
    .query<{ head: string }>(
      `select json_build_array(schema_name, digest, repeatable, unfinished)::text as head
       from tenantry.migration_heads where database_name = '' and schema_name = any ($1)`,
      [schemas],
    )
    .catch((error: unknown) => {
      if (lacksTables(error)) return { rows: [] }
      throw error
    })
  return new Map(
    rows.map((row) => {
      const [schema, digest, repeatable, unfinished] = JSON.parse(row.head) as [string, ...(string | null)[]]
      return [
        schema,
        {
          digest: digest ?? undefined,
          repeatable: repeatable ?? undefined,
          unfinished: unfinished ?? undefined,
        },
      ]
    }),
  )
}

/** What ran, in its order, where a target points to `digest`; empty where the history does not know it. */
export async function readSteps(session: Queryable, digest: string): Promise<Step[]> {
  const { rows } = await session.query<{ step: string }>(
    `with recursive steps as (
       select 0 as back, h.* from tenantry.migration_history h where h.digest = $1
       union all
       select s.back + 1, h.* from steps s join tenantry.migration_history h on h.digest = s.parent)
     select json_build_object('digest', digest, 'name', name, 'checksum', checksum)::text as step
     from steps order by back desc`,
    [digest],
  )
  return rows.map((row) => JSON.parse(row.step) as Step)
}

/**
 * Copies a head from a tenant's own database into the catalog's, right after a commit there. What a crash in between
 * leaves out is mended by `verifyHeads`.
 * @param there one connection to the tenant's database.
 * @param here one connection to the catalog's.
 * @returns whether the catalog knew another one.
 */
export async function mirrorHead(
  there: Queryable,
  here: Queryable,
  { schema, database }: { readonly schema: string; readonly database: string },
): Promise<boolean> {
  const { rows } = await there
    .query<{ head: string }>(
      `select json_build_array(digest, version, repeatable, unfinished)::text as head
       from tenantry.migration_heads where database_name = '' and schema_name = $1`,
      [schema],
    )
    .catch((error: unknown) => {
      // Nothing ran there yet.
      if (lacksTables(error)) return { rows: [] }
      throw error
    })
  if (rows[0] === undefined) return false
  const { rowCount } = await here.query(
    `insert into tenantry.migration_heads as mirror (schema_name, database_name, digest, version, repeatable, unfinished)
     select $1, $2, h ->> 0, (h ->> 1)::bigint, h ->> 2, h ->> 3 from (select $3::jsonb) as found (h)
     on conflict (schema_name, database_name) do update set digest = excluded.digest, version = excluded.version,
       repeatable = excluded.repeatable, unfinished = excluded.unfinished, updated_at = now()
     where (mirror.digest, mirror.version, mirror.repeatable, mirror.unfinished)
       is distinct from (excluded.digest, excluded.version, excluded.repeatable, excluded.unfinished)`,
    [schema, database, rows[0].head],
  )
  return rowCount === 1
}
