/** One attack: sends it by a way, looks at what came of it, and takes it back. */
import { quoteIdent } from '../sql/quote.ts'
import { type Arena, readsVictim, statementOf, targetOf } from './arena.ts'
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
  | {
      readonly verdict: Harm
      readonly seen: readonly string[]
      /** Only a statement after it found the way: it had changed who the session acts as. */
      readonly later: boolean
    }

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
): Promise<Outcome> {
  const statement = statementOf(payload, arena)
  const lasting = mayBeCommitted(statement)
  const transaction = await way.begin()
  let ended = false
  try {
    const structure = lasting ? undefined : await readStructure(transaction, arena)
    const answer = await transaction.send(statement)
    const outcome = await judge(answer, payload, arena)
    if (outcome !== WITHOUT_EFFECT) return outcome
    if (structure !== undefined && (await readStructure(transaction, arena)) !== structure) {
      return { verdict: 'changed', seen: ['the catalogs of the server differ after it'], later: false }
    }
    const loot = await lookAround(transaction, arena)
    if (loot !== undefined) return loot
    if (!lasting) return WITHOUT_EFFECT
    ended = true
    await transaction.end('commit')
  } finally {
    if (!ended) await transaction.end('rollback')
  }
  return (await watch.wasChanged()) ? changedRows() : WITHOUT_EFFECT
}

/** By itself: what it leaves on the connection is met by whoever comes next. */
export async function attackAlone(
  way: Required<Pick<Way, 'alone'>>,
  payload: Payload,
  arena: Arena,
  watch: Watch,
): Promise<Outcome> {
  const answer = await way.alone(statementOf(payload, arena))
  const outcome = await judge(answer, payload, arena)
  if (outcome.verdict === 'refused' && outcome.by === 'guard') return outcome
  // Also where it was refused: half of a statement may have had its effect.
  const left = await watch.leftBehind()
  if (left.length > 0) return { verdict: 'state', seen: left, later: false }
  if (outcome !== WITHOUT_EFFECT) return outcome
  return (await watch.wasChanged()) ? changedRows() : WITHOUT_EFFECT
}

function changedRows(): Outcome {
  return { verdict: 'changed', seen: ['the other tenant’s rows were another after it'], later: false }
}

async function judge(answer: Answer, payload: Payload, arena: Arena): Promise<Outcome> {
  const seen = sightings(answer.texts, arena.victimSecret)
  if (seen.length > 0) return { verdict: 'leak', seen, later: false }
  if (!answer.ok) return { verdict: 'refused', by: answer.by, code: answer.code }
  if (!readsVictim(payload, arena)) return WITHOUT_EFFECT
  // No canary was in the answer, but the answer to "is there a row" is one.
  return { verdict: 'leak', seen: ['it was not refused', ...answer.texts.slice(0, 2)], later: false }
}

async function readStructure(transaction: OpenTransaction, arena: Arena): Promise<string | undefined> {
  const answer = await transaction.send(structureQuery(arena))
  return answer.ok ? answer.texts.join() : undefined
}

/** Whether the statements that follow have another's rights: the simplest of what an attacker would try. */
async function lookAround(transaction: OpenTransaction, arena: Arena): Promise<Outcome | undefined> {
  const who = await transaction.send("select 'role=' || current_user")
  const role = arena.attacker.home.role
  const isOther = who.ok && !who.texts.some((text) => text.endsWith(`role=${role}`))
  const loot = await transaction.send(`select * from ${targetOf(arena)}`)
  const seen = sightings(loot.texts, arena.victimSecret)
  if (seen.length > 0) return { verdict: 'leak', seen, later: true }
  if (isOther)
    return { verdict: 'state', seen: [`${who.texts.join()}, not ${quoteIdent(role)}`], later: true }
  return undefined
}
