/** Records in `pgmigrations`, and in the head, what another tool ran in a schema, so that migrations go on from there. */
import type { MigrationFormat } from '../../core/config.ts'
import type { Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import { quoteLiteral } from '../../sql/quote.ts'
import type { Migration } from '../files/migration.ts'
import type { Chain } from './chain.ts'
import { findMissing } from './find-missing.ts'
import {
  FOREIGN_LEDGERS,
  type ForeignEntry,
  type ForeignLedger,
  placeOf,
  readForeign,
  type TablePlace,
} from './foreign-ledgers.ts'
import { moveHead, recordHistory } from './heads.ts'
import {
  announceMigration,
  becomeOwner,
  ledgerTable,
  lockTarget,
  readLedger,
  settleLedger,
  type Target,
} from './ledger.ts'

export interface TakeOverOptions {
  /** The tool whose ledger says what ran. */
  readonly from: MigrationFormat
  /** Its table, where it is not under its usual name in the target's schema: `name`, or `schema.name`. */
  readonly table?: string | undefined
  /** No ledger is read: everything up to this migration counts as run. */
  readonly to?: string | undefined
  /** Changes nothing. */
  readonly dryRun?: boolean | undefined
}

/** What was recorded, or would be; empty where what ran is recorded already. */
export type TakenOver = readonly string[]

/**
 * Takes over one schema, in one transaction: all of it is recorded, or nothing.
 * @param session one connection, outside a transaction.
 * @throws TNY413 where there is no such ledger, where it tells of a failure, of another text, and where `pgmigrations` says
 * something else already; TNY403 where what ran is not the beginning of the files.
 */
export async function takeOver(
  session: Queryable,
  target: Target,
  chain: Chain,
  options: TakeOverOptions,
): Promise<TakenOver> {
  const { migrations } = chain
  const ledger = await readLedger(session, target)
  if (ledger.problem !== undefined) throw unreadable(target, 'pgmigrations', ledger.problem)
  const { applied } = ledger
  const isRight = applied.length > 0 && options.to === undefined && isOwnLedger(target, options)
  const names = isRight ? applied : await namesThatRan(session, target, migrations, options)
  if (applied.length > 0) {
    findMissing(migrations, applied, target.label)
    if (applied.length < names.length) {
      throw refused(
        target,
        `pgmigrations records ${applied.length} migrations, and ${names.length} ran`,
        'Both tools ran on this schema. Find out what is there, and correct the rows of pgmigrations by hand.',
      )
    }
    if (ledger.digest === undefined && options.dryRun !== true) await setHead(session, target, chain, applied)
    return []
  }
  if (names.length === 0 || options.dryRun === true) return names
  await settleLedger(session, target, ledger)
  const at = names.length - 1
  await recordHistory(session, chain)
  const table = ledgerTable(target.schema)
  const list = names.map(quoteLiteral).join(', ')
  try {
    const { rows } = await session
      .query(
        `begin; ${lockTarget(target)}; ${moveHead(target.schema, chain.digests[at], migrations[at]?.version)};
         ${becomeOwner(target)}`,
      )
      .then(() => session.query<{ free: string }>(`select (not exists (select from ${table}))::text as free`))
    if (rows[0]?.free !== 'true') throw refused(target, 'somebody else migrates it right now', 'Try again.')
    await session.query(`insert into ${table} (name, run_on)
      select name, now() from unnest(array[${list}]) with ordinality as n (name, place) order by place;
      set local role none; ${announceMigration(target)} commit`)
  } catch (error) {
    await session.query('rollback').catch(() => undefined)
    throw error instanceof TenantryError ? error : unreadable(target, 'pgmigrations', error)
  }
  return names
}

/** Of a schema whose ledger is right, and of which the catalog knows nothing. */
async function setHead(
  session: Queryable,
  { schema }: Target,
  chain: Chain,
  applied: readonly string[],
): Promise<void> {
  const at = applied.length - 1
  await recordHistory(session, chain)
  await session.query(moveHead(schema, chain.digests[at], chain.migrations[at]?.version))
}

function isOwnLedger({ schema }: Target, { from, table = 'pgmigrations' }: TakeOverOptions): boolean {
  const place = placeOf(table, schema)
  return from === 'node-pg-migrate' && place.schema === schema && place.table === 'pgmigrations'
}

async function namesThatRan(
  session: Queryable,
  target: Target,
  migrations: readonly Migration[],
  { from, table, to }: TakeOverOptions,
): Promise<readonly string[]> {
  try {
    await session.query('begin read only')
    if (to !== undefined) {
      const at = migrations.findIndex(({ name }) => name === to)
      if (at < 0)
        throw refused(target, `there is no migration ${to}`, 'Name one of the files, without extension.')
      await requireTables(session, target)
      return migrations.slice(0, at + 1).map(({ name }) => name)
    }
    const entries = await readEntries(session, target, from, table)
    return entries.length === 0 ? [] : matchFiles(target, migrations, entries)
  } finally {
    await session.query('rollback').catch(() => undefined)
  }
}

async function readEntries(
  tx: Queryable,
  target: Target,
  from: MigrationFormat,
  named: string | undefined,
): Promise<readonly ForeignEntry[]> {
  const ledger = FOREIGN_LEDGERS[from]
  const places = named === undefined ? usualPlaces(target, ledger) : [placeOf(named, target.schema)]
  for (const place of places) {
    // A view would run its owner's functions as whoever reads it.
    const { rows } = await tx.query(
      `select from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')`,
      [place.schema, place.table],
    )
    if (rows.length === 0) continue
    try {
      // What is in the tenant's schema is read with the rights of its owner alone.
      if (place.schema === target.schema && target.ownerRole !== undefined)
        await tx.query(becomeOwner(target))
      return await readForeign(tx, ledger, place)
    } catch (error) {
      throw unreadable(target, nameOf(place), error)
    }
  }
  throw refused(
    target,
    `there is no table ${places.map(nameOf).join(' or ')}`,
    `Name the table of ${from} with --table, or say --to NAME if no tool recorded what ran.`,
  )
}

/** In the shared tables, what a tool keeps in a schema of its own can mean nothing else. */
function usualPlaces(target: Target, { table, schema }: ForeignLedger): readonly TablePlace[] {
  const own = { schema: target.schema, table }
  return schema !== undefined && target.ownerRole === undefined ? [own, { schema, table }] : [own]
}

function nameOf({ schema, table }: TablePlace): string {
  return `${schema}.${table}`
}

/** The files' names of what ran, which must be the first of them. */
function matchFiles(
  target: Target,
  migrations: readonly Migration[],
  entries: readonly ForeignEntry[],
): readonly string[] {
  const names = entries.map(({ name, hash, problem }, index) => {
    const file = migrations[index]
    const called = name ?? (hash === file?.fileHash ? file?.name : undefined)
    if (problem !== undefined) {
      const advice =
        'Let the tool that ran it settle that first (prisma migrate resolve), after a look at what is there.'
      throw refused(target, `${called ?? 'a migration'} ${problem}`, advice)
    }
    if (called === undefined) {
      const what =
        file === undefined
          ? 'more migrations ran than there are files'
          : `${file.file} is not the text that ran as number ${index + 1}`
      throw refused(target, what, 'Restore the files that ran, byte for byte.')
    }
    return called
  })
  findMissing(migrations, names, target.label)
  for (const [index, { hash }] of entries.entries()) {
    const file = migrations[index]
    if (hash === undefined || file?.fileHash === undefined || hash === file.fileHash) continue
    throw refused(
      target,
      `${file.file} was edited after it ran`,
      'Restore the file, byte for byte, and make the change in a new migration.',
    )
  }
  return names
}

/** Recording migrations for an empty schema would leave its tables out for ever. */
async function requireTables(tx: Queryable, target: Target): Promise<void> {
  const { rows } = await tx.query<{ some: string }>(
    `select exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
       where n.nspname = $1 and c.relkind in ('r', 'p', 'v') and c.relname <> 'pgmigrations')::text as some`,
    [target.schema],
  )
  if (rows[0]?.some === 'true') return
  throw refused(target, 'its schema is empty', 'Run `tenantry migrate up` there: everything has yet to run.')
}

function unreadable(target: Target, table: string, error: unknown): TenantryError {
  const said = error instanceof Error ? error.message : String(error)
  const advice = 'The admin login and the owner of the schema must be able to read it.'
  const params = { target: target.label, reason: `${table} cannot be read: ${said}`, advice }
  return new TenantryError('TNY413', { params, cause: error })
}

function refused({ label }: Target, reason: string, advice: string): TenantryError {
  return new TenantryError('TNY413', { params: { target: label, reason, advice } })
}
