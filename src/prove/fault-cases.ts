/** Attacks by what fails: connections that are lost, and a tenant that wants all of them. Each on connections of its own. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { AdminDatabase } from '../core/database.ts'
import { TenantryError } from '../core/errors.ts'
import { endSession } from '../isolation/end-sessions.ts'
import { quoteIdent, quoteLiteral } from '../sql/quote.ts'
import { ownTable, targetOf } from './arena.ts'
import { databaseOf } from './canaries.ts'
import { type Field, type LiveAttack, type Missed, mistakes, readNotes } from './live-cases.ts'
import type { ProofClient, ProofPool } from './ways.ts'

/** Whatever has no answer by then hangs. */
const ANSWER_MS = 10_000
const NO_ANSWER = `no answer within ${ANSWER_MS / 1_000} s`

/** Both tenants, on connections that nobody else has. */
interface Pair {
  readonly attacker: ProofPool
  readonly victim: ProofPool
}

async function onOwnConnections(
  { arena, openTenancy }: Field,
  fn: (pair: Pair) => Promise<string[] | Missed>,
): Promise<string[] | Missed> {
  const tenancy = openTenancy({ max: 2 })
  try {
    return await fn({ attacker: tenancy.poolFor(arena.attacker), victim: tenancy.poolFor(arena.victim) })
  } finally {
    await tenancy.close({ timeoutMs: 2_000 })
  }
}

interface Session {
  readonly pid: number
  readonly login: string
}

/** Whose session a client's transaction is on. Behind a pooler too it is nobody else's before the transaction ends. */
async function sessionOf(client: ProofClient): Promise<Session> {
  const { rows } = await client.query('select pg_backend_pid()::text as pid, session_user::text as login')
  const [row] = rows as { pid: string; login: string }[]
  return { pid: Number(row?.pid), login: row?.login ?? '' }
}

/** Takes the connection away under a client. */
async function endIt(admin: AdminDatabase, session: Session): Promise<Missed | undefined> {
  const ended = await admin.session((own) => endSession(own, session))
  return ended ? undefined : { missed: `the admin login may not end sessions of ${session.login}` }
}

/** What became of a statement whose connection is lost: the code of its one error, or words for what it should not be. */
async function fateOf(work: Promise<unknown>): Promise<string> {
  const answered = work.then(
    () => 'it was answered as if nothing had happened',
    (error: unknown) => (error instanceof TenantryError ? error.code : String(error)),
  )
  return Promise.race([answered, sleep(ANSWER_MS, NO_ANSWER, { ref: false })])
}

/** Afterwards both see their own rows, and these alone. */
async function healed({ arena }: Field, { attacker, victim }: Pair): Promise<string[]> {
  const looks = async (): Promise<string[]> => [
    ...(await mistakes(attacker, ownTable(arena), arena.attackerSecret, arena.victimSecret)),
    ...(await mistakes(victim, targetOf(arena), arena.victimSecret, arena.attackerSecret)),
  ]
  return Promise.race([looks(), sleep(ANSWER_MS, [`after it: ${NO_ANSWER}`], { ref: false })])
}

const LOST = 'lost at COMMIT'
/** How long it may take a COMMIT to reach the server. */
const PATIENCE_MS = 5_000

/**
 * Holds a key, for as long as `fn` runs, that a COMMIT of the attacker's has to wait for: so that it can be met in that moment.
 * @param fn `insert` makes the attacker's transaction one that waits; `waiting` gives the sessions that do, once there is one.
 */
async function holdingKey<T>(
  { admin, arena }: Field,
  fn: (insert: string, waiting: () => Promise<number[]>) => Promise<T>,
): Promise<T> {
  const { home } = arena.attacker
  const own = ownTable(arena)
  const table = `${own.slice(0, own.lastIndexOf('.'))}.tenantry_canary_key`
  const db = databaseOf(admin, arena.attacker)
  const asOwner = (sql: string): Promise<unknown> =>
    db.transaction((tx) => tx.query(`set local role ${quoteIdent(home.ownerRole)}; ${sql}`))
  await asOwner(`create table if not exists ${table} (key integer unique deferrable initially deferred);
    grant insert on ${table} to ${quoteIdent(home.role)}`)
  const insert = `insert into ${table} (key) values (1)`
  try {
    return await db.session(async (session) => {
      await session.query(`begin; set local role ${quoteIdent(home.ownerRole)}; ${insert}`)
      const { rows } = await session.query<{ id: string }>('select pg_current_xact_id()::xid::text as id')
      try {
        return await fn(insert, () => waitersFor(db, rows[0]?.id ?? ''))
      } finally {
        await session.query('rollback')
      }
    })
  } finally {
    await asOwner(`drop table ${table}`)
  }
}

async function waitersFor(db: AdminDatabase, transaction: string): Promise<number[]> {
  for (const until = performance.now() + PATIENCE_MS; performance.now() < until; await sleep(10)) {
    const { rows } = await db.query<{ pid: string }>(
      'select pid::text as pid from pg_locks where not granted and transactionid = $1::xid',
      [transaction],
    )
    if (rows.length > 0) return rows.map(({ pid }) => Number(pid))
  }
  return []
}

const lostAtCommit: LiveAttack = {
  case: 'P4',
  name: 'a connection that is lost during COMMIT',
  harm: 'state',
  run: (field) =>
    holdingKey(field, (insert, waiting) =>
      onOwnConnections(field, async (pair) => {
        const { arena, admin } = field
        const client = await pair.attacker.connect()
        await client.query('begin')
        const { login } = await sessionOf(client)
        await client.query(insert)
        await client.query(`insert into ${ownTable(arena)} (note) values (${quoteLiteral(LOST)})`)
        const fate = fateOf(client.query('commit'))
        // Exactly the session that waits: behind a pooler another one may have the number of before.
        const [pid] = await waiting()
        const missed = pid === undefined ? undefined : await endIt(admin, { pid, login })
        const told = await fate
        client.release()
        if (missed !== undefined) return missed
        const found = await healed(field, pair)
        if (told !== 'TNY206') found.push(`the outcome is unknown, and it was told: ${told}`)
        const rows = (await readNotes(pair.attacker, ownTable(arena))).filter((text) => text.includes(LOST))
        if (rows.length > 1) found.push(`it was done ${rows.length} times`)
        return found
      }),
    ),
}

const dropped: LiveAttack = {
  case: 'P7',
  name: 'connections that are dropped under statements',
  harm: 'state',
  run: (field) =>
    onOwnConnections(field, async (pair) => {
      const found: string[] = []
      for (const pool of [pair.attacker, pair.victim]) {
        const client = await pool.connect()
        await client.query('begin')
        const session = await sessionOf(client)
        const fate = fateOf(client.query('select pg_sleep(5)'))
        const missed = await endIt(field.admin, session)
        const told = await fate
        client.release()
        if (missed !== undefined) return missed
        if (told !== 'TNY212') found.push(`the connection was lost, and it was told: ${told}`)
        found.push(...(await healed(field, pair)))
      }
      return found
    }),
}

/** A second's work for two connections. */
const FLOOD = { statements: 100, text: 'select pg_sleep(0.02)' }

const flood: LiveAttack = {
  case: 'P6',
  name: 'a tenant that wants every connection',
  harm: 'state',
  run: (field) =>
    onOwnConnections(field, async ({ attacker, victim }) => {
      const { arena } = field
      // Nobody waits for a connection to be opened then.
      await victim.query('select 1')
      const enough = new AbortController()
      let answered = 0
      const all = Array.from({ length: FLOOD.statements }, () =>
        attacker.query({ text: FLOOD.text, signal: enough.signal }).then(
          () => void answered++,
          () => undefined,
        ),
      )
      const found = await mistakes(victim, targetOf(arena), arena.victimSecret, arena.attackerSecret)
      // By number and not by time: how fast the server is does not matter.
      if (answered === FLOOD.statements) {
        found.push(`it waited for all ${answered} statements of the other`)
      }
      enough.abort()
      await Promise.all(all)
      return found
    }),
}

/** In the order in which they disturb least. */
export const FAULT_ATTACKS: readonly LiveAttack[] = [flood, lostAtCommit, dropped]
