/** Makes a tenant's whole schema in one message and one transaction, its ledger included. */
import type { Queryable } from '../../core/database.ts'
import { readFingerprints } from '../../schema/read-schema.ts'
import { forSchema, insideSchema } from '../../schema/render-schema.ts'
import { quoteIdent, quoteLiteral } from '../../sql/quote.ts'
import { CLEAN_SESSION } from '../apply/apply-migrations.ts'
import type { Chain } from '../ledger/chain.ts'
import { lacksTables, moveHead, recordHistory, UNKNOWN_STEP, versionAt } from '../ledger/heads.ts'
import { announceMigration, becomeOwner, ledgerTable, lockTarget, type Target } from '../ledger/ledger.ts'
import type { Baseline } from './build-baseline.ts'
import { TENANT_SCHEMA } from './scratch.ts'

export type CompiledBaseline = Exclude<Baseline, { readonly refused: string }>

/** What ends the transaction where the schema holds something: the text of a cast that fails. */
const NOT_EMPTY = 'tenantry: the schema is not empty'

/**
 * @param session one connection, outside a transaction.
 * @param verify whether what was made is read once more before the commit: where it was compiled in another database.
 * @throws what PostgreSQL says, after which nothing has happened; also where the schema is not empty, or reads otherwise.
 */
export async function applyBaseline(
  session: Queryable,
  target: Target,
  baseline: CompiledBaseline,
  chain: Chain,
  { lockTimeoutMs, verify }: { readonly lockTimeoutMs: number; readonly verify: boolean },
): Promise<void> {
  const { schema } = target
  const make = [
    `begin; set local lock_timeout = ${lockTimeoutMs}; ${lockTarget(target)}`,
    `select (case when exists (select from pg_depend where refclassid = 'pg_namespace'::regclass and deptype = 'n'
       and refobjid = ${quoteLiteral(quoteIdent(schema))}::regnamespace) then ${quoteLiteral(NOT_EMPTY)} else '0' end)::int`,
    `${becomeOwner(target)} ${insideSchema(schema)}`,
    ...baseline.statements.map((statement) => forSchema(statement, schema)),
    ...ledgerStatements(target, chain),
    'set local role none',
    moveHead(schema, chain.head, versionAt(chain, chain.migrations.length)),
  ].join(';\n')
  const commit = `${announceMigration(target)} commit; ${CLEAN_SESSION}`
  const send = async (): Promise<void> => {
    if (!verify) {
      await session.query(`${make};\n${commit}`)
      return
    }
    await session.query(make)
    const [found] = await readFingerprints(session, [schema], TENANT_SCHEMA)
    if (found !== baseline.fingerprint)
      throw new Error('the schema reads otherwise than where it was compiled')
    await session.query(`set local role none; ${commit}`)
  }
  try {
    await send()
  } catch (error) {
    await session.query('rollback')
    if (!lacksStep(error)) throw error
    await recordHistory(session, chain)
    await send().catch(async (again: unknown) => {
      await session.query('rollback')
      throw again
    })
  }
}

/** The first who migrates after a file is new tells the history of it. */
function lacksStep(error: unknown): boolean {
  return lacksTables(error) || (error instanceof Error && error.message.includes(UNKNOWN_STEP))
}

/** As `settleLedger` and `recordMigration` leave it. */
function ledgerStatements(target: Target, { migrations }: Chain): string[] {
  const table = ledgerTable(target.schema)
  const names = migrations.map(({ name }) => quoteLiteral(name)).join(', ')
  const strangers = [
    'public',
    ...(target.tenantRole === undefined ? [] : [quoteIdent(target.tenantRole)]),
  ].join(', ')
  return [
    `create table ${table} (id serial primary key, name varchar(255) not null, run_on timestamp not null)`,
    `insert into ${table} (name, run_on) select u.name, now()::timestamp
       from unnest(array[${names}]::text[]) with ordinality u(name, position) order by u.position`,
    `revoke all on ${table}, ${quoteIdent(target.schema)}.pgmigrations_id_seq from ${strangers}`,
    `grant usage on schema ${quoteIdent(target.schema)} to session_user`,
    `grant select on ${table} to session_user`,
  ]
}
