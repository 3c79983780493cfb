/** Attacks that are more than a statement: on how connections change hands. */
import { probeServer, loginProblems } from '../isolation/probe.ts'
import type { AdminDatabase } from '../core/database.ts'
import { quoteIdent } from '../sql/quote.ts'
import { type Arena, ownTable, targetOf } from './arena.ts'
import { databaseOf } from './canaries.ts'
import { answerOf, sightings } from './observe.ts'
import type { Breach, Harm } from './report.ts'
import { asQueryable, type ProofPool, type ProofTenancy } from './ways.ts'

/** What these attacks go by. */
export interface Field {
  readonly arena: Arena
  readonly admin: AdminDatabase
  readonly tenancy: ProofTenancy
  readonly attacker: ProofPool
  readonly victim: ProofPool
  /** A tenancy of an attack's own, which the attack closes. */
  openTenancy(options: { readonly max: number }): ProofTenancy
}

/** Why something could not be tried here. */
export interface Missed {
  readonly missed: string
}

/** One of them: what went wrong, if anything did. */
export interface LiveAttack {
  readonly case: string
  readonly name: string
  run(field: Field): Promise<readonly string[] | Missed>
  readonly harm: Harm
}

/** As a breach of the report. */
export function breachOf({ name, harm }: LiveAttack, seen: readonly string[]): Breach {
  return { attack: name, way: 'gateway', statement: name, harm, seen }
}

const ROUNDS = 6

/** What of a pool's answers is whose. */
export async function readNotes(pool: ProofPool, table: string): Promise<string[]> {
  const answer = await answerOf(() => pool.query(`select note from ${table}`))
  return [...answer.texts]
}

/** Wrong rows, or none where there must be some: a wall that hides everything would pass every other case. */
export async function mistakes(
  pool: ProofPool,
  table: string,
  own: string,
  foreign: string,
): Promise<string[]> {
  const texts = await readNotes(pool, table)
  const seen = sightings(texts, foreign)
  if (seen.length > 0) return seen
  return sightings(texts, own).length > 0
    ? []
    : [`a tenant does not see its own rows: ${texts.join().slice(0, 200)}`]
}

const interleaved: LiveAttack = {
  case: 'P1',
  name: 'statements of both tenants at once',
  harm: 'leak',
  async run({ arena, attacker, victim }) {
    const both = Array.from({ length: ROUNDS * 4 }, (_, turn) =>
      turn % 2 === 0
        ? mistakes(attacker, ownTable(arena), arena.attackerSecret, arena.victimSecret)
        : mistakes(victim, targetOf(arena), arena.victimSecret, arena.attackerSecret),
    )
    return [...new Set((await Promise.all(both)).flat())]
  },
}

const samePlan: LiveAttack = {
  case: 'S23',
  name: 'one text by turns, until it has a plan',
  harm: 'leak',
  async run({ arena, attacker, victim }) {
    // By its bare name where a path leads to it: the same text means another table for each.
    const { table, onPath } = arena.target
    const [own, other] = onPath ? [table, table] : [ownTable(arena), targetOf(arena)]
    const found: string[] = []
    for (let round = 0; round < ROUNDS; round++) {
      found.push(...(await mistakes(attacker, own, arena.attackerSecret, arena.victimSecret)))
      found.push(...(await mistakes(victim, other, arena.victimSecret, arena.attackerSecret)))
    }
    return found
  },
}

const leftOpen: LiveAttack = {
  case: 'P3',
  name: 'a client given back inside a transaction',
  harm: 'state',
  async run({ arena, attacker, victim }) {
    const client = await attacker.connect()
    await client.query('begin')
    await client.query(`insert into ${ownTable(arena)} (note) values ('left open')`)
    client.release()
    const found = await mistakes(victim, targetOf(arena), arena.victimSecret, arena.attackerSecret)
    const after = await readNotes(attacker, ownTable(arena))
    if (after.some((text) => text.includes('left open'))) found.push('its transaction was committed')
    return found
  },
}

const leftFailed: LiveAttack = {
  case: 'P3',
  name: 'a client given back in a failed transaction, and used afterwards',
  harm: 'state',
  async run({ arena, attacker, victim }) {
    const client = await attacker.connect()
    await client.query('begin')
    await answerOf(() => client.query('select 1 / 0'))
    client.release()
    const found = await mistakes(victim, targetOf(arena), arena.victimSecret, arena.attackerSecret)
    const late = await answerOf(() => client.query('select 1'))
    if (late.ok) found.push('the client still works after it was given back')
    return found
  },
}

const lateCancel: LiveAttack = {
  case: 'P5',
  name: 'a cancel at the moment in which another tenant gets the connection',
  harm: 'state',
  async run({ arena, attacker, victim }) {
    const found: string[] = []
    for (let round = 0; round < ROUNDS; round++) {
      const abort = new AbortController()
      const slow = { text: 'select pg_sleep(0.05)', signal: abort.signal }
      // It is cancelled as it ends, sooner or later by some milliseconds.
      const timer = setTimeout(() => abort.abort(), 44 + round * 2)
      await attacker.query(slow).catch(() => undefined)
      found.push(...(await mistakes(victim, targetOf(arena), arena.victimSecret, arena.attackerSecret)))
      clearTimeout(timer)
    }
    return found
  },
}

const committingProcedure: LiveAttack = {
  case: 'S28',
  name: 'CALL of a procedure that commits and goes on',
  harm: 'state',
  async run({ arena, admin, attacker }) {
    const { home } = arena.attacker
    const schema = arena.kind.model === 'shared' ? arena.target.schema : home.schema
    const name = `${quoteIdent(schema)}.tenantry_canary_commits`
    const made = await databaseOf(admin, arena.attacker)
      .transaction(async (tx) => {
        await tx.query(`set local role ${quoteIdent(home.ownerRole)};
          create or replace procedure ${name}() language plpgsql as $body$
          begin
            commit;
            raise notice 'role=% tenant=%', current_user, current_setting('app.current_tenant', true);
          end $body$;
          grant execute on procedure ${name}() to ${quoteIdent(home.role)}`)
        return true
      })
      // Where owners may not write procedures there is none to be called.
      .catch(() => false)
    if (!made) return []
    const client = await attacker.connect()
    const heard: string[] = []
    client.on('notice', ({ message = '' }) => void heard.push(message))
    await answerOf(() => client.query(`call ${name}()`))
    client.release()
    return heard.filter((text) => text !== `role=${home.role} tenant=${arena.attacker.id}`)
  },
}

const noContext: LiveAttack = {
  case: 'S21',
  name: 'central work on the connection that has served a tenant',
  harm: 'state',
  async run({ arena, tenancy, victim }) {
    await victim.query('select 1')
    const { rows } = await tenancy.central.query(
      "select coalesce(current_setting('app.current_tenant', true), '') as tenant, current_user = session_user as itself",
    )
    const [row] = rows as { tenant: string; itself: boolean }[]
    const found: string[] = []
    if (row?.tenant !== '') found.push(`the tenant ${row?.tenant} is still set`)
    const notes = await answerOf(() => tenancy.central.query(`select note from ${targetOf(arena)}`))
    return [...found, ...sightings(notes.texts, arena.victimSecret)]
  },
}

const namesInActivity: LiveAttack = {
  case: 'S20',
  name: 'names in pg_stat_activity',
  harm: 'leak',
  async run({ arena: { victim }, attacker, victim: pool }) {
    await pool.query('select 1')
    const { texts } = await answerOf(() =>
      attacker.query('select application_name from pg_stat_activity where datname = current_database()'),
    )
    return texts.filter((text) => text.includes(victim.key) || text.includes(victim.id))
  },
}

const runtimeLogin: LiveAttack = {
  case: 'S12',
  name: 'the rights of the runtime login',
  harm: 'state',
  async run({ tenancy }) {
    return loginProblems(await probeServer(asQueryable(tenancy.central)))
  },
}

/** All of them, in the order in which they disturb each other least. */
export const LIVE_ATTACKS: readonly LiveAttack[] = [
  runtimeLogin,
  namesInActivity,
  noContext,
  interleaved,
  samePlan,
  leftOpen,
  leftFailed,
  lateCancel,
  committingProcedure,
]
