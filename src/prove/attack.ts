/** One attack: sends it by a way, looks at what came of it, and takes it back. */
import { type Arena, namesVictim, statementOf, targetOf } from './arena.ts'
import { mayBeCommitted } from './harm.ts'
import { type Answer, sightings } from './observe.ts'
import type { Payload } from './payloads.ts'
import type { Harm } from './report.ts'
import { structureQuery } from './structure.ts'
import type { OpenTransaction, Way } from './ways.ts'

/** What became of an attack. */
export type Outcome =
  | { readonly verdict: 'refused'; readonly by: 'guard' | 'database'; readonly code: string }
  | { readonly verdict: 'without effect' }
  | { readonly verdict: Harm; readonly seen: readonly string[] }

/** What the attack needs to know of the other side, by ways that are not the attacker's. */
export interface Watch {
  /** Whether the victim's rows are another than before; if so they are put back. */
  wasChanged(): Promise<boolean>
  /** What the attack left behind for the next tenant on the connection; nothing where all is well. */
  leftBehind(): Promise<string[]>
}

const WITHOUT_EFFECT: Outcome = { verdict: 'without effect' }

/** In a transaction: with a look around after it, as the attacker. Committed only where that harms nobody else. */
export async function attackInTransaction(
  way: Required<Pick<Way, 'begin'>>,
  payload: Payload,
  arena: Arena,
  watch: Watch,
  may: { readonly lasting: boolean },
): Promise<Outcome> {
  const lasting = may.lasting && mayBeCommitted(statementOf(payload, arena))
  const transaction = await way.begin()
  let outcome: Outcome | undefined
  try {
    outcome = await attackAndLook(transaction, payload, arena, lasting)
  } finally {
    await transaction.end(lasting && outcome === WITHOUT_EFFECT ? 'commit' : 'rollback')
  }
  // Only now: until its end the transaction may hold locks that the look would wait for.
  return outcome === WITHOUT_EFFECT ? changeOf(payload, arena, watch) : outcome
}

async function attackAndLook(
  transaction: OpenTransaction,
  payload: Payload,
  arena: Arena,
  lasting: boolean,
): Promise<Outcome> {
  const structure = lasting ? undefined : await readStructure(transaction, arena)
  const outcome = judge(await transaction.send(statementOf(payload, arena)), payload, arena)
  if (outcome !== WITHOUT_EFFECT) return outcome
  if (structure !== undefined && (await readStructure(transaction, arena)) !== structure) {
    return { verdict: 'changed', seen: ['the catalogs of the server differ after it'] }
  }
  return lookAround(transaction, arena)
}

/** By itself: what it leaves on the connection is met by whoever comes next. */
export async function attackAlone(
  way: Required<Pick<Way, 'alone'>>,
  payload: Payload,
  arena: Arena,
  watch: Watch,
): Promise<Outcome> {
  const outcome = judge(await way.alone(statementOf(payload, arena)), payload, arena)
  if (outcome.verdict === 'refused' && outcome.by === 'guard') return outcome
  // Also where it was refused: half of a statement may have had its effect.
  const left = await watch.leftBehind()
  if (left.length > 0) return { verdict: 'state', seen: left }
  return outcome === WITHOUT_EFFECT ? changeOf(payload, arena, watch) : outcome
}

async function changeOf(payload: Payload, arena: Arena, watch: Watch): Promise<Outcome> {
  if (await watch.wasChanged()) {
    return { verdict: 'changed', seen: ['the other tenant’s rows were another after it'] }
  }
  return payload.kind === 'write' && namesVictim(payload, arena)
    ? { verdict: 'changed', seen: ['it was not refused'] }
    : WITHOUT_EFFECT
}

function judge(answer: Answer, payload: Payload, arena: Arena): Outcome {
  const seen = sightings(answer.texts, arena.victimSecret)
  if (seen.length > 0) return { verdict: 'leak', seen }
  if (!answer.ok) return { verdict: 'refused', by: answer.by, code: answer.code }
  if (payload.kind === 'write' || !namesVictim(payload, arena)) return WITHOUT_EFFECT
  // No canary was in the answer, but the answer to "is there a row" is one.
  return { verdict: 'leak', seen: ['it was not refused', ...answer.texts.slice(0, 2)] }
}

async function readStructure(transaction: OpenTransaction, arena: Arena): Promise<string | undefined> {
  const answer = await transaction.send(structureQuery(arena))
  return answer.ok ? answer.texts.join() : undefined
}

/** Whether the statements that follow have another's rights: the simplest of what an attacker would try. */
async function lookAround(transaction: OpenTransaction, arena: Arena): Promise<Outcome> {
  const who = await transaction.send("select 'role=' || current_user as now")
  const loot = await transaction.send(`select * from ${targetOf(arena)}`)
  const seen = sightings(loot.texts, arena.victimSecret)
  if (seen.length > 0) return { verdict: 'leak', seen }
  const now = /role=(.*)$/.exec(who.texts.join())?.[1]
  return who.ok && now !== arena.attacker.home.role
    ? { verdict: 'state', seen: [`what follows runs as ${now ?? 'nobody'}`] }
    : WITHOUT_EFFECT
}
