/** A function inside a transaction: BEGIN, COMMIT, ROLLBACK where it throws, and once more where PostgreSQL asks for it. */
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { TenantryError } from '../../core/errors.ts'
import type { GatewayClient } from './gateway-client.ts'

/** As PostgreSQL names them, in lower case with spaces. */
export type IsolationLevel = 'read committed' | 'repeatable read' | 'serializable'

/** Options of a transaction. */
export interface TransactionOptions {
  readonly isolation?: IsolationLevel
  readonly readOnly?: boolean
  /**
   * How many times more the function may run, 0 to 100: after a serialization failure (40001), a deadlock (40P01), or
   * a plan that a migration outdated (0A000). Only where all that it does can be done again. Default: 0.
   */
  readonly retry?: number
}

const LEVELS: ReadonlySet<string> = new Set<IsolationLevel>([
  'read committed',
  'repeatable read',
  'serializable',
])

/** Pauses before another attempt, in milliseconds: at most the first, doubled each time, up to the second. */
const FIRST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 1_000
const MOST_RETRIES = 100

/** What each attempt begins with. */
export interface Attempts {
  /** What `fn` calls is part of the transaction that it begins. */
  around<T>(fn: () => T): T
  connect(): Promise<GatewayClient>
}

/**
 * Runs `fn` between BEGIN and COMMIT. What an attempt left running is no part of the next one: each has a scope and a
 * client of its own. @throws what `fn` or COMMIT throws, TNY237 where an error of a statement was caught and COMMIT undid all
 */
export async function transact<T>(
  attempts: Attempts,
  fn: (client: GatewayClient) => Promise<T>,
  options: TransactionOptions = {},
): Promise<T> {
  const begin = beginText(options)
  const retries = readRetries(options)
  for (let attempt = 0; ; attempt += 1) {
    try {
      return await attempts.around(async () => once(await attempts.connect(), begin, fn))
    } catch (error) {
      if (attempt >= retries || !mayRunAgain(error)) throw error
      // With jitter, or those who met once would meet again.
      await sleep(Math.random() * Math.min(FIRST_PAUSE_MS * 2 ** attempt, LONGEST_PAUSE_MS))
    }
  }
}

async function once<T>(
  client: GatewayClient,
  begin: string,
  fn: (client: GatewayClient) => Promise<T>,
): Promise<T> {
  try {
    await client.query(begin)
    const result = await fn(client)
    const { command } = await client.query('commit')
    // Of a transaction that has failed, PostgreSQL answers COMMIT with ROLLBACK, and no error.
    if (command === 'ROLLBACK') throw new TenantryError('TNY237')
    return result
  } catch (error) {
    // Without it the release would roll back too, but later than the caller hears of the error.
    await client.query('rollback').catch(() => undefined)
    throw error
  } finally {
    client.release()
  }
}

/**
 * Errors after which PostgreSQL has rolled everything back, and the same work may succeed.
 * Source: PostgreSQL manual, 13.5; 0A000 has many causes, of which the routine tells the outdated plan.
 */
function mayRunAgain(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false
  if (error.code === '0A000') return error.routine === 'RevalidateCachedQuery'
  return error.code === '40001' || error.code === '40P01'
}

function readRetries({ retry = 0 }: TransactionOptions): number {
  if (!Number.isInteger(retry) || retry < 0 || retry > MOST_RETRIES)
    throw new TypeError(`\`retry\` is ${String(retry)}, not a whole number from 0 to ${MOST_RETRIES}`)
  return retry
}

function beginText({ isolation, readOnly }: TransactionOptions): string {
  // It becomes part of a statement's text, and callers in JavaScript are not held by the type.
  if (isolation !== undefined && !LEVELS.has(isolation))
    throw new TypeError(`no isolation level: ${String(isolation)}`)
  const modes = [
    isolation === undefined ? '' : ` isolation level ${isolation}`,
    readOnly === true ? ' read only' : '',
  ]
  return `begin${modes.join('')}`
}
