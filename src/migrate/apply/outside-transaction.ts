/** Migrations that cannot be in a transaction: one statement after the other, each marked before and after it ran. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { AdminDatabase, Queryable } from '../../core/database.ts'
import { TenantryError } from '../../core/errors.ts'
import { quoteIdent, quoteLiteral } from '../../sql/quote.ts'
import { lineInScript, type SqlScript } from '../files/migration.ts'
import { readHeads } from '../ledger/heads.ts'
import { tryTargetLock, type Target } from '../ledger/ledger.ts'
import { failure } from './migration-failure.ts'
import { retryLocks, type LockRetry } from './lock-retry.ts'
import type { Step, StepLimits } from './step.ts'

export interface OutsideOptions extends StepLimits {
  /** Of the target: the statements get a connection of their own. */
  readonly database: AdminDatabase
  readonly retry: LockRetry
}

/** How far a migration is: `running` may have taken effect. */
interface Mark {
  readonly name: string
  readonly statement: number
  readonly running: boolean
}

/** Looks again after this long where another runner is at it. Waiting in a statement would hold a snapshot, for which
 * CREATE INDEX CONCURRENTLY waits in turn. */
const LOOK_MS = 100

/**
 * Runs all statements; the step that records the migration comes after it, and has nothing else to do.
 * @param session one connection, outside of a transaction; it holds the lock.
 * @throws TNY402 where a statement failed: those before it stay, and the next call goes on with it. TNY417 where one was
 * interrupted of which nobody can tell whether it took effect.
 */
export async function runOutside(
  session: Queryable,
  target: Target,
  name: string,
  { file, script, options: own }: Pick<Step, 'file' | 'script' | 'options'>,
  options: OutsideOptions,
): Promise<void> {
  while (!(await tryTargetLock(session, target))) await sleep(LOOK_MS)
  try {
    const found = await readMark(session, target)
    const mark = found?.name === name ? found : { name, statement: 0, running: false }
    await options.database.session((direct) => runFrom(direct, mark), {
      ...(target.ownerRole === undefined ? {} : { role: target.ownerRole }),
      search_path: quoteIdent(target.schema),
      lock_timeout: String(own.lockTimeoutMs ?? options.lockTimeoutMs),
      ...settingOf(own.statementTimeoutMs ?? options.statementTimeoutMs),
    })
  } finally {
    await tryTargetLock(session, target, 'release')
  }

  async function runFrom(direct: Queryable, { statement: first, running }: Mark): Promise<void> {
    const texts = statementsOf(script)
    for (const [statement, text] of texts.entries()) {
      if (statement < first) continue
      if (running && statement === first) {
        if (!isRepeatable(text)) throw interrupted(statement)
        if (await mendIndex(session, direct, target, text)) continue
      }
      await writeMark(session, target, { name, statement, running: true })
      try {
        await retryLocks(options.retry, async () => {
          try {
            await direct.query(text)
          } catch (error) {
            // What failed in the middle left an invalid index, which would be in the way of the next attempt.
            await mendIndex(session, direct, target, text)
            throw error
          }
        })
      } catch (error) {
        if (!(error instanceof TenantryError)) {
          await writeMark(session, target, { name, statement, running: false })
        }
        throw failure(error, target, file, lineInScript(script, script.statements[statement] ?? 0))
      }
      await writeMark(session, target, { name, statement: statement + 1, running: false })
    }
  }

  function interrupted(statement: number): TenantryError {
    const line = lineInScript(script, script.statements[statement] ?? 0) ?? 1
    const next = JSON.stringify({ name, statement: statement + 1, running: false })
    const advice = `set \`unfinished\` in tenantry.migration_heads of the schema ${target.schema} to ${next}, or to null to begin again.`
    return new TenantryError('TNY417', { params: { file, target: target.label, line, advice } })
  }
}

function settingOf(statementTimeoutMs: number | undefined): Record<string, string> {
  return statementTimeoutMs === undefined ? {} : { statement_timeout: String(statementTimeoutMs) }
}

function statementsOf({ sql, statements }: SqlScript): string[] {
  return statements.map((start, index) => sql.slice(start, statements[index + 1]))
}

const BUILDS =
  /^\s*create\s+(?:unique\s+)?index\s+concurrently\s+(?:if\s+not\s+exists\s+)?(?!on\b)("(?:[^"]|"")+"|[\w$]+)/i

/** What may run twice: maintenance, and what says itself that it minds what is there. */
function isRepeatable(text: string): boolean {
  return BUILDS.test(text) || /^\s*(vacuum|analyze|cluster|reindex)\b|\bif\s+(not\s+)?exists\b/i.test(text)
}

/**
 * Drops the invalid index that an interrupted CREATE INDEX CONCURRENTLY left.
 * @returns true where the index is there and whole: nothing is to be done any more.
 */
async function mendIndex(
  session: Queryable,
  direct: Queryable,
  target: Target,
  text: string,
): Promise<boolean> {
  const written = BUILDS.exec(text)?.[1]
  if (written === undefined) return false
  const name = written.startsWith('"') ? written.slice(1, -1).replaceAll('""', '"') : written.toLowerCase()
  const { rows } = await session.query<{ valid: string }>(
    `select i.indisvalid::text as valid from pg_index i join pg_class c on c.oid = i.indexrelid
       join pg_namespace n on n.oid = c.relnamespace where n.nspname = $1 and c.relname = $2`,
    [target.schema, name],
  )
  if (rows[0]?.valid !== 'false') return rows[0]?.valid === 'true'
  await direct.query(`drop index concurrently if exists ${quoteIdent(target.schema)}.${quoteIdent(name)}`)
  return false
}

async function readMark(session: Queryable, target: Target): Promise<Mark | undefined> {
  const text = (await readHeads(session, [target.schema])).get(target.schema)?.unfinished
  return text === undefined ? undefined : (JSON.parse(text) as Mark)
}

async function writeMark(session: Queryable, target: Target, mark: Mark): Promise<void> {
  const text = quoteLiteral(JSON.stringify(mark))
  await session.query(
    `insert into tenantry.migration_heads (schema_name, unfinished) values (${quoteLiteral(target.schema)}, ${text})
     on conflict (schema_name, database_name) do update set unfinished = excluded.unfinished, updated_at = now()`,
  )
}
